"""The work of one process in building a corpus: plan a species, then write its shards."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pysam

from sbert_model.annotation import Transcript, read_transcripts
from sbert_model.errors import InputError
from sbert_model.fasta import fetch, index_digest, open_fasta
from sbert_model.tokenizer import UNK, N, encode, reverse_complement
from sbert_train.corpus import INDEX_ROW, REGION_BITS, REGION_SHIFT, REPEAT_BIT, Codes, token_ids
from sbert_train.primary_transcripts import MIN_LENGTH, Span, match_contigs, merged_spans, split_at_gaps
from sbert_train.species_table import Genome

SHARD_NT = 1 << 28
"""A shard ends before the stretch of genes that would make it longer."""
BLOCK_NT = 1 << 22
"""What is read or counted at once: it bounds the memory that a long gene takes."""


def _code_table() -> bytes:
    ids = encode(bytes(range(256)))
    codes: Codes = np.where(ids == UNK, N, ids).astype(np.uint8)
    codes[ord("a") : ord("z") + 1] |= REPEAT_BIT
    return codes.tobytes()


def _complement_table() -> bytes:
    codes = np.arange(256, dtype=np.uint8)
    ids = token_ids(codes)
    complement: Codes = codes - ids + reverse_complement(ids)[::-1]
    return complement.tobytes()


_CODE = _code_table()
_COMPLEMENT = _complement_table()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for a species, and what is known of it before its sequence is read.

    contigs: those with genes, by the FASTA's names and in its order; absent: those that the FASTA has not.
    spans: a file for each shard.
    """

    genome: Genome
    contigs: tuple[str, ...]
    absent: tuple[str, ...]
    genes: int
    transcripts: int
    fasta_index_sha256: str
    annotation_sha256: str
    spans: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Shard:
    """A written file of tokens.

    rows: one a piece, of INDEX_ROW; contigs are numbered as in the plan, species and shard are not set.
    codes: how often each code occurs. dropped: the lengths of the pieces that were too short.
    """

    rows: npt.NDArray[np.void]
    codes: npt.NDArray[np.int64]  # (256,)
    dropped: tuple[int, ...]
    size: int
    sha256: str


def plan_species(genome: Genome, prefix: Path) -> Plan:
    """Read the annotation, find its genes in the FASTA, and write the spans of each shard to `prefix`-000.npz and on.

    Raises InputError for files that do not fit each other.
    """
    transcripts = read_transcripts(genome.annotation, with_cds=True)
    with open_fasta(genome.fasta) as fasta:
        lengths = dict(zip(fasta.references, fasta.lengths, strict=True))
    match = match_contigs(genome.annotation, {found.contig for found in transcripts}, genome.fasta, lengths)
    transcripts = [transcript for transcript in transcripts if transcript.contig in match.names]
    for transcript in transcripts:
        _check_inside(transcript, match.names[transcript.contig], lengths, genome)
    contigs = tuple(dict.fromkeys(match.names.values()))
    files = []
    for number, spans in enumerate(_shards(merged_spans(transcripts, match.names))):
        files.append(prefix.with_name(f"{prefix.name}-{number:03d}.npz"))
        _save(files[-1], spans, contigs)
    return Plan(
        genome=genome,
        contigs=contigs,
        absent=match.absent,
        genes=len({(found.contig, found.strand, found.gene_id) for found in transcripts}),
        transcripts=len(transcripts),
        fasta_index_sha256=index_digest(genome.fasta),
        annotation_sha256=_file_digest(genome.annotation),
        spans=tuple(files),
    )


