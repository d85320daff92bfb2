"""The header of a VCF: its lines, and what they declare."""

import re

from sbert_vcf.consequence import InfoDeclaration

_SPACES = dict.fromkeys((*range(32), 127), " ")


class Header:
    """The header lines as they were read; the last one is the #CHROM line."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def ids(self, kind: str) -> list[str]:
        """Return the IDs that lines of one kind declare, in their order: INFO, FORMAT, FILTER or contig."""
        pattern = _declaration(kind)
        return [match.group(1) for line in self.lines if (match := pattern.match(line))]

    def without_info(self, ids: frozenset[str]) -> "Header":
        """Return the header without the ##INFO lines of these IDs."""
        pattern = _declaration("INFO")
        return Header([line for line in self.lines if not ((match := pattern.match(line)) and match.group(1) in ids)])

    def with_lines(self, lines: list[str]) -> "Header":
        """Return the header with more lines before the #CHROM line; control characters become spaces.

        Names of files and arguments may hold line ends, which would end a line early.
        """
        return Header([*self.lines[:-1], *(line.translate(_SPACES) for line in lines), self.lines[-1]])

    @property
    def info(self) -> list[InfoDeclaration]:
        """The ID and Description of every ##INFO line."""
        pattern = re.compile(_declaration("INFO").pattern + r',.*Description="(.*)"')
        return [InfoDeclaration(*match.groups()) for line in self.lines if (match := pattern.match(line))]

    @property
    def reference(self) -> str | None:
        """The file that ##reference names, without file://; None when there is no such line."""
        values = [line.split("=", 1)[1] for line in self.lines if line.startswith("##reference=")]
        return values[0].removeprefix("file://") if values else None

    @property
    def longest_contig(self) -> int:
        """The largest length in nt that a ##contig line declares, 0 where none does."""
        pattern = re.compile(r"##contig=<.*\blength=([0-9]{1,18})(?![0-9])")
        return max((int(match.group(1)) for line in self.lines if (match := pattern.match(line))), default=0)


def _declaration(kind: str) -> re.Pattern[str]:
    before = r'(?:[^"]|"(?:[^"\\]|\\.)*")*?,'  # other keys; quoted values may hold anything
    return re.compile(rf"##{kind}=<(?:{before})?ID=([^,>]+)")
