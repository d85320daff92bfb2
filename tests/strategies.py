"""Small genomes and VCF records in them, as hypothesis draws them: every kind of allele in every kind of place."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pysam
from hypothesis import strategies as st

WINDOW = 240
"""nt that the tiny model reads: room for alleles of 20 nt."""
ROOM = WINDOW - WINDOW // 2 - 100
SEEDS = st.integers(0, 2**16)
SPECIAL_ALTS = ("*", "<DEL>", "<*>", "<NON_REF>", "<INS:ME:ALU>")
INFO = (".", "", "DP=3", "FLAG;TEXT=a b,c|d", "END=9;DP=1;DP=2")
CONTIG_MISSING = "chrNone"
OPPOSITE = str.maketrans("ACGTacgt", "TGCAtgca")

Genome = dict[str, str]


class Change(NamedTuple):
    """Reference bases [start, end), 0-based, become `bases`."""

    start: int
    end: int
    bases: str


class Written(NamedTuple):
    """A record's alleles: contig, 0-based start, REF, ALTs."""

    contig: str
    start: int
    ref: str
    alts: tuple[str, ...]

    def line(self, name: str = ".", info: str = ".") -> str:
        """The record as a VCF has it."""
        columns = (self.contig, str(self.start + 1), name, self.ref, ",".join(self.alts) or ".", ".", "PASS", info)
        return "\t".join(columns)


def random_bases(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=length))


def reverse_complement(bases: str) -> str:
    return bases.translate(OPPOSITE)[::-1]


def sequences(*, gaps: bool = True) -> st.SearchStrategy[str]:
    """A contig: runs, repeats, plain and lower-case bases between two random ends; `gaps`: N and other letters too."""
    plain = st.builds(random_bases, SEEDS, st.integers(1, 120))
    runs = st.builds(lambda letter, times: letter * times, st.sampled_from("ACGT"), st.integers(2, 30))
    repeats = st.builds(lambda unit, times: unit * times, st.text("ACGT", min_size=2, max_size=4), st.integers(2, 10))
    lower = st.builds(lambda seed, length: random_bases(seed, length).lower(), SEEDS, st.integers(1, 30))
    unknown = st.sampled_from(["N", "NN", "n", "R", "y", "NNNNNNNN", "U"])
    parts = st.one_of(plain, runs, repeats, lower, runs, repeats, plain, unknown if gaps else plain)
    # Subtracted, for hypothesis is fond of small numbers.
    lengths = st.one_of(*[st.integers(0, 30)] * 9, st.integers(0, 140)).map(lambda less: 140 - less)
    ends = st.builds(random_bases, SEEDS, lengths)
    return st.builds(
        lambda left, middle, right: left + "".join(middle) + right, ends, st.lists(parts, min_size=1, max_size=4), ends
    )


def genomes(*, gaps: bool = True) -> st.SearchStrategy[Genome]:
    """One or two contigs."""
    return st.lists(sequences(gaps=gaps), min_size=1, max_size=2).map(
        lambda contigs: {f"chr{number}": bases for number, bases in enumerate(contigs, 1)}
    )


