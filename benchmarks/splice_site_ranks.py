"""Do substitutions at splice sites score higher than others in the same genes? Prints medians and AUC as Markdown.

Run: python benchmarks/splice_site_ranks.py [--model NAME] [--sample 150] [--data FOLDER]     (default: $SBERT_VCF_DATA)

In every locus introns are drawn at random. Each gives one substitution in its GT or its AG, and the transcript one in
an exon, 10 nt or more from every exon edge, and one in an intron, 100 nt or more from them. AUC is the chance that the
first of two variants scores higher than the second; its 95 % interval is that of a bootstrap over genes. Beside it
stands the AUC of the probability that is lost at the masked base, p(ref) - p(alt): does the model know the site at all?
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model")]

from sbert_model.annotation import Transcript  # noqa: E402
from sbert_model.device import use_cpu_threads  # noqa: E402
from sbert_vcf.annotator import Annotator  # noqa: E402
from sbert_vcf.genes import Gene, Genes  # noqa: E402
from sbert_vcf.options import ScoringOptions  # noqa: E402
from sbert_vcf.reference import Reference  # noqa: E402
from sbert_vcf.variant import Variant  # noqa: E402

SEED = 1
SHORTEST_INTRON = 50
FROM_EXON_EDGE = {"exonic": 10, "intronic": 100}
TRIES = 20  # for each variant wanted
RESAMPLES = 1000
MARGIN = 200  # known bases on either side of a gene
Floats = npt.NDArray[np.float64]


class Locus(NamedTuple):
    """Where variants are drawn; contig: one of the FASTA, or all."""

    name: str
    fasta: Path
    genes: Path
    contig: str | None = None


class Junction(NamedTuple):
    """An intron [start, end), genomic, of a transcript."""

    transcript: Transcript
    start: int
    end: int


class Scored(NamedTuple):
    """A substitution's KL-context and p(ref) - p(alt) at the masked base."""

    kind: str
    gene: str
    kl: float
    lost: float


class Drawn(NamedTuple):
    """A substitution of one of the classes donor, acceptor, exonic, intronic."""

    kind: str
    gene: str
    strand: str
    variant: Variant


def loci(data: Path, toy: Path) -> list[Locus]:
    """Name the places, and make the toy chromosome."""
    script = str(ROOT / "examples/make_example.py")
    subprocess.run([sys.executable, script, str(toy)], check=True, stdout=subprocess.DEVNULL)
    hg19, human = data / "hg19", data / "genomes/human"
    held_out = "hg16.chr5.131332631"
    return [
        Locus("hg19 regions (sequence of the training)", hg19 / "hg19.regions.fa.gz", hg19 / "genes.gtf.gz"),
        Locus(f"{held_out} (held out of the training)", human / "genome.fa.gz", human / "genes.gtf.gz", held_out),
        Locus("toy chromosome of examples/", toy / "toy.fa", toy / "toy.gtf"),
    ]


def introns(transcript: Transcript) -> list[tuple[int, int]]:
    """Return the genomic intervals between the exons."""
    return [(left, right) for (_, left), (right, _) in zip(transcript.exons[:-1], transcript.exons[1:], strict=True)]


class Sampler:
    """Draws substitutions in the genes of one locus, no base twice."""

    def __init__(self, locus: Locus, genes: Genes, reference: Reference) -> None:
        self.genes = genes
        self.reference = reference
        self.numbers = random.Random(SEED)
        self.taken: set[tuple[str, int]] = set()
        self.junctions = [junction for gene in genes for junction in self._junctions(locus, gene)]

    def _junctions(self, locus: Locus, gene: Gene) -> list[Junction]:
        """Return the GT…AG introns of a gene's first transcript, none when the gene is not all on known bases."""
        contig = self.reference.contig(gene.contig)
        if contig is None or locus.contig not in (None, contig):
            return []
        if self.reference.has_gap(contig, gene.start - MARGIN, gene.end + MARGIN):
            return []
        transcripts = self.genes.transcripts_overlapping(contig, gene.start, gene.end)
        transcript = next(other for other in transcripts if other.gene_id == gene.gene_id)
        wanted = "GTAG" if transcript.strand == "+" else "CTAC"
        return [
            Junction(transcript, left, right)
            for left, right in introns(transcript)
            if right - left >= SHORTEST_INTRON
            and self.reference.letters(contig, left, left + 2) + self.reference.letters(contig, right - 2, right)
            == wanted
        ]

    def draw(self, count: int) -> list[Drawn]:
        """Return `count` substitutions at splice sites, every other at a donor, and as many exonic and intronic."""
        drawn: list[Drawn] = []
        for _ in range(TRIES * count):
            if len(drawn) == 3 * count:
                break
            junction = self.numbers.choice(self.junctions)
            kind = "donor" if len(drawn) % 2 == 0 else "acceptor"
            start = junction.start if (kind == "donor") == (junction.transcript.strand == "+") else junction.end - 2
            transcript = junction.transcript
            places = {kind: start + self.numbers.randrange(2)}
            places["exonic"] = self._base(transcript, list(transcript.exons), "exonic")
            places["intronic"] = self._base(transcript, introns(transcript), "intronic")
            bases = {(transcript.contig, place) for place in places.values()}
            if -1 in places.values() or bases & self.taken:
                continue
            self.taken |= bases
            drawn += [self._substitution(name, transcript, place) for name, place in places.items()]
        return drawn

    def _base(self, transcript: Transcript, intervals: list[tuple[int, int]], kind: str) -> int:
        """Draw a base of the intervals; -1 when it is too near an exon edge of any gene, or in another gene's exon."""
        start, end = self.numbers.choices(intervals, [end - start for start, end in intervals])[0]
        place = self.numbers.randrange(start, end)
        edge = self.genes.nearest_exon_edge(transcript.contig, place, place + 1)
        others = self.genes.transcripts_overlapping(transcript.contig, place, place + 1)
        exonic = any(start <= place < end for other in others for start, end in other.exons)
        if edge is None or abs(edge.distance) <= FROM_EXON_EDGE[kind] or exonic != (kind == "exonic"):
            return -1
        return place

    def _substitution(self, kind: str, transcript: Transcript, place: int) -> Drawn:
        ref = self.reference.letters(transcript.contig, place, place + 1)
        alt = self.numbers.choice([base for base in "ACGT" if base != ref])
        return Drawn(kind, transcript.gene_id, transcript.strand, Variant(transcript.contig, place, ref, alt))


