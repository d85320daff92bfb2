"""Text lines of a VCF or BCF from a file, a region of an indexed file, a pipe or standard input."""

import contextlib
import gzip
import io
import os
import re
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pysam
import pysam.bcftools
from cyvcf2.cyvcf2 import set_htslib_log_level
from pysam.libcutils import set_encoding_error_handler
from pysam.utils import SamtoolsError

from sbert_model.contigs import ContigNames
from sbert_model.errors import InputError
from sbert_vcf.header import Header
from sbert_vcf.notices import LOGGER

STDIN = "-"
BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_SNIFFED = 1024  # enough for a compressed file to give its first letters; a slow pipe is not waited for longer


class _Region(NamedTuple):
    """A contig as the file names it, and a 0-based half-open interval; end is None at the contig's end."""

    contig: str
    start: int
    end: int | None


def silence_htslib() -> None:
    """Keep htslib from writing to stderr, for its errors come as exceptions; let bytes that are no UTF-8 pass."""
    pysam.set_verbosity(0)
    set_htslib_log_level(0)
    set_encoding_error_handler("surrogateescape")


def open_lines(name: str, region: str | None, stack: contextlib.ExitStack) -> Iterator[str]:
    """Open a path or '-' and return its lines without line ends, header first. `stack` closes what was opened.

    region: contig, contig:position, contig:start-end or contig:start- (1-based, inclusive), for files with an index.
    Text that is no UTF-8 survives as surrogate escapes. Raises InputError for a missing, empty, truncated or damaged
    input.
    """
    silence_htslib()
    raw = stack.enter_context(_open_raw(name))
    regular = name != STDIN and Path(name).is_file()
    if region is not None and not regular:
        raise InputError(f"{_label(name)}: --region needs a file with an index, not a pipe")
    head = _read_fully(raw, _SNIFFED)
    if not head:
        raise InputError(f"{_label(name)}: is empty")
    bgzipped = head[:2] == b"\x1f\x8b" and head[12:14] == b"BC"
    if regular and bgzipped and _last_bytes(raw) != BGZF_EOF:
        raise InputError(f"{name}: truncated: bgzip's end-of-file block is missing")
    if _start_of_text(name, head).startswith(b"BCF"):
        return _bcf_lines(name, name if regular else _piped(head, raw, stack), region, stack)
    if region is not None:
        return _region_lines(name, region, stack)
    return _text_lines(name, _Chained(head, raw), bgzipped)


def indexed_records(name: str) -> int | None:
    """Return how many records the index beside a file counts, or None where it has none that tells."""
    if _find_index(name) is None:
        return None
    try:
        return int(str(pysam.bcftools.index("-n", _for_htslib(name))))
    except SamtoolsError:
        return None


class _Chained(io.RawIOBase):
    """A few bytes that were read ahead, then the rest of the stream; remembers the last bytes that went through."""

    def __init__(self, head: bytes, rest: io.RawIOBase) -> None:
        self._head = head
        self._rest = rest
        self.tail = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        if self._head:
            count = min(len(buffer), len(self._head))
            buffer[:count] = self._head[:count]
            self._head = self._head[count:]
        else:
            count = self._rest.readinto(buffer) or 0
        if count:
            self.tail = (self.tail + bytes(buffer[max(0, count - len(BGZF_EOF)) : count]))[-len(BGZF_EOF) :]
        return count


def _text_lines(name: str, source: _Chained, bgzipped: bool) -> Iterator[str]:
    stream = io.BufferedReader(source, 1 << 18)
    zipped = stream.peek(2)[:2] == b"\x1f\x8b"
    number, line = 0, b"\n"
    try:
        for line in io.BufferedReader(gzip.GzipFile(fileobj=stream), 1 << 18) if zipped else stream:
            number += 1
            yield line.decode("utf-8", "surrogateescape").rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{_label(name)}: truncated or damaged after line {number}: {error}") from error
    if bgzipped and source.tail != BGZF_EOF:
        raise InputError(f"{_label(name)}: truncated after line {number}: bgzip's end-of-file block is missing")
    if not line.endswith(b"\n"):
        # Where text is cut inside its last column nothing else tells.
        LOGGER.warning("%s: line %d, the last, has no line end: the file may be cut short", _label(name), number)


