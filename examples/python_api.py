"""Score variants from Python: every substitution around a donor splice site of the toy chromosome.

Run: python examples/make_example.py OUT_FOLDER && python examples/python_api.py OUT_FOLDER [MODEL]
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from sbert_vcf.annotator import Annotator
from sbert_vcf.genes import Genes
from sbert_vcf.options import ScoringOptions
from sbert_vcf.variant import Variant

EXON_BASES, INTRON_BASES = 3, 6


def substitutions(annotator: Annotator, contig: str, start: int, end: int) -> Iterator[Variant]:
    """Yield the three substitutions of every base of [start, end), 0-based half-open, as a VCF would have them."""
    for position, ref in enumerate(annotator.reference.letters(contig, start, end), start):
        for alt in "ACGT":
            if alt != ref:
                yield Variant(contig, position, ref, alt)


def main() -> None:
    """Print a line per base and a column per ALT."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python_api.py OUT_FOLDER [MODEL]")
    folder = Path(sys.argv[1])
    model = sys.argv[2] if len(sys.argv) == 3 else None  # None: the user's default, else the bundled model
    genes = Genes.open(folder / "toy.gtf")
    gene = next(gene for gene in genes if gene.strand == "+")
    (transcript,) = genes.transcripts_overlapping(gene.contig, gene.start, gene.end)
    donor = transcript.exons[0][1]  # 0-based: the first base of the first intron

    options = ScoringOptions(reference=str(folder / "toy.fa"), genes=str(folder / "toy.gtf"), model=model)
    with Annotator.open(options) as annotator:
        variants = list(substitutions(annotator, gene.contig, donor - EXON_BASES, donor + INTRON_BASES))
        # Lazy and in order: variants may as well come from a generator that never ends.
        results = list(annotator.score(variants))

    print(f"KL-context around the first donor of {gene.gene_name}, {gene.contig}:{donor + 1} ({gene.strand})")
    print("base  ref" + "".join(f"{alt:>11}" for alt in "ACGT"))
    scores = {(variant.start, variant.alt): result.kl for variant, result in zip(variants, results, strict=True)}
    for position, ref in sorted({(variant.start, variant.ref) for variant in variants}):
        place = (
            position - donor + (position >= donor)
        )  # as in HGVS: -1 is the last exon base, +1 the first of the intron
        values = (scores.get((position, alt)) for alt in "ACGT")
        print(f"{place:+4d}  {ref:3}" + "".join("          ." if kl is None else f"{kl:11.2f}" for kl in values))


if __name__ == "__main__":
    main()