def _check_inside(transcript: Transcript, name: str, lengths: dict[str, int], genome: Genome) -> None:
    if transcript.end > lengths[name]:
        raise InputError(
            f"{genome.annotation}: gene {transcript.gene_id} of {transcript.contig} ends at {transcript.end:,}, beyond "
            f"the end of {name} in {genome.fasta} ({lengths[name]:,}); give the FASTA of the same assembly"
        )


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _shards(spans: list[Span]) -> Iterator[list[Span]]:
    shard: list[Span] = []
    size = 0
    for span in spans:
        length = span.end - span.start
        if shard and size + length > SHARD_NT:
            yield shard
            shard, size = [], 0
        shard.append(span)
        size += length
    if shard:
        yield shard


def _save(path: Path, spans: list[Span], contigs: tuple[str, ...]) -> None:
    numbers = {name: number for number, name in enumerate(contigs)}
    rows = np.zeros(len(spans), dtype=INDEX_ROW)
    for row, span in zip(rows, spans, strict=True):
        row["contig"], row["start"], row["end"] = numbers[span.contig], span.start, span.end
        row["minus"], row["coding"] = span.strand == "-", -1 if span.coding is None else span.coding
    regions = np.concatenate([span.regions for span in spans])  # (K, 3)
    ends = np.cumsum([len(span.regions) for span in spans])
    np.savez(path, contigs=np.array(contigs), rows=rows, regions=regions, ends=ends)


def write_shard(spans: Path, fasta: Path, target: Path) -> Shard:
    """Write the pieces of the planned spans as codes, one after the other, in the sense direction."""
    with np.load(spans, allow_pickle=False) as plan:
        contigs, rows = plan["contigs"].tolist(), plan["rows"]
        regions = np.split(plan["regions"], plan["ends"][:-1])
    pieces: list[npt.NDArray[np.void]] = []
    dropped: list[int] = []
    counts = np.zeros(256, dtype=np.int64)
    digest = hashlib.sha256()
    offset = 0
    with open_fasta(fasta) as file, target.open("wb") as out:
        for row, painted in zip(rows, regions, strict=True):
            codes = _read(file, fasta, contigs[row["contig"]], int(row["start"]), int(row["end"]))
            _paint(codes, painted, int(row["start"]))
            for left, right in split_at_gaps(token_ids(codes)):
                if right - left < MIN_LENGTH:
                    dropped.append(right - left)
                    continue
                piece = row.copy()
                piece["start"], piece["end"], piece["offset"] = row["start"] + left, row["start"] + right, offset
                pieces.append(piece)
                _write(out, codes[left:right], bool(row["minus"]), digest, counts)
                offset += right - left
    found = np.array(pieces, dtype=INDEX_ROW)
    return Shard(found, counts, tuple(dropped), offset, digest.hexdigest())


def _read(file: pysam.FastaFile, path: Path, contig: str, start: int, end: int) -> Codes:
    """Codes (end - start,) without regions, by blocks."""
    codes = np.empty(end - start, dtype=np.uint8)
    for left in range(start, end, BLOCK_NT):
        right = min(left + BLOCK_NT, end)
        letters = fetch(file, path, contig, left, right)
        codes[left - start : right - start] = np.frombuffer(letters.translate(_CODE), dtype=np.uint8)
    return codes


def _paint(codes: Codes, regions: npt.NDArray[np.int64], origin: int) -> None:
    """Write the regions of rows (start, end, region) into their bits, later rows over earlier ones."""
    for start, end, region in regions.tolist():
        part = codes[start - origin : end - origin]
        part &= np.uint8(~(REGION_BITS << REGION_SHIFT) & 0xFF)
        part |= np.uint8(region << REGION_SHIFT)


def _write(out: IO[bytes], codes: Codes, minus: bool, digest: "hashlib._Hash", counts: npt.NDArray[np.int64]) -> None:
    sense = codes[::-1] if minus else codes
    for start in range(0, sense.size, BLOCK_NT):
        block = sense[start : start + BLOCK_NT].tobytes()
        if minus:
            block = block.translate(_COMPLEMENT)
        out.write(block)
        digest.update(block)
        counts += np.bincount(np.frombuffer(block, dtype=np.uint8), minlength=256)
