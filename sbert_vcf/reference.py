"""The reference FASTA: contig names, lengths, and bases read by blocks."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from sbert_model.contigs import ContigNames
from sbert_model.errors import InputError
from sbert_model.fasta import fetch, index_digest, open_fasta
from sbert_model.tokenizer import encode

_BLOCK = 1 << 15
_BLOCKS_KEPT = 64
_NOT_ACGT = bytes(byte if byte in b"ACGT" else ord("N") for byte in range(256))


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
        length = self._lengths[contig]
        low, high = max(start, 0), min(end, length)
        if low >= high:
            return "N" * (end - start)
        blocks = range(low // _BLOCK, (high - 1) // _BLOCK + 1)
        text = "".join(self._block(contig, index) for index in blocks)
        offset = blocks[0] * _BLOCK
        return "N" * (low - start) + text[low - offset : high - offset] + "N" * (end - high)

    def ids(self, contig: str, start: int, end: int) -> npt.NDArray[np.uint8]:
        """Return the token ids of [start, end), (end - start,) uint8; N outside the contig."""
        return encode(self.letters(contig, start, end))

    def has_gap(self, contig: str, start: int, end: int) -> bool:
        """Tell whether [start, end) holds a base that is not A, C, G or T."""
        return "N" in self.letters(contig, start, end)

    def _read_block(self, contig: str, index: int) -> str:
        start = index * _BLOCK
        text = fetch(self._fasta, self.path, contig, start, min(start + _BLOCK, self._lengths[contig]))
        return text.upper().replace(b"U", b"T").translate(_NOT_ACGT).decode("ascii")
