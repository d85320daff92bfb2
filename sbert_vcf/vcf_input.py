"""Records in: a VCF's header and its lines, with the columns that scoring reads taken apart and the rest untouched."""

import contextlib
from collections.abc import Iterator
from itertools import chain
from types import TracebackType
from typing import NamedTuple

from sbert_model.errors import InputError
from sbert_vcf.header import Header
from sbert_vcf.line_source import STDIN, open_lines
from sbert_vcf.notices import Notices

_MOST_DIGITS = 18  # of a position; no contig has more
_COLUMNS = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]


class Record(NamedTuple):
    """One record: its line's first eight columns and the rest as it stands; start is 0-based; alts without `.`."""

    columns: list[str]
    contig: str
    start: int
    ref: str
    alts: tuple[str, ...]

    def info(self, key: str) -> str:
        """Return the value of an INFO key, '' when the record does not have it."""
        prefix = f"{key}="
        return next((part[len(prefix) :] for part in self.columns[7].split(";") if part.startswith(prefix)), "")

    def line(self, ours: str, drop: frozenset[str]) -> str:
        """Return the line (without its end) with the INFO keys `drop` taken out and `ours` appended to INFO."""
        info = self.columns[7]
        if any(key in info for key in drop):
            info = ";".join(part for part in info.split(";") if part.split("=", 1)[0] not in drop) or "."
        if ours:
            info = ours if info in ("", ".") else f"{info};{ours}"
        return "\t".join([*self.columns[:7], info, *self.columns[8:]])


class VcfInput:
    """An open VCF or BCF: `header`, then the records in file order by iteration. Use as a context manager.

    name: a path or '-'; region as for `open_lines`. Raises InputError for input that is no VCF, with the line number.
    """

    def __init__(self, name: str, notices: Notices, region: str | None = None) -> None:
        self.name = "standard input" if name == STDIN else name
        self._number = 0
        with contextlib.ExitStack() as stack:
            self._lines = open_lines(name, region, stack)
            self.header = self._read_header(notices)
            self._stack = stack.pop_all()
        self._records = self._read_records()

    def __enter__(self) -> "VcfInput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[Record]:
        return self._records

    def first_contig(self) -> str | None:
        """Return the contig of the next record, which is still to come, or None at the end of the input."""
        first = next(self._records, None)
        if first is None:
            return None
        self._records = chain([first], self._records)
        return first.contig

    def _read_records(self) -> Iterator[Record]:
        columns = self.header.lines[-1].count("\t") + 1
        while (line := self._next_line()) is not None:
            if line:
                yield self._record(line, columns)

    def _next_line(self) -> str | None:
        self._number += 1
        return next(self._lines, None)

    def _read_header(self, notices: Notices) -> Header:
        lines: list[str] = []
        while (line := self._next_line()) is not None:
            if not line:
                continue
            lines.append(line)
            if not line.startswith("##"):
                break
        if not lines or lines[-1].split("\t")[:8] != _COLUMNS:
            found = repr(lines[-1][:40]) if lines else "nothing"
            raise InputError(
                f"{self.name}: line {self._number}: the header of a VCF ends with a line "
                f"#CHROM POS ID REF ALT QUAL FILTER INFO (tab-separated); found {found}"
            )
        if not lines[0].startswith("##fileformat=VCF"):
            notices.warn("fileformat", f"{self.name}: has no ##fileformat line; ##fileformat=VCFv4.2 is added")
            lines.insert(0, "##fileformat=VCFv4.2")
        return Header(lines)

    def _record(self, line: str, expected: int) -> Record:
        columns = line.split("\t", 8)
        found = len(columns) + (columns[8].count("\t") if len(columns) == 9 else 0)
        if found != expected:
            raise self._error(
                f"{found} columns where the #CHROM line has {expected} (tab-separated): the line is cut short or "
                "damaged, or tabs have become blanks"
            )
        if "\0" in line:  # where a line ends for htslib: its readers would lose what follows, our fields too
            raise self._error("holds a NUL byte: the file is damaged")
        contig, pos, _, ref, alt = columns[:5]
        # Python reads the digits of every script, and refuses to read over 4,300 of them.
        if not (contig and pos.isdecimal() and pos.isascii() and len(pos) <= _MOST_DIGITS and ref and alt):
            raise self._error(f"no VCF record: {' '.join(columns[:5])[:60]!r}; expected CHROM POS ID REF ALT")
        alts = () if alt == "." else tuple(alt.split(","))
        return Record(columns, contig, int(pos) - 1, ref, alts)

    def _error(self, what: str) -> InputError:
        return InputError(f"{self.name}: line {self._number}: {what}")