def places(bases: str) -> st.SearchStrategy[int]:
    """A 0-based position, mostly where both flanks fit, else anywhere."""
    first, last = min(105, len(bases) // 2), max(len(bases) - 120, len(bases) // 2)
    middle = st.integers(0, last - first).map(lambda right: first + (right + (last - first) // 2) % (last - first + 1))
    return st.one_of(*[middle] * 9, st.integers(0, len(bases) - 1))


@st.composite
def changes(draw: st.DrawFn, bases: str, place: int, *, longest: int = ROOM + 5) -> Change:
    """A change within a few bases of a place; what is inserted is random, or a copy of what stands before or after."""
    start = min(place + draw(st.integers(0, 5)), len(bases) - 1)
    size = st.one_of(st.integers(0, 1), st.integers(0, 4), st.integers(0, 4), st.integers(0, longest))
    # One base of the contig is left, for a record needs it.
    end = min(len(bases) if start else len(bases) - 1, start + draw(size))
    length = draw(size)
    around = [bases[max(0, start - length) : start], bases[end : end + length]]
    inserted = draw(st.one_of(st.text("ACGT", min_size=length, max_size=length), st.sampled_from(around)))
    return Change(start, end, inserted)


def apply(bases: str, change: Change) -> str:
    """The sequence after the change."""
    return bases[: change.start] + change.bases + bases[change.end :]


def write(contig: str, bases: str, changed: Sequence[Change], left: int = 0, right: int = 0) -> Written:
    """One record for changes, whose REF holds all of them and `left` and `right` bases more; no allele is empty."""
    first = max(0, min(change.start for change in changed) - left)
    last = min(len(bases), max(change.end for change in changed) + right)

    def alleles() -> list[str]:
        own = (bases[first : change.start] + change.bases + bases[change.end : last] for change in changed)
        return [bases[first:last], *own]

    if not all(alleles()):
        first, last = (first - 1, last) if first else (first, last + 1)
    ref, *alts = alleles()
    return Written(contig, first, ref, tuple(alts))


@st.composite
def records(draw: st.DrawFn, genome: Genome) -> Written:
    """A record of any kind: of changes, of alleles that have no sequence, or one that is wrong."""
    contig = draw(st.sampled_from(sorted(genome)))
    bases = genome[contig]
    padding = st.integers(0, 4)
    changed = draw(st.lists(changes(bases, draw(places(bases))), min_size=1, max_size=3))
    record = write(contig, bases, changed, draw(padding), draw(padding))
    odd = ["case", "special", "special", "alone", "letters", "wrong", "nowhere"]
    kind = draw(st.sampled_from(["plain"] * 9 + odd))
    ref, alts = record.ref, record.alts
    if kind == "case":
        return record._replace(ref=ref.swapcase(), alts=tuple(alt.lower() for alt in alts))
    if kind == "letters":
        alt = draw(st.sampled_from(["N", "R", "AN", "A-", ""]))
        return record._replace(alts=(*alts, alt)) if alt else record._replace(ref=f"{ref[:-1]}N")
    if kind == "wrong":
        return record._replace(ref=ref[:-1] + ("C" if ref[-1] in "Aa" else "A"))
    if kind == "nowhere":
        place = draw(st.sampled_from([(contig, -1), (contig, len(bases) - 1), (contig, 10**6), (CONTIG_MISSING, 5)]))
        return record._replace(contig=place[0], start=place[1])
    if kind in ("special", "alone"):
        more = [*SPECIAL_ALTS, f"{ref}[chr1:5[", f"]<x>:7]{ref}", f".{ref}", f"{ref}."]
        added = draw(st.lists(st.sampled_from(more), min_size=kind == "special", max_size=2))
        return record._replace(alts=(*(alts if kind == "special" else ()), *added))
    return record


@st.composite
def vcfs(draw: st.DrawFn, *, gaps: bool = True, largest: int = 8) -> tuple[Genome, list[Written]]:
    """A genome and records in it, in no order, some twice."""
    genome = draw(genomes(gaps=gaps))
    drawn = draw(st.lists(records(genome), min_size=1, max_size=largest))
    return genome, drawn + draw(st.lists(st.sampled_from(drawn), max_size=1))


def write_fasta(path: Path, genome: Genome) -> Path:
    """Write the FASTA with its index; returns `path`."""
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in genome.items()))
    pysam.faidx(str(path))
    return path


class Gene(NamedTuple):
    """A gene of one transcript: contig, strand, and its exons [start, end), 0-based, in genomic order."""

    contig: str
    strand: str
    exons: tuple[tuple[int, int], ...]


@st.composite
def genes_of(draw: st.DrawFn, genome: Genome) -> list[Gene]:
    """One to three genes of one to three exons each."""

    def exons(length: int) -> st.SearchStrategy[tuple[tuple[int, int], ...]]:
        cuts = st.lists(st.integers(0, length), min_size=2, max_size=6, unique=True).map(sorted)
        return cuts.map(lambda ends: tuple(zip(ends[: len(ends) // 2 * 2 : 2], ends[1::2], strict=True)))

    def gene(contig: str) -> st.SearchStrategy[Gene]:
        return st.builds(Gene, st.just(contig), st.sampled_from("+-"), exons(len(genome[contig])))

    long = [name for name in sorted(genome) if len(genome[name]) > 6]
    return draw(st.lists(st.sampled_from(long).flatmap(gene), min_size=1, max_size=3)) if long else []


def write_genes(path: Path, genes: Sequence[Gene]) -> Path:
    """Write the genes as GTF; returns `path`."""
    lines = []
    for number, gene in enumerate(genes):
        names = f'gene_id "G{number}"; transcript_id "T{number}"; gene_name "N{number}";'
        span = ("transcript", gene.exons[0][0], gene.exons[-1][1])
        for kind, start, end in (span, *(("exon", *exon) for exon in gene.exons)):
            lines.append(f"{gene.contig}\ttest\t{kind}\t{start + 1}\t{end}\t.\t{gene.strand}\t.\t{names}\n")
    path.write_text("".join(lines))
    return path