def _region_lines(name: str, text: str, stack: contextlib.ExitStack) -> Iterator[str]:
    index = _index_of(name)
    try:
        tabix = stack.enter_context(pysam.TabixFile(_for_htslib(name), index=_for_htslib(index), encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{index}: no index of this file: {error}") from error
    header = list(tabix.header)
    region = _find_region(name, text, [*Header(header).ids("contig"), *tabix.contigs])
    yield from header
    if region.contig in tabix.contigs:
        try:
            yield from (line.rstrip("\r") for line in tabix.fetch(*region))
        except (OSError, ValueError) as error:
            raise InputError(f"{name}: damaged, or its index is of another file: {error}") from error


def _bcf_lines(name: str, path: str, text: str | None, stack: contextlib.ExitStack) -> Iterator[str]:
    try:
        bcf = pysam.VariantFile(_for_htslib(path))
        stack.callback(_close_reader, bcf)
        header = str(bcf.header).rstrip("\n").split("\n")
        region = None
        if text is not None:
            index = _index_of(name)
            if bcf.index is None:
                raise InputError(f"{index}: no index of this file")
            region = _find_region(name, text, Header(header).ids("contig"))
        yield from header
        for record in bcf.fetch(*region) if region else bcf:
            yield str(record).rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise InputError(f"{_label(name)}: truncated or damaged BCF: {error}") from error


def _close_reader(bcf: pysam.VariantFile) -> None:
    # A broken file was told of when it was read; closing it fails once more.
    with contextlib.suppress(OSError):
        bcf.close()


def _piped(head: bytes, raw: io.FileIO, stack: contextlib.ExitStack) -> str:
    """Return a path from which htslib reads a stream anew, with the bytes that were read ahead.

    A child process copies. It has a session of its own, so that Ctrl-C does not look like the end of the input.
    """
    reader, writer = os.pipe()
    stack.callback(os.close, reader)
    os.write(writer, head)
    child = subprocess.Popen(["cat"], stdin=raw, stdout=writer, start_new_session=True)
    os.close(writer)
    stack.callback(child.wait)
    stack.callback(child.terminate)
    return f"/dev/fd/{reader}"


def _open_raw(name: str) -> io.FileIO:
    if name == STDIN:
        return io.FileIO(0, closefd=False)
    if Path(name).is_dir():
        raise InputError(f"{name}: is a folder; name a VCF or BCF")
    try:
        return io.FileIO(name)
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error


def _read_fully(raw: io.FileIO, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (part := raw.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _last_bytes(raw: io.FileIO) -> bytes:
    """Return the end of a file, as long as bgzip's end-of-file block; the position stays."""
    position = raw.tell()
    raw.seek(max(0, raw.seek(0, os.SEEK_END) - len(BGZF_EOF)))
    end = raw.read()
    raw.seek(position)
    return end


def _start_of_text(name: str, head: bytes) -> bytes:
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        return zlib.decompressobj(31).decompress(head, 16)
    except zlib.error as error:
        raise InputError(f"{_label(name)}: damaged gzip: {error}") from error


def _label(name: str) -> str:
    return "standard input" if name == STDIN else name


def _for_htslib(name: str) -> str:
    """Return an absolute path: htslib takes `http:x` for a URL, and bcftools `-x` for an option."""
    return str(Path(name).absolute())


def _find_index(name: str) -> Path | None:
    return next((path for suffix in (".csi", ".tbi") if (path := Path(name + suffix)).is_file()), None)


def _index_of(name: str) -> str:
    index = _find_index(name)
    if index is None:
        raise InputError(f"{name}: --region needs a bgzipped VCF or a BCF with an index: bgzip, then bcftools index")
    if index.stat().st_mtime < Path(name).stat().st_mtime:
        LOGGER.warning("%s: is older than the file that it indexes; records may be missed", index)
    return str(index)


def _find_region(name: str, text: str, contigs: Iterable[str]) -> _Region:
    """Read a region; a contig's name may itself look like one (HLA-A*01:01:01:01)."""
    names = ContigNames(contigs)
    whole = names.resolve(text)
    if whole is not None:
        return _Region(whole, 0, None)
    match = re.fullmatch(r"(.+):([0-9,]{1,20})(-?)([0-9,]{0,20})", text)
    contig = names.resolve(match.group(1) if match else text)
    if contig is None:
        raise InputError(f"{name}: --region {text}: the file has no contig {match.group(1) if match else text}")
    assert match is not None
    start, end = (int(number.replace(",", "") or 0) for number in match.group(2, 4))
    if not match.group(3):
        end = start
    if start < 1 or (end and end < start):
        raise InputError(f"--region {text}: expected contig, contig:position or contig:start-end, 1 <= start <= end")
    return _Region(contig, start - 1, end or None)
