"""Made-up genomes, annotations and VCFs of any size, for bench_scale.py."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

NT_PER_RECORD = 600
LONGEST_GENOME = 3_100_000_000
CONTIGS = 24
GENE_EVERY = 60_000
TRANSCRIPTS, EXONS, EXON = 4, 9, 150
AT_ONCE = 50_000
HEADER = (
    "##fileformat=VCFv4.2",
    '##INFO=<ID=AC,Number=A,Type=Integer,Description="Allele count">',
    '##INFO=<ID=AF,Number=A,Type=Float,Description="Allele frequency">',
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">',
    '##INFO=<ID=MQ,Number=1,Type=Float,Description="Mapping quality">',
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
    '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depths">',
    '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">',
    '##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="Quality">',
)
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT"


class World:
    """A genome with genes on alternating strands, in a folder; `covered` is the share of it in genes."""

    def __init__(self, folder: Path, length: int, covered: float) -> None:
        self.fasta, self.genes, self.model = folder / "genome.fa", folder / "genes.gtf", folder / "model"
        self.size = length // CONTIGS
        self.covered = covered

    def write(self) -> None:
        """Write FASTA and GTF."""
        self._write_fasta()
        self._write_genes()

    def _write_fasta(self) -> None:
        rng = np.random.default_rng(1)
        with self.fasta.open("wb") as out:
            for contig in range(CONTIGS):
                out.write(f">chr{contig + 1}\n".encode())
                out.write(_letters(rng, self.size))
                out.write(b"\n")

    def _write_genes(self) -> None:
        rng = np.random.default_rng(2)
        with self.genes.open("w") as out:
            for contig in range(CONTIGS):
                for start in range(0, self.size - GENE_EVERY, GENE_EVERY):
                    out.writelines(self._gene(rng, contig, start))

    def _gene(self, rng: np.random.Generator, contig: int, start: int) -> Iterator[str]:
        """Yield the lines of a gene whose transcripts have some of its exons each."""
        number = start // GENE_EVERY
        gene = f"G{contig + 1:02}{number:07}"
        starts = start + np.sort(rng.integers(0, max(int(GENE_EVERY * self.covered) - EXON, 1), 14))
        starts = starts[np.diff(starts, append=starts[-1] + 1000) > 2 * EXON]
        for transcript in range(TRANSCRIPTS):
            inner = rng.permutation(starts[1:-1])[: EXONS - 2]
            chosen = sorted({int(starts[0]), *inner.tolist(), int(starts[-1])})
            text = f'gene_id "{gene}"; transcript_id "{gene}.T{transcript}"; gene_name "NAME{contig + 1}x{number}";'
            spans = [("transcript", chosen[0], chosen[-1] + EXON), *(("exon", one, one + EXON) for one in chosen)]
            for kind, first, last in spans:
                yield f"chr{contig + 1}\tx\t{kind}\t{first + 1}\t{last}\t.\t{'+-'[number % 2]}\t.\t{text}\n"


def _letters(rng: np.random.Generator, count: int) -> bytes:
    return np.frombuffer(b"ACGT", dtype=np.uint8)[rng.integers(0, 4, count, dtype=np.uint8)].tobytes()


def records(world: World, wanted: int, in_genes: float, samples: int) -> Iterator[str]:
    """Yield the lines of a VCF in order; in_genes: share of the positions that a gene covers."""
    names = (f"S{number}" for number in range(samples))
    contigs = (f"##contig=<ID=chr{number + 1},length={world.size}>" for number in range(CONTIGS))
    yield from (*HEADER, *contigs, "\t".join([COLUMNS, *names]))
    rng = np.random.default_rng(3)
    bases = np.memmap(world.fasta, dtype=np.uint8, mode="r")
    bank = genotypes(rng, samples)
    offset, left = 0, wanted
    for contig in range(CONTIGS):
        offset += len(f">chr{contig + 1}\n")
        here = left // (CONTIGS - contig)
        left -= here
        if in_genes < 1:
            positions = np.sort(rng.integers(1000, world.size - 2000, here))
        else:
            gene = rng.integers(0, max((world.size - GENE_EVERY) // GENE_EVERY, 1), here) * GENE_EVERY
            positions = np.sort(gene + rng.integers(0, int(GENE_EVERY * world.covered), here) + 1000)
        yield from _lines(rng, f"chr{contig + 1}", positions, bases[offset : offset + world.size], bank)
        offset += world.size + 1


def genotypes(rng: np.random.Generator, samples: int) -> list[str]:
    """Return a few hundred tails of lines, FORMAT and sample columns, to draw from."""
    if samples == 1:
        depths = rng.integers(5, 40, (500, 2)).tolist()
        return [f"GT:AD:DP:GQ\t{'0/1' if a else '1/1'}:{a},{b}:{a + b}:{min(99, 3 * a)}" for a, b in depths]
    drawn = rng.choice(["0|0", "0|1", "1|0", "1|1"], (300, samples), p=[0.9, 0.04, 0.04, 0.02])
    return ["\t".join(["GT", *row]) for row in drawn.tolist()]


def _lines(
    rng: np.random.Generator, contig: str, positions: np.ndarray, bases: np.ndarray, bank: Sequence[str]
) -> Iterator[str]:
    kinds = rng.choice(5, len(positions), p=[0.88, 0.045, 0.045, 0.025, 0.005])
    turns = rng.integers(1, 4, len(positions))
    sizes = rng.integers(1, 7, len(positions))
    tails = rng.integers(0, len(bank), len(positions))
    for pos, kind, turn, size, tail in zip(
        positions.tolist(), kinds.tolist(), turns.tolist(), sizes.tolist(), tails.tolist(), strict=True
    ):
        ref = chr(bases[pos])
        other = "ACGT"["ACGT".index(ref) - turn]
        if kind == 0:
            alt = other
        elif kind == 1:
            alt = ref + "ACGTAC"[:size]
        elif kind == 2:
            ref, alt = bases[pos : pos + size + 1].tobytes().decode(), ref
        elif kind == 3:
            alt = f"{other},{'ACGT'['ACGT'.index(ref) - turn % 3 - 1]}"
        else:
            alt = "*" if size % 2 else "<DEL>"
        info = f"AC=1;AF=0.{pos % 1000:03};DP={20 + pos % 40};MQ=60.00"
        yield f"{contig}\t{pos + 1}\trs{pos}\t{ref}\t{alt}\t{30 + pos % 900}\tPASS\t{info}\t{bank[tail]}"


def write_vcf(path: Path, lines: Iterator[str]) -> None:
    """Write a bgzipped VCF."""
    import pysam

    with pysam.BGZFile(str(path), "wb") as out:
        while some := list(islice(lines, AT_ONCE)):
            out.write("".join(f"{line}\n" for line in some).encode())
