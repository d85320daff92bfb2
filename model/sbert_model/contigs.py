"""One contig under several names: chr1 and 1, chrM and MT, and what a user's alias table adds."""

from collections.abc import Iterable
from pathlib import Path

from sbert_model.errors import InputError


class ContigNames:
    """Finds the name that a file uses for a contig that another file names in its own way.

    names: the contig names of the file that is looked into (FASTA, GTF).
    aliases: pairs of names that mean the same contig, in either order, as read by `read_aliases`.
    """

    def __init__(self, names: Iterable[str], aliases: Iterable[tuple[str, str]] = ()) -> None:
        self._names = set(names)
        self._aliases: dict[str, list[str]] = {}
        for left, right in aliases:
            self._aliases.setdefault(left, []).append(right)
            self._aliases.setdefault(right, []).append(left)
        self._resolved: dict[str, str | None] = {}

    def resolve(self, contig: str) -> str | None:
        """Return this file's name for `contig`, or None when it has no such contig."""
        if contig not in self._resolved:
            self._resolved[contig] = next((name for name in self._candidates(contig) if name in self._names), None)
        return self._resolved[contig]

    def _candidates(self, contig: str) -> Iterable[str]:
        yield contig
        yield from self._aliases.get(contig, ())
        for spelling in spellings(contig):
            yield spelling
            yield from self._aliases.get(spelling, ())
        for alias in self._aliases.get(contig, ()):
            yield from spellings(alias)


def spellings(contig: str) -> tuple[str, ...]:
    """Return the other usual spellings of a contig name: with and without `chr`, M and MT."""
    bare = contig[3:] if contig[:3].lower() == "chr" else contig
    bares = ("M", "MT") if bare in ("M", "MT") else (bare,)
    names = [name for bare in bares for name in (f"chr{bare}", bare)]
    return tuple(name for name in names if name != contig)


def read_aliases(path: Path) -> list[tuple[str, str]]:
    """Read an alias table: two contig names a line with a tab or spaces between; `#` starts a comment line.

    Raises InputError for a missing file and for a line that has not two names.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot read the alias table: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no alias table: expected text, two contig names a line") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        names = line.split()
        if len(names) != 2:
            raise InputError(f"{path}:{number}: expected two contig names, found {line[:80]!r}")
        pairs.append((names[0], names[1]))
    return pairs
