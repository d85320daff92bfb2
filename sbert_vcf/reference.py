"""The reference FASTA: contig names, lengths, and bases read by blocks."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from sbert_model.contigs import ContigNames
from sbert_model.errors import InputError
from sbert_model.fasta import fetch, index_digest, open_fasta
from sbert_model.tokenizer import Ids, encode, reverse_complement

_BLOCK = 1 << 15
_BLOCK_READ = _BLOCK + (1 << 12)
"""A block is read with what follows it, so that what is asked for lies in one, windows of long alleles too."""
_BLOCKS_KEPT = 64
_LETTERS = bytes(
    ord("T") if letter == "U" else ord(letter) if letter in "ACGT" else ord("N")
    for letter in (chr(byte).upper() for byte in range(256))
)


class Reference:
    """Random access to a plain or bgzipped FASTA. Bases outside a contig read as N."""

    def __init__(self, path: Path, aliases: Iterable[tuple[str, str]] = ()) -> None:
        """Open `path`, making its .fai (and .gzi) when missing. Raises InputError when that fails."""
        self.path = path
        self.aliases = tuple(aliases)
        if not path.is_file():
            raise InputError(f"{path}: no such FASTA; name one with --reference")
        self._fasta = open_fasta(path)
        self._lengths = dict(zip(self._fasta.references, self._fasta.lengths, strict=True))
        self._names = ContigNames(self._lengths, self.aliases)
        self._block = lru_cache(maxsize=_BLOCKS_KEPT)(self._read_block)

    def __enter__(self) -> "Reference":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fasta.close()

    @property
    def contigs(self) -> dict[str, int]:
        """Contig lengths in nt by the FASTA's names, in file order."""
        return self._lengths

    def contig(self, name: str) -> str | None:
        """Return the FASTA's name for a contig that the input calls `name`, or None."""
        return self._names.resolve(name)

    def index_digest(self) -> str:
        """Return the SHA-256 of the FASTA index: it fixes the contigs, their order and lengths."""
        return index_digest(self.path)

    def letters(self, contig: str, start: int, end: int) -> str:
        """Return the bases of [start, end) as A, C, G, T; U reads as T, other letters as N, bases outside as N."""
        if start >= end:
            return ""
        index = start // _BLOCK
        first = index * _BLOCK
        if end <= first + _BLOCK_READ:
            return self._block(contig, index).letters[start - first : end - first]
        indices = range(index, (end - 1) // _BLOCK + 1)
        text = "".join(self._block(contig, index).letters[:_BLOCK] for index in indices)
        return text[start - first : end - first]

    def ids(self, contig: str, start: int, end: int, strand: str = "+") -> Ids:
        """Return the token ids of [start, end) in sense direction of a strand, (end - start,) uint8; N outside."""
        index = start // _BLOCK
        first = index * _BLOCK
        if start < end <= first + _BLOCK_READ:
            _, sense, antisense = self._block(contig, index)
            low, high = start - first, end - first
            return np.array(sense[low:high] if strand == "+" else antisense[_BLOCK_READ - high : _BLOCK_READ - low])
        ids = encode(self.letters(contig, start, end))
        return ids if strand == "+" else reverse_complement(ids)

    def has_gap(self, contig: str, start: int, end: int) -> bool:
        """Tell whether [start, end) holds a base that is not A, C, G or T."""
        return "N" in self.letters(contig, start, end)

    def _read_block(self, contig: str, index: int) -> "_Block":
        """Read [index * _BLOCK, + _BLOCK_READ), N outside the contig."""
        start, end = index * _BLOCK, index * _BLOCK + _BLOCK_READ
        low, high = min(max(start, 0), end), max(min(end, self._lengths[contig]), start)
        inside = b""
        if low < high:
            text = fetch(self._fasta, self.path, contig, low, high)
            inside = text.translate(_LETTERS)
        letters = (b"N" * (low - start) + inside).ljust(_BLOCK_READ, b"N")
        ids = encode(letters)
        return _Block(letters.decode("ascii"), ids, reverse_complement(ids))


class _Block(NamedTuple):
    """A stretch of a contig: its letters, and their ids on the plus and, from its other end, on the minus strand."""

    letters: str
    ids: Ids
    antisense: Ids
