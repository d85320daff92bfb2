"""Lines of a text file, plain or gzipped, in bounded memory."""

import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path

from sbert_model.errors import InputError

_BLOCK = 1 << 18
LONGEST_LINE = 1 << 26
"""Bytes; of the tables that are read here none has lines of a thousandth of it."""


@contextlib.contextmanager
def open_lines(path: Path) -> Iterator[Iterator[bytes]]:
    """Open a file and give its lines without their line feeds. Raises OSError, EOFError or zlib.error where damaged.

    Raises InputError for a line of over LONGEST_LINE bytes, before it fills the memory.
    """
    with path.open("rb") as raw:
        file = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw
        yield _split(path, iter(lambda: file.read(_BLOCK), b""))


def _split(path: Path, blocks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
        if len(rest) > LONGEST_LINE:
            raise InputError(f"{path}: has a line of over {LONGEST_LINE:,} bytes; is this the right file?")
    if rest:
        yield rest
