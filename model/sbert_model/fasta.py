"""A FASTA opened for random access, and its index."""

import hashlib
from pathlib import Path

import pysam

from sbert_model.errors import InputError


def open_fasta(path: Path) -> pysam.FastaFile:
    """Open a plain or bgzipped FASTA, making its .fai (and .gzi) when missing.

    Raises InputError for a file that is missing, gzipped but not bgzipped, or that does not fit its index.
    """
    _ensure_index(path)
    try:
        fasta = pysam.FastaFile(_local(path))
        there = bool(fasta.references)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read with its index; delete {_indices(path)} and run again") from error
    if not there:
        raise InputError(f"{path}: its index names no contigs; delete {_indices(path)} and run again")
    return fasta


def fetch(fasta: pysam.FastaFile, path: Path, contig: str, start: int, end: int) -> bytes:
    """Return the letters of [start, end), 0-based, as the file has them. Raises InputError where some are missing."""
    try:
        text = fasta.fetch(contig, start, end).encode("ascii", "replace")
    except (OSError, ValueError) as error:
        raise InputError(f"{_damaged(path, contig, start)} ({error})") from error
    # An index of another file points into header lines or beyond the end of this one.
    if len(text) != end - start or b">" in text:
        raise InputError(_damaged(path, contig, start))
    return text


def _damaged(path: Path, contig: str, start: int) -> str:
    return (
        f"{path}: {contig} at {start + 1}: not the bases that the index promises: FASTA cut short, or another FASTA's "
        f"index; check it, delete {_indices(path)} and run again"
    )


def index_digest(path: Path) -> str:
    """Return the SHA-256 of the FASTA's index: it fixes the contigs, their order and lengths."""
    return hashlib.sha256(_fai(path).read_bytes()).hexdigest()


def _local(path: Path) -> str:
    """Return the name for htslib: absolute, for it takes `http:x` for a URL and samtools `-x` for an option."""
    return str(path.absolute())


def _fai(path: Path) -> Path:
    return path.with_name(path.name + ".fai")


def _gzi(path: Path) -> Path:
    return path.with_name(path.name + ".gzi")


def _indices(path: Path) -> str:
    return " and ".join(index.name for index in (_fai(path), _gzi(path)) if index.exists()) or _fai(path).name


def _ensure_index(path: Path) -> None:
    try:
        with path.open("rb") as handle:
            head = handle.read(16)
    except FileNotFoundError as error:
        raise InputError(f"{path}: cannot read the FASTA: {error.strerror}") from error
    except OSError as error:
        raise InputError(f"{path}: the FASTA cannot be read: {error.strerror}") from error
    zipped = head[:2] == b"\x1f\x8b"
    if zipped and head[12:14] != b"BC":
        plain = path.with_suffix("").name
        raise InputError(
            f"{path}: compressed with gzip, which has no random access; "
            f"run: gunzip {path} && bgzip {path.parent / plain}"
        )
    missing = [index.name for index in (_fai(path), *([_gzi(path)] if zipped else [])) if not index.exists()]
    if not missing:
        return
    try:
        pysam.faidx(_local(path))
    except pysam.utils.SamtoolsError as error:
        raise InputError(
            f"{path}: has no {' and no '.join(missing)}, and samtools faidx cannot make one: the folder must be "
            "writable and the file FASTA, with lines of one length in each sequence, plain or bgzipped"
        ) from error
