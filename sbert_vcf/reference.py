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
from sbert_model.tokenizer import encode

_BLOCK = 1 << 15
_BLOCKS_KEPT = 64
_NOT_ACGT = bytes(byte if byte in b"ACGT" else ord("N") for byte in range(256))


class Reference:
    """Random access to a plain or bgzipped FASTA. Bases outside a contig read as N."""

    def __init__(self, path: Path, aliases: Iterable[tuple[str, str]] = ()) -> None:
        """Open `path`, making its .fai (and .gzi) when missing. Raises InputError when that fails."""
        self.path = path
        _ensure_index(path)
        try:
            self._fasta = pysam.FastaFile(str(path))
            self._lengths = dict(zip(self._fasta.references, self._fasta.lengths, strict=True))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read with its index; delete {_indices(path)} and run again") from error
        if not self._lengths:
            raise InputError(f"{path}: its index names no contigs; delete {_indices(path)} and run again")
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
        expected = min(_BLOCK, self._lengths[contig] - start)
        try:
            text: str = self._fasta.fetch(contig, start, start + _BLOCK)
        except (OSError, ValueError) as error:
            raise InputError(f"{self._damaged(contig, start)} ({error})") from error
        # An index of another file points into header lines or beyond the end of this one.
        if len(text) != expected or ">" in text:
            raise InputError(self._damaged(contig, start))
        return text.upper().replace("U", "T").encode("ascii", "replace").translate(_NOT_ACGT).decode("ascii")

    def _damaged(self, contig: str, start: int) -> str:
        return (
            f"{self.path}: {contig} at {start + 1}: not the bases that the index promises: FASTA cut short, or another "
            f"FASTA's index; check it, delete {_indices(self.path)} and run again"
        )


def _fai(path: Path) -> Path:
    return path.with_name(path.name + ".fai")


def _gzi(path: Path) -> Path:
    return path.with_name(path.name + ".gzi")


def _indices(path: Path) -> str:
    return " and ".join(index.name for index in (_fai(path), _gzi(path)) if index.exists()) or _fai(path).name


def _ensure_index(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such FASTA; name one with --reference")
    try:
        with path.open("rb") as handle:
            head = handle.read(16)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    zipped = head[:2] == b"\x1f\x8b"
    if zipped and head[12:14] != b"BC":
        raise InputError(f"{path}: compressed with gzip, which has no random access; use: gunzip and then bgzip")
    missing = [index.name for index in (_fai(path), *([_gzi(path)] if zipped else [])) if not index.exists()]
    if not missing:
        return
    try:
        pysam.faidx(str(path))
    except pysam.utils.SamtoolsError as error:
        raise InputError(
            f"{path}: has no {' and no '.join(missing)}, and samtools faidx cannot make one: the folder must be "
            "writable and the file FASTA, with lines of one length in each sequence, plain or bgzipped"
        ) from error
