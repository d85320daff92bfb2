"""A made-up contig with genes and variants, for checks of a device where no genome is at hand."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from sbert_vcf.strand import Site

CONTIG: Final = "generated"
_SEED = 20_250
_EXON, _INTRON, _MARGIN = 150, 850, 1500
_EXONS_PER_GENE = 6
_INDEL_SHARE = 0.1
_LONGEST_INDEL = 8
# Where variants lie, from a splice site: mostly near it, and up to the middle of the intron.
_REACH = (3, 12, 45, 400)


class Generated(NamedTuple):
    """The files, and the sites of the variants in the order of the contig."""

    fasta: Path
    genes: Path
    sites: list[Site]


class _Gene(NamedTuple):
    """Exons by their places on the contig, in its order."""

    strand: str
    exons: list[tuple[int, int]]


def generate(folder: Path, variants: int) -> Generated:
    """Write a FASTA and a GTF into `folder`, with one variant a site around splice sites; the same every time.

    The bases are random but for GT and AG at the ends of the introns. One variant in ten is an insertion or deletion.
    """
    numbers = random.Random(_SEED)
    genes = _genes(max(-(-variants // 40), 2))
    length = genes[-1].exons[-1][1] + _MARGIN
    bases = numbers.choices("ACGT", k=length)
    for gene in genes:
        for (_, start), (end, _) in zip(gene.exons[:-1], gene.exons[1:], strict=True):
            first, last = ("GT", "AG") if gene.strand == "+" else ("CT", "AC")
            bases[start : start + 2], bases[end - 2 : end] = first, last
    sequence = "".join(bases)
    fasta, gtf = folder / "generated.fa", folder / "generated.gtf"
    fasta.write_text(f">{CONTIG}\n{sequence}\n")
    gtf.write_text("".join(_gtf_lines(genes)))
    sites = [_site(numbers, genes, sequence) for _ in range(variants)]
    return Generated(fasta, gtf, sorted(sites, key=lambda site: site.start))


def _genes(count: int) -> list[_Gene]:
    genes, place = [], _MARGIN
    for number in range(count):
        starts = [place + index * (_EXON + _INTRON) for index in range(_EXONS_PER_GENE)]
        genes.append(_Gene("+-"[number % 2], [(start, start + _EXON) for start in starts]))
        place = starts[-1] + _EXON + _INTRON
    return genes


def _gtf_lines(genes: list[_Gene]) -> Iterator[str]:
    for number, gene in enumerate(genes, 1):
        whole = ("transcript", gene.exons[0][0], gene.exons[-1][1])
        for kind, start, end in (whole, *(("exon", *exon) for exon in gene.exons)):
            attributes = f'gene_id "G{number}"; transcript_id "T{number}"; gene_name "G{number}";'
            yield f"{CONTIG}\tgenerated\t{kind}\t{start + 1}\t{end}\t.\t{gene.strand}\t.\t{attributes}\n"


def _site(numbers: random.Random, genes: list[_Gene], sequence: str) -> Site:
    gene = numbers.choice(genes)
    exon = numbers.randrange(1, _EXONS_PER_GENE - 1)
    reach = numbers.choice(_REACH)
    place = gene.exons[exon][numbers.randrange(2)] + numbers.randrange(-reach, reach)
    ref = sequence[place]
    if numbers.random() >= _INDEL_SHARE:
        return Site(CONTIG, place, ref, (numbers.choice([base for base in "ACGT" if base != ref]),))
    length = numbers.randrange(1, _LONGEST_INDEL)
    if numbers.random() < 0.5:
        return Site(CONTIG, place, ref, (ref + "".join(numbers.choices("ACGT", k=length)),))
    return Site(CONTIG, place, sequence[place : place + length + 1], (ref,))
