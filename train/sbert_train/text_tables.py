"""Text files of examples and results, plain or gzip: their lines, and the sequences in them."""

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sbert_model.errors import InputError
from sbert_model.tokenizer import UNK, Ids, N, encode


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Return each line that is neither empty nor a `#` comment, with its place (file:number) for messages.

    Raises InputError for a file that cannot be read, is no text or has no lines.
    """
    try:
        with path.open("rb") as handle:
            compressed = handle.read(2) == b"\x1f\x8b"
        text = (gzip.decompress(path.read_bytes()) if compressed else path.read_bytes()).decode("utf-8")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: gzip file broken or cut short ({error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no text file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    lines = [
        (f"{path}:{number}", line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.startswith("#")
    ]
    if not lines:
        raise InputError(f"{path}: holds no lines")
    return lines


def write_gzip(path: Path, lines: Iterable[str]) -> None:
    """Write lines as gzip; the same lines give the same bytes."""
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
        for line in lines:
            packed.write(line.encode())


def read_sequence(place: str, text: str) -> Ids:
    """Return the ids of a sequence; raises InputError for a letter that is none of a base."""
    ids = encode(text)
    if (ids == UNK).any():
        raise InputError(f"{place}: the sequence holds {text[int((ids == UNK).argmax())]!r}, no base")
    return ids


def cut(ids: Ids, start: int, end: int) -> Ids:
    """Return [start, end) of ids, with N where it reaches beyond them."""
    window = np.full(end - start, N, dtype=np.uint8)
    first, last = max(start, 0), min(end, len(ids))
    window[first - start : last - start] = ids[first:last]
    return window
