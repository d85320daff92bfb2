"""A corpus of a few thousand bases: two species with genes, introns, CDS, repeats and gaps, built as any other."""

import random
from collections.abc import Sequence
from pathlib import Path

from sbert_train.build_corpus import HoldOut, build_corpus
from sbert_train.species_table import Genome

CONTIGS = ("chr1", "chr2", "chr3")


def write_tiny_corpus(
    folder: Path,
    *,
    seed: int = 0,
    species: Sequence[str] = ("alpha", "beta"),
    pieces: int = 12,
    hold_out: Sequence[str] = ("chr3",),
) -> Path:
    """Write genomes and their corpus below `folder` and return the corpus; `pieces`: of each species, in both splits.

    The genes are laid out over three contigs in turn, so that a third of them is held out unless told otherwise.
    """
    genomes = [
        write_tiny_genome(folder / name, genes=pieces, seed=seed + 1000 * number) for number, name in enumerate(species)
    ]
    build_corpus(genomes, folder / "corpus", HoldOut(tuple(hold_out)))
    return folder / "corpus"


def write_tiny_genome(folder: Path, *, genes: int = 12, seed: int = 0) -> Genome:
    """Write genome.fa and genes.gtf: genes of 300 to 900 nt with two introns, on both strands, two in three coding."""
    numbers = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    bases: dict[str, list[str]] = {contig: [_random_bases(numbers, 100)] for contig in CONTIGS}
    lines: list[str] = []
    for number in range(genes):
        contig = CONTIGS[number % len(CONTIGS)]
        start = sum(map(len, bases[contig]))
        text, exons = _gene(numbers)
        strand = numbers.choice("+-")
        if strand == "-":
            text = text[::-1].translate(str.maketrans("ACGTacgt", "TGCAtgca"))
            exons = [(len(text) - end, len(text) - first) for first, end in reversed(exons)]
        bases[contig] += [text, _random_bases(numbers, 80)]
        placed = [(start + first, start + end) for first, end in exons]
        lines += _gtf(contig, strand, f"G{number}", placed, coding=number % 3 != 2)
    (folder / "genome.fa").write_text("".join(f">{name}\n{''.join(parts)}\n" for name, parts in bases.items()))
    (folder / "genes.gtf").write_text("".join(lines))
    return Genome(folder.name, folder / "genome.fa", folder / "genes.gtf")


def _random_bases(numbers: random.Random, length: int) -> str:
    return "".join(numbers.choices("ACGT", (30, 20, 20, 30), k=length))


def _gene(numbers: random.Random) -> tuple[str, list[tuple[int, int]]]:
    """The sense strand of three exons and two introns (GT..AG, the second with a repeat and two N), and the exons."""
    text, exons = "", []
    for number in range(3):
        exon = _random_bases(numbers, numbers.randint(60, 150))
        exons.append((len(text), len(text) + len(exon)))
        text += exon
        if number < 2:
            middle = _random_bases(numbers, numbers.randint(60, 200))
            if number == 1:
                middle = middle[:20] + middle[20:50].lower() + "NN" + middle[50:]
            text += f"GTAAGT{middle}TTTTTTCTAACAG"
    return text, exons


def _gtf(contig: str, strand: str, gene: str, exons: list[tuple[int, int]], *, coding: bool) -> list[str]:
    """GTF lines; the CDS leaves 20 bases at either end untranslated."""
    start, end = exons[0][0], exons[-1][1]
    features = [("transcript", start, end), *(("exon", *exon) for exon in exons)]
    if coding:
        features += [("CDS", max(first, start + 20), min(last, end - 20)) for first, last in exons]
    return [
        f'{contig}\ttest\t{kind}\t{first + 1}\t{last}\t.\t{strand}\t.\tgene_id "{gene}"; transcript_id "{gene}.1";\n'
        for kind, first, last in features
    ]
