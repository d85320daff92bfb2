"""What becomes of the public VCFs: statuses by file and strand source, strands compared, highest scores, as Markdown.

Run: python benchmarks/real_vcfs.py [--model NAME] [--data FOLDER]     (default: the bundled model, $SBERT_VCF_DATA)

The status of an ALT depends on the length of the window and not on what the model makes of it, so the tallies, of
16,000 windows, are made without running it. The scores are those of the model.
"""

import argparse
import csv
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model")]

from sbert_model.checkpoint import Checkpoint, load_masked_lm  # noqa: E402
from sbert_model.device import select_device, use_cpu_threads  # noqa: E402
from sbert_model.network import MaskedLM  # noqa: E402
from sbert_model.precision import resolve_precision  # noqa: E402
from sbert_model.predict import FinishAt, Indices, Predictor  # noqa: E402
from sbert_model.registry import resolve  # noqa: E402
from sbert_model.tokenizer import Ids  # noqa: E402
from sbert_vcf.annotator import Annotator  # noqa: E402
from sbert_vcf.consequence import find_field  # noqa: E402
from sbert_vcf.genes import Genes  # noqa: E402
from sbert_vcf.notices import Notices  # noqa: E402
from sbert_vcf.reference import Reference  # noqa: E402
from sbert_vcf.results import AlleleResult, GeneScore  # noqa: E402
from sbert_vcf.strand import Placement, Site  # noqa: E402
from sbert_vcf.variant import Allele, Status, trim, unscorable  # noqa: E402
from sbert_vcf.vcf_input import Record, VcfInput  # noqa: E402

RANKED = ("de_novo.exome.hg19.vcf.gz", "exome.60samples.chr1.hg19.vcf.gz")
TOP = 10
GENES = "hg19/genes.gtf.gz"


class File(NamedTuple):
    """A row of INDEX.tsv: the VCF, the FASTA it fits, and its consequence field: CSQ+STRAND, CSQ or no."""

    vcf: Path
    fasta: Path
    csq: str

    @property
    def modes(self) -> tuple[str, ...]:
        """The values of --strand that can be used."""
        return ("genes", "both") if self.csq == "no" else ("csq", "genes", "both")

    @property
    def name(self) -> str:
        """The file's name without its suffixes."""
        return self.vcf.name.removesuffix(".vcf.gz").removesuffix(".hg19")


class Ranked(NamedTuple):
    """A scored ALT as its record has it, and trimmed, with the strand on which it scores highest."""

    written: str
    allele: Allele
    score: GeneScore


class Unread(Predictor):
    """Runs no network: every base of every window is as likely as the others."""

    def start_at(self, windows: Sequence[Ids], positions: Sequence[Indices]) -> FinishAt:
        """Log-probabilities (bases, 4)."""
        return lambda: np.full((sum(map(len, positions)), 4), np.log(0.25))


@dataclass
class Bench:
    """What every run uses."""

    model: Checkpoint[MaskedLM]
    scorer: Predictor
    unread: Unread
    genes: Genes

    def annotator(self, file: File, vcf: VcfInput, mode: str, reference: Reference, predictor: Predictor) -> Annotator:
        """Return the annotator of a run; --strand csq has the genes only where CSQ needs them to look strands up."""
        field = None if file.csq == "no" else find_field(vcf.header.info)
        genes = None if mode == "both" or (mode == "csq" and field is not None and field.has_strand) else self.genes
        return Annotator(reference, predictor, self.model, strand=mode, field=field, genes=genes, notices=Notices())

    def run(self, file: File, mode: str, predictor: Predictor) -> Iterator[tuple[Record, tuple[AlleleResult, ...]]]:
        """Yield every record of a file with its results."""
        with VcfInput(str(file.vcf), Notices()) as vcf, Reference(file.fasta) as reference:
            annotator = self.annotator(file, vcf, mode, reference, predictor)
            records = iter(vcf)
            while group := list(islice(records, annotator.batch_size)):
                yield from zip(group, annotator.score_sites([_site(record) for record in group]), strict=True)

    def strands(self, file: File) -> Iterator[tuple[list[Placement], list[Placement]]]:
        """Yield what CSQ and what the gene table say of every ALT with bases, on the FASTA or not."""
        with VcfInput(str(file.vcf), Notices()) as vcf, Reference(file.fasta) as reference:
            sources = [self.annotator(file, vcf, mode, reference, self.unread).strands for mode in ("csq", "genes")]
            for record in vcf:
                site = _site(record)
                for index, alt in enumerate(record.alts):
                    if site.consequences and not unscorable(record.ref, alt):
                        allele = trim(record.contig, record.start, record.ref, alt)
                        by_csq, by_genes = (source.placements(site, index, allele) for source in sources)
                        yield by_csq, by_genes


def _site(record: Record) -> Site:
    return Site(record.contig, record.start, record.ref, record.alts, record.info("CSQ"))


def files_of(data: Path) -> list[File]:
    """Return the VCFs of INDEX.tsv."""
    with (data / "vcf/INDEX.tsv").open() as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    return [File(data / "vcf" / row["file"], data / row["fasta"], row["csq"]) for row in rows]


