"""A gene annotation as flat arrays: contigs own genes, genes own transcripts, transcripts own exons."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sbert_model.annotation import Transcript


class Gene(NamedTuple):
    """A gene at one place of the genome; 0-based half-open, contig as the annotation names it.

    transcript_id: the transcript with the most exonic bases, of equals the first by position ('' if none has a name).
    """

    gene_id: str
    gene_name: str
    contig: str
    start: int
    end: int
    strand: str
    transcript_id: str


@dataclass(frozen=True, slots=True)
class GeneColumns:
    """C contigs, G genes by contig, start and end, T transcripts by gene and start, E exons by transcript and start.

    Columns with one element more than their owners have rows are offsets: owner i has rows [offset[i], offset[i + 1]).
    """

    contigs: list[str]
    contig_genes: NDArray[np.int64]  # (C + 1,)
    gene_ids: list[str]
    gene_names: list[str]
    gene_start: NDArray[np.int64]  # (G,)
    gene_end: NDArray[np.int64]  # (G,)
    gene_minus: NDArray[np.bool_]  # (G,)
    gene_representative: NDArray[np.int64]  # (G,) row of the transcript
    gene_transcripts: NDArray[np.int64]  # (G + 1,)
    transcript_ids: list[str]
    transcript_start: NDArray[np.int64]  # (T,)
    transcript_end: NDArray[np.int64]  # (T,)
    transcript_exons: NDArray[np.int64]  # (T + 1,)
    exon_start: NDArray[np.int64]  # (E,)
    exon_end: NDArray[np.int64]  # (E,)

    @classmethod
    def from_transcripts(cls, transcripts: Iterable[Transcript]) -> "GeneColumns":
        """Group transcripts into genes: same contig, strand and gene ID, overlapping directly or through each other."""
        groups: dict[str, dict[tuple[str, str], list[Transcript]]] = {}
        for transcript in transcripts:
            genes = groups.setdefault(transcript.contig, {})
            genes.setdefault((transcript.strand, transcript.gene_id), []).append(transcript)
        genes_of = {
            contig: sorted((locus for group in groups[contig].values() for locus in _loci(group)), key=_order)
            for contig in groups
        }
        loci = [locus for contig in genes_of for locus in genes_of[contig]]
        ordered = [transcript for locus in loci for transcript in locus]
        offsets = _offsets(len(locus) for locus in loci)
        return cls(
            contigs=list(genes_of),
            contig_genes=_offsets(len(genes) for genes in genes_of.values()),
            gene_ids=[locus[0].gene_id for locus in loci],
            gene_names=[locus[0].gene_name for locus in loci],
            gene_start=_array(locus[0].start for locus in loci),
            gene_end=_array(max(transcript.end for transcript in locus) for locus in loci),
            gene_minus=np.array([locus[0].strand == "-" for locus in loci], dtype=np.bool_),
            gene_representative=offsets[:-1] + _array(_representative(locus) for locus in loci),
            gene_transcripts=offsets,
            transcript_ids=[transcript.transcript_id for transcript in ordered],
            transcript_start=_array(transcript.start for transcript in ordered),
            transcript_end=_array(transcript.end for transcript in ordered),
            transcript_exons=_offsets(len(transcript.exons) for transcript in ordered),
            exon_start=_array(start for transcript in ordered for start, _ in transcript.exons),
            exon_end=_array(end for transcript in ordered for _, end in transcript.exons),
        )

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> "GeneColumns":
        """Undo `to_arrays`."""
        columns: dict[str, Any] = {
            name: json.loads(array.tobytes()) if array.dtype == np.uint8 else array for name, array in arrays.items()
        }
        return cls(**columns)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return every column as an array; texts as the bytes of a JSON list (an array of texts would pad each)."""
        columns = {column.name: getattr(self, column.name) for column in fields(self)}
        return {
            name: np.frombuffer(json.dumps(column).encode(), dtype=np.uint8) if isinstance(column, list) else column
            for name, column in columns.items()
        }

    def digest(self) -> str:
        """Return the SHA-256 of all columns."""
        digest = hashlib.sha256()
        for name, array in self.to_arrays().items():
            digest.update(f"{name} {array.dtype} {len(array)}\n".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def genes(self, contig: int) -> list[Gene]:
        """Return the genes of the contig in this row, by start and end."""
        rows = slice(*self.contig_genes[contig : contig + 2].tolist())
        return [
            Gene(
                gene_id,
                name,
                self.contigs[contig],
                start,
                end,
                "-" if minus else "+",
                self.transcript_ids[representative],
            )
            for gene_id, name, start, end, minus, representative in zip(
                self.gene_ids[rows],
                self.gene_names[rows],
                self.gene_start[rows].tolist(),
                self.gene_end[rows].tolist(),
                self.gene_minus[rows].tolist(),
                self.gene_representative[rows].tolist(),
                strict=True,
            )
        ]

    def transcripts(self, gene: Gene, row: int) -> Iterator[Transcript]:
        """Yield the transcripts of the gene in this row."""
        for index in range(*self.gene_transcripts[row : row + 2].tolist()):
            exons = slice(*self.transcript_exons[index : index + 2].tolist())
            yield Transcript(
                contig=gene.contig,
                start=int(self.transcript_start[index]),
                end=int(self.transcript_end[index]),
                strand=gene.strand,
                transcript_id=self.transcript_ids[index],
                gene_id=gene.gene_id,
                gene_name=gene.gene_name,
                exons=tuple(zip(self.exon_start[exons].tolist(), self.exon_end[exons].tolist(), strict=True)),
            )


def _loci(group: list[Transcript]) -> Iterator[list[Transcript]]:
    """Split at gaps: tables made from alignments give one ID to copies of a gene that are megabases apart."""
    group.sort(key=lambda transcript: (transcript.start, transcript.end))
    locus, reach = [group[0]], group[0].end
    for transcript in group[1:]:
        if transcript.start >= reach:
            yield locus
            locus = []
        locus.append(transcript)
        reach = max(reach, transcript.end)
    yield locus


def _order(locus: list[Transcript]) -> tuple[int, int, str, str]:
    return locus[0].start, max(transcript.end for transcript in locus), locus[0].gene_id, locus[0].strand


def _representative(locus: list[Transcript]) -> int:
    exonic = [sum(end - start for start, end in transcript.exons) for transcript in locus]
    return exonic.index(max(exonic))


def _array(values: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(values, dtype=np.int64)


def _offsets(counts: Iterable[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(_array(counts), dtype=np.int64)])