def score(locus: Locus, model: str, count: int) -> list[Scored]:
    """Draw and score, each variant on the strand of its gene."""
    with Annotator.open(ScoringOptions(reference=str(locus.fasta), model=model, strand="+", delta=True)) as plus:
        minus = Annotator(plus.reference, plus.predictor, plus.model, strand="-", delta=True)
        drawn = Sampler(locus, Genes.open(locus.genes), plus.reference).draw(count)
        scored = []
        for strand, annotator in (("+", plus), ("-", minus)):
            on_strand = [one for one in drawn if one.strand == strand]
            for one, result in zip(on_strand, annotator.score(one.variant for one in on_strand), strict=True):
                assert result.kl is not None  # MARGIN keeps variants away from gaps and ends
                assert result.delta is not None
                scored.append(Scored(one.kind, one.gene, result.kl, -result.delta))
    return scored


def auc(higher: Floats, lower: Floats) -> float:
    """Return the chance that a value of the first is the larger, ties counted by half (Mann-Whitney U / nm)."""
    if not (higher.size and lower.size):
        return float("nan")
    difference = higher[:, None] - lower[None, :]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def interval(scored: list[Scored], first: tuple[str, ...], second: tuple[str, ...], column: str) -> str:
    """Return the AUC of the first classes over the second by one of the scores, with its interval, resampling genes."""
    genes = sorted({one.gene for one in scored})
    groups = [
        (
            np.array([genes.index(one.gene) for one in scored if one.kind in kinds]),
            np.array([getattr(one, column) for one in scored if one.kind in kinds]),
        )
        for kinds in (first, second)
    ]

    def of_weights(weights: npt.NDArray[np.int64]) -> float:
        return auc(*(np.repeat(values, weights[rows]) for rows, values in groups))

    numbers = np.random.default_rng(SEED)
    resampled = [
        of_weights(np.bincount(numbers.integers(len(genes), size=len(genes)), minlength=len(genes)))
        for _ in range(RESAMPLES)
    ]
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return f"{of_weights(np.ones(len(genes), dtype=np.int64)):.3f} ({low:.3f}–{high:.3f})"


def report(locus: Locus, scored: list[Scored]) -> None:
    """Print the two tables of a locus."""
    print(f"\n### {locus.name}\n\n{len(scored)} variants in {len({one.gene for one in scored})} genes.\n")
    print("| variants | n | SBERT_KL 25 % | median | 75 % | p(ref) − p(alt), median |\n|---|--:|--:|--:|--:|--:|")
    for kind in ("donor", "acceptor", "exonic", "intronic"):
        of_kind = [one for one in scored if one.kind == kind]
        quartiles = " | ".join(f"{value:.0f}" for value in np.quantile([one.kl for one in of_kind], [0.25, 0.5, 0.75]))
        print(f"| {kind} | {len(of_kind)} | {quartiles} | {np.median([one.lost for one in of_kind]):.3f} |")
    print("\n| AUC | by SBERT_KL | by p(ref) − p(alt) |\n|---|--:|--:|")
    sites = ("donor", "acceptor")
    for first, second in ((sites, "exonic"), (sites, "intronic"), (("donor",), "exonic"), (("acceptor",), "exonic")):
        cells = " | ".join(interval(scored, first, (second,), column) for column in ("kl", "lost"))
        print(f"| {' and '.join(first)} over {second} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled", help="a name of `sbert-vcf models list` or a folder")
    parser.add_argument("--sample", type=int, default=150, help="variants at splice sites in each locus")
    parser.add_argument("--data", type=Path, default=os.environ.get("SBERT_VCF_DATA"))
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.data is None:
        sys.exit("splice_site_ranks.py: name the folder of the real data with --data or SBERT_VCF_DATA")
    use_cpu_threads(options.threads)
    with tempfile.TemporaryDirectory() as toy:
        for locus in loci(options.data, Path(toy)):
            report(locus, score(locus, options.model, options.sample))


if __name__ == "__main__":
    main()