def row(cells: Iterable[object]) -> None:
    """Print a row of a table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def table(*columns: str) -> None:
    """Print the head of a table; a column that begins with > is one of numbers."""
    row(column.removeprefix(">") for column in columns)
    print("|" + "|".join("--:" if column.startswith(">") else "---" for column in columns) + "|")


def tallies(bench: Bench, files: list[File]) -> None:
    """Print how many ALTs (NO_ALT: records) of each file have each status."""
    statuses = [Status.NO_ALT, *(status for status in Status if status is not Status.NO_ALT)]
    print("\n### Statuses\n")
    table("file", "--strand", ">records", *(f">{status.value}" for status in statuses))
    for file in files:
        for mode in file.modes:
            records, tally = 0, Counter[Status]()
            for _, results in bench.run(file, mode, bench.unread):
                records += 1
                tally.update([result.status for result in results] or [Status.NO_ALT])
            row([file.name, mode, records, *(tally[status] or "" for status in statuses)])


def agreement(bench: Bench, files: list[File]) -> None:
    """Print how often CSQ and the gene table give the same strands, and where they do not."""
    print("\n### Strands by CSQ and by the gene table\n")
    table("file", ">ALTs in genes of both", ">same strands", ">genes named by both", ">same strand")
    exceptions: Counter[tuple[str, str, str]] = Counter()
    for file in files:
        if file.csq == "no":
            continue
        both = same = named = agreeing = 0
        for by_csq, by_genes in bench.strands(file):
            if not by_genes:
                continue
            strands = {place.symbol: place.strand for place in by_csq}
            shared = [place for place in by_genes if place.symbol in strands]
            named += len(shared)
            agreeing += sum(strands[place.symbol] == place.strand for place in shared)
            equal = {place.strand for place in by_csq} == {place.strand for place in by_genes}
            both += bool(by_csq)
            same += bool(by_csq) and equal
            if not equal:
                exceptions[file.name, _names(by_csq), _names(by_genes)] += 1
        row([file.name, both, same, named, agreeing])
    print("\nThe exceptions:\n")
    table("file", ">ALTs", "CSQ", "gene table")
    for (name, *genes), count in exceptions.items():
        row([name, count, *(text or "–" for text in genes)])


def _names(places: list[Placement]) -> str:
    return ", ".join(sorted(f"{place.symbol} {place.strand}" for place in places))


def ranking(bench: Bench, file: File) -> None:
    """Print the ALTs with the highest scores, and the substitutions among them apart."""
    scored = [
        Ranked(_written(record, result), result.allele, max(result.scores, key=lambda score: score.kl))
        for record, results in bench.run(file, "auto", bench.scorer)
        for result in results
        if result.allele is not None
    ]
    scored.sort(key=lambda one: -one.score.kl)
    substitutions = [one for one in scored if one.allele.end - one.allele.start == len(one.allele.alt) == 1]
    lists = {"substitutions": substitutions}
    if len(substitutions) < len(scored):
        lists = {"all alleles": scored, **lists}
    for title, ranked in lists.items():
        print(f"\n### Highest SBERT_KL of {file.name}: {title}, {len(ranked)} scored\n")
        table("allele", "gene", "consequence", "nearest exon edge", ">SBERT_KL")
        for written, allele, score in ranked[:TOP]:
            place = score.placement
            gene, consequence = f"{place.symbol} {place.strand}", place.consequence.split("&")[0] or "–"
            row([written, gene, consequence, _edge(bench.genes, allele, place), f"{score.kl:.1f}"])


def _written(record: Record, result: AlleleResult) -> str:
    return f"{record.contig}:{record.start + 1} {record.ref}>{result.alt}"


def _edge(genes: Genes, allele: Allele, place: Placement) -> str:
    """Return side and distance of the nearest exon edge of the gene: donor +1 is the first base of an intron."""
    here = genes.overlapping(allele.contig, allele.start, allele.end)
    gene = next((gene for gene in here if (gene.gene_name, gene.strand) == (place.symbol, place.strand)), None)
    edge = genes.nearest_exon_edge(allele.contig, allele.start, allele.end, gene) if gene else None
    if edge is None:
        return "–"
    return f"{edge.side} {edge.distance:+d}" if edge.distance else f"across the {edge.side}"


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled", help="a name of `sbert-vcf models list` or a folder")
    parser.add_argument("--data", type=Path, default=os.environ.get("SBERT_VCF_DATA"))
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.data is None:
        sys.exit("real_vcfs.py: name the folder of the real data with --data or SBERT_VCF_DATA")
    data = Path(options.data)
    use_cpu_threads(options.threads)
    device = select_device()
    model = load_masked_lm(resolve(options.model), options.model)
    resolve_precision("auto", device)
    bench = Bench(model, Predictor(model.network, device), Unread(model.network, device), Genes.open(data / GENES))
    files = files_of(data)
    print(f"Model `{model.name}`, SHA-256 of its weights `{model.sha256}`.")
    tallies(bench, files)
    agreement(bench, files)
    for file in files:
        if file.vcf.name in RANKED:
            ranking(bench, file)


if __name__ == "__main__":
    main()
