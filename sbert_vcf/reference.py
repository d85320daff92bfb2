"""The reference FASTA: contig names, lengths, and bases read by blocks."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pysam

from sbert_model.contigs import ContigNames
from sbert_model.errors import InputError
from sbert_model.tokenizer import N, encode

_BLOCK = 1 << 15
_BLOCKS_KEPT = 64
_NOT_ACGT = bytes(letter if letter in b"ACGT" else ord("N") for letter in range(256))


class Reference:
    """Random access to a plain or bgzipped FASTA. Bases outside a contig read as N."""

    def __init__(self, path: Path, aliases: Iterable[tuple[str, str]] = ()) -> None:
        """Open `path`, making its .fai (and .gzi) when missing. Raises InputError when that fails."""
        self.path = path
        _ensure_index(path)
        try:
            self._fasta = pysam.FastaFile(str(path))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as an indexed FASTA: {error}; try samtools faidx") from error
        self._lengths = dict(zip(self._fasta.references, self._fasta.lengths, strict=True))
        self._names = ContigNames(self._lengths, aliases)
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
        return hashlib.sha256(_fai(self.path).read_bytes()).hexdigest()

    def letters(self, contig: str, start: int, end: int) -> str:
        """Return the bases of [start, end) in upper case; every letter but A, C, G, T is N, as are bases outside."""
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
        return bool((self.ids(contig, start, end) == N).any())

    def _read_block(self, contig: str, index: int) -> str:
        try:
            text: str = self._fasta.fetch(contig, index * _BLOCK, (index + 1) * _BLOCK)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path}: cannot read {contig} at {index * _BLOCK + 1}: {error}") from error
        expected = min(_BLOCK, self._lengths[contig] - index * _BLOCK)
        if len(text) != expected:
            raise InputError(
                f"{self.path}: {contig} at {index * _BLOCK + 1} gives {len(text)} bases where its index promises "
                f"{expected}; the FASTA is cut short or its .fai belongs to another file: delete the .fai and try again"
            )
        return text.upper().encode("ascii", "replace").translate(_NOT_ACGT).decode("ascii")


def _fai(path: Path) -> Path:
    return path.with_name(path.name + ".fai")


def _ensure_index(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such FASTA; name one with --reference")
    with path.open("rb") as handle:
        head = handle.read(16)
    zipped = head[:2] == b"\x1f\x8b"
    if zipped and head[12:14] != b"BC":
        raise InputError(f"{path}: compressed with gzip, which has no random access; use: gunzip and then bgzip")
    gzi = path.with_name(path.name + ".gzi")
    if _fai(path).exists() and (not zipped or gzi.exists()):
        return
    try:
        pysam.faidx(str(path))
    except pysam.utils.SamtoolsError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: has no index (.fai) and none can be made ({reason}); run samtools faidx where the folder is "
            "writable"
        ) from error
