"""Records in: a VCF's header and its lines, with the columns that scoring reads taken apart and the rest untouched."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from sbert_model.errors import InputError
from sbert_vcf.consequence import InfoDeclaration
from sbert_vcf.line_source import STDIN, indexed_records, open_lines
from sbert_vcf.notices import Notices

_COLUMNS = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]


class Header:
    """The header lines as they were read; the last one is the #CHROM line."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def ids(self, kind: str) -> set[str]:
        """Return the IDs that lines of one kind declare: INFO, FORMAT, FILTER or contig."""
        pattern = re.compile(rf"##{kind}=<(?:[^\"]*,)?ID=([^,>]+)")
        return {match.group(1) for line in self.lines if (match := pattern.match(line))}

    @property
    def info(self) -> list[InfoDeclaration]:
        """The ID and Description of every ##INFO line."""
        pattern = re.compile(r'##INFO=<ID=([^,>]+),.*Description="(.*)"')
        return [InfoDeclaration(*match.groups()) for line in self.lines if (match := pattern.match(line))]

    @property
    def reference(self) -> str | None:
        """The file that ##reference names, without file://; None when there is no such line."""
        values = [line.split("=", 1)[1] for line in self.lines if line.startswith("##reference=")]
        return values[0].removeprefix("file://") if values else None


@dataclass(frozen=True, slots=True)
class Record:
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
        if any(f"{key}=" in info for key in drop):
            info = ";".join(part for part in info.split(";") if part.split("=", 1)[0] not in drop)
        kept = [part for part in (info, ours) if part not in ("", ".")]
        return "\t".join([*self.columns[:7], ";".join(kept) or ".", *self.columns[8:]])


class VcfInput:
    """An open VCF or BCF: `header`, then the records in file order by iteration. Use as a context manager.

    name: a path or '-'; region as for `open_lines`. `total` is the number of records where an index tells it.
    Raises InputError for input that is no VCF, with the line number.
    """

    def __init__(self, name: str, notices: Notices, region: str | None = None) -> None:
        self.name = "standard input" if name == STDIN else name
        self.total = indexed_records(name) if region is None else None
        self._stack = contextlib.ExitStack()
        self._number = 0
        with contextlib.ExitStack() as opening:
            opening.push(self._stack)
            self._lines = open_lines(name, region, self._stack)
            self.header = self._read_header(notices)
            opening.pop_all()

    def __enter__(self) -> "VcfInput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[Record]:
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
            raise InputError(f"{self.name}: line {self._number}: {found} columns where the #CHROM line has {expected}")
        contig, pos, _, ref, alt = columns[:5]
        if not (contig and pos.isdecimal() and ref and alt):
            raise InputError(f"{self.name}: line {self._number}: no VCF record: {' '.join(columns[:5])[:60]!r}")
        alts = () if alt == "." else tuple(alt.split(","))
        return Record(columns, contig, int(pos) - 1, ref, alts)
