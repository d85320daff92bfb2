"""Text lines of a VCF or BCF from a file, a region of an indexed file, or standard input."""

import contextlib
import gzip
import io
import os
import re
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cyvcf2
import pysam
from cyvcf2.cyvcf2 import set_htslib_log_level

from sbert_model.contigs import ContigNames
from sbert_model.errors import InputError

STDIN = "-"
BGZF_EOF = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_SNIFFED = 4096
_HTSLIB_ERRORS = 1


def open_lines(name: str, region: str | None, stack: contextlib.ExitStack) -> Iterator[str]:
    """Open a path or '-' and return its lines without line ends, header first. `stack` closes what was opened.

    region: contig or contig:start-end (1-based, inclusive), for files with an index. Text that is no UTF-8 survives
    as surrogate escapes. Raises InputError for a missing, empty, truncated or damaged input.
    """
    if name == STDIN:
        if region is not None:
            raise InputError("--region needs a file with an index, not standard input")
        raw = io.FileIO(0, closefd=False)
    else:
        if not Path(name).is_file():
            raise InputError(f"{name}: no such file")
        raw = stack.enter_context(io.FileIO(name))
    head = _read_fully(raw, _SNIFFED)
    if not head:
        raise InputError(f"{_label(name)}: is empty")
    zipped = head[:2] == b"\x1f\x8b"
    if _start_of_text(head, zipped).startswith(b"BCF"):
        return _bcf_lines(name, head, region, stack)
    if region is not None:
        return _region_lines(name, region, stack)
    return _text_lines(name, _Chained(head, raw), zipped)


def indexed_records(name: str) -> int | None:
    """Return how many records the index beside a file counts, or None where it has none that tells."""
    if name == STDIN or not any(Path(name + suffix).is_file() for suffix in (".tbi", ".csi")):
        return None
    set_htslib_log_level(0)
    try:
        with contextlib.closing(cyvcf2.VCF(name)) as vcf:
            return int(vcf.num_records)
    except (ValueError, OSError, Exception) as error:
        if type(error) not in (Exception, ValueError, OSError):
            raise
        return None
    finally:
        set_htslib_log_level(_HTSLIB_ERRORS)


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


def _text_lines(name: str, source: _Chained, zipped: bool) -> Iterator[str]:
    buffered = io.BufferedReader(source, 1 << 18)
    bgzipped = zipped and buffered.peek(16)[12:14] == b"BC"
    number = 0
    try:
        for line in gzip.GzipFile(fileobj=buffered) if zipped else buffered:
            number += 1
            yield line.decode("utf-8", "surrogateescape").rstrip("\r\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{_label(name)}: truncated or damaged after line {number}: {error}") from error
    if bgzipped and source.tail != BGZF_EOF:
        raise InputError(f"{_label(name)}: truncated after line {number}: bgzip's end-of-file block is missing")


def _region_lines(name: str, region: str, stack: contextlib.ExitStack) -> Iterator[str]:
    try:
        tabix = stack.enter_context(pysam.TabixFile(name, encoding="latin-1"))
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: --region needs an index; make one with: bcftools index -t {name}") from error
    header = [_utf8(line) for line in tabix.header]
    yield from header
    contig, start, end = _parse_region(region)
    indexed = ContigNames(tabix.contigs).resolve(contig)
    if indexed is not None:
        yield from (_utf8(line) for line in tabix.fetch(indexed, start, end))
    elif ContigNames(_declared_contigs(header)).resolve(contig) is None:
        raise InputError(f"{name}: --region {region}: the file has no contig {contig}")


def _bcf_lines(name: str, head: bytes, region: str | None, stack: contextlib.ExitStack) -> Iterator[str]:
    path = name if name != STDIN else _piped(head, stack)
    vcf = _htslib(name, lambda: cyvcf2.VCF(path))
    stack.callback(vcf.close)
    header = vcf.raw_header.rstrip("\n").split("\n")
    yield from header
    records = vcf
    if region is not None:
        if not Path(name + ".csi").is_file():
            raise InputError(f"{name}: --region needs an index; make one with: bcftools index {name}")
        contig, start, end = _parse_region(region)
        resolved = ContigNames(_declared_contigs(header)).resolve(contig)
        if resolved is None:
            raise InputError(f"{name}: --region {region}: the file has no contig {contig}")
        records = vcf(f"{resolved}:{start + 1}-{end}" if end is not None else resolved)
    iterator = iter(records)
    while (record := _htslib(name, lambda: next(iterator, None))) is not None:
        yield str(record).rstrip("\n")


def _htslib(name: str, call: Callable[[], object]) -> "cyvcf2.VCF":
    """Run a call of cyvcf2; what it raises for a broken file is a bare Exception, and htslib's own text is left out."""
    set_htslib_log_level(0)
    try:
        return call()
    except Exception as error:
        if type(error) not in (Exception, OSError, ValueError):
            raise
        raise InputError(f"{_label(name)}: truncated or damaged BCF: {error}") from error
    finally:
        set_htslib_log_level(_HTSLIB_ERRORS)


def _piped(head: bytes, stack: contextlib.ExitStack) -> str:
    """Return a path from which htslib reads standard input anew, with the bytes that were read ahead.

    A child process copies: cyvcf2 holds the interpreter's lock while it waits for bytes, so that a thread could not.
    """
    reader, writer = os.pipe()
    os.write(writer, head)
    child = subprocess.Popen(["cat"], stdin=0, stdout=writer)
    os.close(writer)
    stack.callback(os.close, reader)
    stack.callback(child.wait)
    stack.callback(child.terminate)
    return f"/dev/fd/{reader}"


def _read_fully(raw: io.FileIO, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (part := raw.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _start_of_text(head: bytes, zipped: bool) -> bytes:
    return zlib.decompressobj(31).decompress(head, 16) if zipped else head


def _label(name: str) -> str:
    return "standard input" if name == STDIN else name


def _utf8(line: str) -> str:
    return line.encode("latin-1").decode("utf-8", "surrogateescape")


def _declared_contigs(header: list[str]) -> list[str]:
    return [match.group(1) for line in header if (match := re.match(r"##contig=<ID=([^,>]+)", line))]


def _parse_region(region: str) -> tuple[str, int, int | None]:
    match = re.fullmatch(r"(.+):([\d,]+)(?:-([\d,]+))?", region)
    if match is None:
        return region, 0, None
    start = int(match.group(2).replace(",", "")) - 1
    end = int(match.group(3).replace(",", "")) if match.group(3) else None
    if start < 0 or (end is not None and end <= start):
        raise InputError(f"--region {region}: expected contig or contig:start-end with 1 <= start <= end")
    return match.group(1), start, end
