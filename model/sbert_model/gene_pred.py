"""Lines of UCSC's gene tables: genePred, plain or extended, with or without the bin column, and refFlat."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sbert_model.errors import InputError

STRANDS = (b"+", b"-")
LAST_POSITION = 1 << 40
"""No contig is longer; positions beyond it do not fit the 64-bit columns that genes are kept in."""
EXTENDED_COLUMNS = 15
"""Columns of an extended genePred line without its bin; the twelfth is the gene's name (`name2`)."""


class GenePred(NamedTuple):
    """One line; coordinates as in the file, 0-based half-open. Without a coding part cds_start is not below cds_end.

    Source: https://genome.ucsc.edu/FAQ/FAQformat.html#format9
    """

    name: str
    gene: str
    contig: str
    strand: str
    start: int
    end: int
    cds_start: int
    cds_end: int
    exons: list[tuple[int, int]]


def is_gene_pred(line: bytes) -> bool:
    """Tell a genePred line from one of GTF or GFF3: its strand is the third column, or the fourth after a bin."""
    columns = line.rstrip(b"\r\n").split(b"\t")
    return len(columns) >= 10 and any(column in STRANDS for column in columns[2:4])


def read_gene_pred(path: Path, numbered: Iterable[tuple[int, bytes]]) -> Iterator[GenePred]:
    """Yield a table's numbered lines, in their order; `path` is for messages. Raises InputError for a broken line."""
    for number, line in numbered:
        if not line.strip() or line.startswith(b"#"):
            continue
        columns = line.rstrip(b"\r\n").split(b"\t")
        try:
            row = _parse(columns)
        except (ValueError, IndexError):
            row = None
        if row is None:
            found = line[:60].decode(errors="replace")
            raise InputError(
                f"{path}:{number}: expected the columns of UCSC genePred (name, chrom, strand, txStart, txEnd, "
                f"cdsStart, cdsEnd, exonCount, exonStarts, exonEnds, exons inside the transcript), found {found!r}"
            )
        yield row


def _parse(columns: list[bytes]) -> GenePred | None:
    """Return the line, None where its parts contradict each other. Raises ValueError or IndexError when cut short."""
    # One column more goes before the name: the bin, or in refFlat the name of the gene.
    first = columns[0] if columns[2] not in STRANDS else b""
    columns = columns[1:] if first else columns
    name, contig, strand = columns[:3]
    start, end, cds_start, cds_end, count = map(int, columns[3:8])
    starts, ends = (list(map(int, column.rstrip(b",").split(b","))) for column in columns[8:10])
    exons = list(zip(starts, ends, strict=True))
    fits = all(start <= exon_start < exon_end <= end for exon_start, exon_end in exons)
    fits = fits and max(abs(position) for position in (end, cds_start, cds_end)) <= LAST_POSITION
    if strand not in STRANDS or not contig or not 0 <= start < end or len(exons) != count or not fits:
        return None
    gene = b"" if first.isdigit() else first
    if len(columns) >= EXTENDED_COLUMNS:
        gene = columns[11]
    label = name.decode(errors="replace")
    return GenePred(
        name=label,
        gene=gene.decode(errors="replace") or label,
        contig=contig.decode(errors="replace"),
        strand=strand.decode(),
        start=start,
        end=end,
        cds_start=cds_start,
        cds_end=cds_end,
        exons=exons,
    )
