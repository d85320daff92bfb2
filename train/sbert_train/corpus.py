"""Pre-mRNA sequences of annotated genes: what the model is pretrained on and what is held out."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam

from sbert_model.annotation import Transcript, read_transcripts
from sbert_model.contigs import ContigNames
from sbert_model.errors import InputError
from sbert_model.tokenizer import Ids, N, encode, reverse_complement

MAX_N_RUN = 10  # longer runs of N (assembly gaps) are cut out, shorter ones stay
MIN_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Genome:
    """One species: its name, its sequence (FASTA with an index) and its genes (GTF or GFF3)."""

    species: str
    fasta: Path
    annotation: Path


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of pre-mRNA without assembly gaps; ids in the sense direction, without special tokens.

    start, end: 0-based half-open, genomic.
    """

    species: str
    contig: str
    start: int
    end: int
    strand: str
    ids: Ids  # (end - start,)


@dataclass(frozen=True, slots=True)
class Corpus:
    """The pieces to learn from, and those of the held-out contigs."""

    training: list[Piece]
    validation: list[Piece]


def load_corpus(genomes: Iterable[Genome], held_out: Sequence[str] = ()) -> Corpus:
    """Read the pre-mRNA of every gene; contigs whose whole name matches a pattern of `held_out` are for validation.

    The patterns hold for all species at once: the same genes of another species are no independent test.
    Raises InputError for files that do not fit and for a pattern that matches no contig.
    """
    patterns = [_compile(pattern) for pattern in held_out]
    matched: set[str] = set()
    corpus = Corpus([], [])
    for genome in genomes:
        for piece in genome_pieces(genome):
            hits = {pattern.pattern for pattern in patterns if pattern.fullmatch(piece.contig)}
            matched |= hits
            (corpus.validation if hits else corpus.training).append(piece)
    for pattern in patterns:
        if pattern.pattern not in matched:
            raise InputError(
                f"hold-out pattern {pattern.pattern!r} matches no contig that has genes; check the contig names"
            )
    return corpus


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InputError(f"hold-out pattern {pattern!r} is no regular expression: {error}") from error


def genome_pieces(genome: Genome) -> Iterator[Piece]:
    """Yield the pieces of one genome, contig by contig in the order of the annotation."""
    loci = gene_spans(read_transcripts(genome.annotation))
    try:
        fasta = pysam.FastaFile(str(genome.fasta))
    except (OSError, ValueError) as error:
        raise InputError(f"{genome.fasta}: cannot open the FASTA or its index: {error}; run samtools faidx") from error
    with fasta:
        names = _match_contigs(genome, {contig for contig, _ in loci}, fasta.references)
        for (contig, strand), spans in loci.items():
            if contig not in names:
                continue
            name = names[contig]
            for start, end in spans:
                if end > fasta.get_reference_length(name):
                    raise InputError(
                        f"{genome.annotation}: a gene of {contig} ends at {end:,}, beyond the end of {name} in "
                        f"{genome.fasta}; give the FASTA of the same assembly"
                    )
                ids = encode(fasta.fetch(name, start, end))
                for left, right in split_at_gaps(ids):
                    piece = ids[left:right] if strand == "+" else reverse_complement(ids[left:right])
                    yield Piece(genome.species, name, start + left, start + right, strand, np.ascontiguousarray(piece))


def _match_contigs(genome: Genome, contigs: set[str], references: Iterable[str]) -> dict[str, str]:
    """Return the FASTA's name for each annotated contig that it has; more than half must be there."""
    resolver = ContigNames(references)
    names = {contig: name for contig in contigs if (name := resolver.resolve(contig)) is not None}
    absent = sorted(contigs - set(names))
    if 2 * len(absent) > len(contigs):
        shown = ", ".join(absent[:3])
        raise InputError(
            f"{genome.annotation}: {len(absent)} of {len(contigs)} contigs with genes are not in {genome.fasta} "
            f"({shown}); give the FASTA of the same assembly"
        )
    return names


def gene_spans(transcripts: Iterable[Transcript]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Return the merged spans of the transcripts of each (contig, strand), 0-based half-open, by start."""
    spans: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for transcript in transcripts:
        spans[transcript.contig, transcript.strand].append((transcript.start, transcript.end))
    return {locus: _merge_overlapping(found) for locus, found in spans.items()}


def _merge_overlapping(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def split_at_gaps(ids: Ids) -> list[tuple[int, int]]:
    """Return the stretches between runs of more than 10 N, without N at their ends, that have 64 nt or more."""
    known = np.flatnonzero(ids != N)  # (K,)
    if known.size == 0:
        return []
    breaks = np.flatnonzero(np.diff(known) > MAX_N_RUN + 1)
    starts = known[np.concatenate(([0], breaks + 1))]
    ends = known[np.concatenate((breaks, [known.size - 1]))] + 1
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True) if end - start >= MIN_LENGTH]
