"""SBERT_BP and SBERT_SS on public VCFs: how many variants have them, which lose most, what they cost in time; Markdown.

Run: python benchmarks/branchpoint_vcfs.py [--branchpoint-model NAME] [--data FOLDER]     (default: the bundled ones,
$SBERT_VCF_DATA)

The two runs of a file, with and without the branchpoint model, alternate group of records by group of records, so that
what else the machine does falls on both.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model")]

from sbert_model.device import use_cpu_threads  # noqa: E402
from sbert_vcf.annotator import Annotator  # noqa: E402
from sbert_vcf.consequence import find_field  # noqa: E402
from sbert_vcf.notices import Notices  # noqa: E402
from sbert_vcf.options import ScoringOptions  # noqa: E402
from sbert_vcf.results import AlleleResult, BranchpointScore, GeneScore  # noqa: E402
from sbert_vcf.strand import Site  # noqa: E402
from sbert_vcf.variant import Status  # noqa: E402
from sbert_vcf.vcf_input import Record, VcfInput  # noqa: E402

TOP = 10
GROUP = 16
GENES = "hg19/genes.gtf.gz"


class File(NamedTuple):
    """A VCF, the FASTA it fits, whether the gene table is given, and whether its CSQ is read."""

    vcf: str
    fasta: str
    genes: bool
    csq: bool

    @property
    def name(self) -> str:
        """What it is called in the tables."""
        sources = " and ".join(text for text, there in (("CSQ", self.csq), ("gene table", self.genes)) if there)
        return f"{self.vcf.split('.hg19')[0]} by {sources}"


FILES = (
    File("exome.60samples.chr1.hg19.vcf.gz", "hg19/hg19.chr1_start.fa.gz", genes=True, csq=False),
    File("de_novo.exome.hg19.vcf.gz", "hg19/hg19.regions.fa.gz", genes=True, csq=False),
    File("split_vep.csq.hg19.vcf.gz", "hg19/hg19.chr1_start.fa.gz", genes=True, csq=True),
    File("split_vep.csq.hg19.vcf.gz", "hg19/hg19.chr1_start.fa.gz", genes=False, csq=True),
    File("exac.vep_csq.hg19.vcf.gz", "hg19/hg19.chr1_start.fa.gz", genes=False, csq=True),
)


class Reached(NamedTuple):
    """An ALT that reaches a branchpoint region: as its record has it, the gene and what happens there."""

    written: str
    score: GeneScore
    branchpoint: BranchpointScore


class Seen(NamedTuple):
    """What became of one file."""

    scored: int
    with_ss: int
    reached: list[Reached]
    seconds_with: float
    seconds_without: float


def _records(vcf: VcfInput) -> Iterator[list[Record]]:
    records = iter(vcf)
    while group := list(islice(records, GROUP)):
        yield group


def _reached(record: Record, result: AlleleResult) -> Reached | None:
    hits = [Reached("", score, score.branchpoint) for score in result.scores if score.branchpoint is not None]
    if not hits:
        return None
    most = max(hits, key=lambda hit: hit.branchpoint.loss)
    return most._replace(written=f"{record.contig}:{record.start + 1} {record.ref}>{result.alt}")


def measure(file: File, data: Path, options: ScoringOptions) -> Seen:
    """Score a file with and without branchpoints."""
    path = data / "vcf" / file.vcf
    options = replace(
        options, reference=str(data / file.fasta), genes=str(data / GENES) if file.genes else None, batch_size=GROUP
    )
    seconds = [0.0, 0.0]
    scored = with_ss = 0
    reached = []
    with VcfInput(str(path), Notices()) as vcf:
        field = find_field(vcf.header.info) if file.csq else None
        without = replace(options, branchpoint_model="none")
        with (
            Annotator.open(options, field=field, notices=Notices()) as full,
            Annotator.open(without, field=field, notices=Notices()) as plain,
        ):
            for number, records in enumerate(_records(vcf)):
                sites = [
                    Site(one.contig, one.start, one.ref, one.alts, one.info("CSQ") if file.csq else None)
                    for one in records
                ]
                results = []
                for turn in (number % 2, 1 - number % 2):  # who goes first alternates, for the disk's cache
                    begun = time.process_time()
                    found = (full, plain)[turn].score_sites(sites)
                    seconds[turn] += time.process_time() - begun
                    results = found if turn == 0 else results
                for record, alleles in zip(records, results, strict=True):
                    scored += sum(result.status is Status.OK for result in alleles)
                    with_ss += sum(result.ss is not None for result in alleles)
                    reached += [hit for result in alleles if (hit := _reached(record, result))]
    return Seen(scored, with_ss, reached, seconds[0], seconds[1])


def report(file: File, seen: Seen) -> None:
    """Print what became of a file, and its variants that lose most."""
    print(f"\n### {file.name}\n")
    print("| ALTs scored | with SBERT_SS | with SBERT_BP | CPU time with / without branchpoints |\n|--:|--:|--:|--:|")
    share = f"{len(seen.reached)} ({len(seen.reached) / seen.scored:.1%})"
    print(f"| {seen.scored} | {seen.with_ss} | {share} | {seen.seconds_with / seen.seconds_without:.2f} |")
    print("\nHighest SBERT_BP:\n\n| allele | gene | acceptor | position | loss | gain |\n|---|---|--:|--:|--:|--:|")
    for hit in sorted(seen.reached, key=lambda hit: -hit.branchpoint.loss)[:TOP]:
        place, branchpoint = hit.score.placement, hit.branchpoint
        print(
            f"| {hit.written} | {place.symbol} {place.strand} | {branchpoint.acceptor + 1} | "
            f"{branchpoint.position} | {branchpoint.loss:.3f} | {branchpoint.gain:.3f} |",
            flush=True,
        )


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="masked language model: a name of `sbert-vcf models list` or a folder")
    parser.add_argument("--branchpoint-model", help="the same for branchpoints")
    parser.add_argument("--data", type=Path, default=os.environ.get("SBERT_VCF_DATA"))
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.data is None:
        sys.exit("branchpoint_vcfs.py: name the folder of the real data with --data or SBERT_VCF_DATA")
    use_cpu_threads(options.threads)
    chosen = ScoringOptions(model=options.model, branchpoint_model=options.branchpoint_model, threads=options.threads)
    for file in FILES:
        report(file, measure(file, Path(options.data), chosen))


if __name__ == "__main__":
    main()
