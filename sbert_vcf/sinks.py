"""Where lines go: VCF text, bgzip blocks or BCF records, over an open binary stream."""

import contextlib
import errno
import io
import os
import signal
import struct
import subprocess
import tempfile
import zlib
from typing import NamedTuple, Protocol

import cyvcf2

from sbert_model.errors import InputError
from sbert_vcf.header import Header
from sbert_vcf.line_source import BGZF_EOF

_BLOCK = 0xFF00  # bytes of text a block, as in htslib: they fit in 64 KiB whether they compress or not
_BLOCK_HEAD = BGZF_EOF[:16]


class Sink(Protocol):
    """Takes whole lines without their line ends. Raises OSError for what the system refuses."""

    def write_header(self, header: Header) -> None:
        """Write the header; it comes first."""

    def write(self, line: str) -> None:
        """Write one record."""

    def close(self) -> None:
        """Finish the output and close the stream."""

    def discard(self) -> None:
        """Close the stream without a complaint; what was written is not to be used."""


class Held(NamedTuple):
    """What a sink can be continued from: the bytes of its stream that stay, and text that is not in them yet."""

    size: int
    text: bytes


class ContinuableSink(Sink, Protocol):
    """A sink whose stream may be cut off and continued."""

    def hold(self) -> Held:
        """Write out what can be written by now and tell where another sink could go on."""


def open_sink(stream: io.BufferedWriter, letter: str) -> Sink:
    """Return the sink for one of bcftools' letters: v and z plain and bgzipped VCF, u and b BCF."""
    return _BcfSink(stream, letter) if letter in "ub" else open_text_sink(stream, letter)


def open_text_sink(stream: io.BufferedWriter, letter: str, text: bytes = b"") -> ContinuableSink:
    """Return the sink for plain (v) or else bgzipped VCF; `text` is what a sink that is continued still held."""
    return _TextSink(stream) if letter == "v" else _BgzfSink(stream, text)


class _TextSink:
    def __init__(self, stream: io.BufferedWriter) -> None:
        self._stream = stream

    def write_header(self, header: Header) -> None:
        for line in header.lines:
            self.write(line)

    def write(self, line: str) -> None:
        self._stream.write(_encoded(line))

    def hold(self) -> Held:
        self._stream.flush()
        return Held(self._stream.tell(), b"")

    def close(self) -> None:
        self._stream.close()

    def discard(self) -> None:
        # Without the buffer, which would be flushed a second time into a full disk or a closed pipe.
        with contextlib.suppress(OSError):
            self._stream.raw.close()


class _BgzfSink(_TextSink):
    """Compresses block by block (SAM specification, section 4.1). pysam's BGZFile would not say why a write fails."""

    def __init__(self, stream: io.BufferedWriter, text: bytes) -> None:
        super().__init__(stream)
        self._pending = bytearray(text)

    def write(self, line: str) -> None:
        self._pending += _encoded(line)
        while len(self._pending) >= _BLOCK:
            self._write_block(self._pending[:_BLOCK])
            del self._pending[:_BLOCK]

    def hold(self) -> Held:
        return Held(super().hold().size, bytes(self._pending))

    def close(self) -> None:
        if self._pending:
            self._write_block(self._pending)
        self._stream.write(BGZF_EOF)
        super().close()

    def _write_block(self, data: bytearray) -> None:
        deflate = zlib.compressobj(wbits=-15)
        packed = deflate.compress(data) + deflate.flush()
        size = len(_BLOCK_HEAD) + 2 + len(packed) + 8
        check = struct.pack("<II", zlib.crc32(data), len(data))
        self._stream.write(b"".join((_BLOCK_HEAD, struct.pack("<H", size - 1), packed, check)))


class _BcfSink:
    """Hands lines to htslib, which writes to a child process that copies into the stream.

    htslib keeps to itself that its last block could not be written, and the reason why another could not; `cat` tells.
    """

    def __init__(self, stream: io.BufferedWriter, letter: str) -> None:
        self._stream = stream
        self._mode = "wb" if letter == "b" else "wbu"
        self._writer: cyvcf2.Writer | None = None
        self._declared: dict[str, set[str]] = {}
        reader, self._pipe = os.pipe()
        # In a session of its own, so that Ctrl-C does not look like a failing output.
        self._copier = subprocess.Popen(
            ["cat"], stdin=reader, stdout=stream, stderr=subprocess.PIPE, start_new_session=True
        )
        os.close(reader)

    def write_header(self, header: Header) -> None:
        try:
            # By way of a file: cyvcf2 declares a header that it is given as text to be VCFv4.2.
            with tempfile.NamedTemporaryFile(suffix=".vcf") as text:
                text.writelines(_encoded(line) for line in header.lines)
                text.flush()
                self._template = cyvcf2.VCF(text.name)  # kept, for the writer points into it
            self._writer = cyvcf2.Writer(f"/dev/fd/{self._pipe}", self._template, mode=self._mode)
        except OSError:
            raise
        except Exception as error:  # cyvcf2 raises bare ones
            raise InputError(f"the header cannot be written as BCF, write VCF (-O z): {error}") from error
        finally:
            os.close(self._pipe)
        self._writer.write_header()
        understood = Header(self._writer.raw_header.split("\n"))
        self._declared = {kind: set(understood.ids(kind)) for kind in ("contig", "INFO", "FORMAT", "FILTER")}

    def write(self, line: str) -> None:
        assert self._writer is not None
        self._check_declared(line)
        where = ":".join(line.split("\t", 2)[:2])
        try:
            # Parsed anew with the output header: values set on a cyvcf2 record would stay untyped text.
            written = self._writer.write_record(self._writer.variant_from_string(line)) == 0
        except Exception as error:  # cyvcf2 raises bare ones
            raise InputError(f"{where}: cannot be written as BCF, write VCF (-O z): {error}") from error
        if not written:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._copier.wait(1)  # it ends of itself only when it cannot write
                self._finish()
            raise InputError(f"{where}: has a value that BCF cannot hold; write VCF (-O z)")

    def close(self) -> None:
        self._finish()
        self._stream.close()

    def discard(self) -> None:
        self._copier.kill()
        if self._writer is not None:
            self._writer.close()
        self._copier.wait()
        assert self._copier.stderr is not None
        self._copier.stderr.close()
        self._stream.raw.close()

    def _finish(self) -> None:
        """Close htslib's end, wait for the rest to be copied, and raise what the copier met with."""
        assert self._writer is not None
        self._writer.close()
        _, said = self._copier.communicate()
        if self._copier.returncode == -signal.SIGPIPE:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if self._copier.returncode != 0:
            reason = said.decode(errors="replace").strip().rpartition(": ")[2]
            raise OSError(None, reason or f"cat ended with {self._copier.returncode}")

    def _check_declared(self, line: str) -> None:
        """Refuse names that the header does not declare as htslib understands it: the BCF would be broken."""
        columns = line.split("\t", 9)
        used = {
            "contig": [columns[0]],
            "FILTER": columns[6].split(";"),
            "INFO": columns[7].split(";"),
            "FORMAT": columns[8].split(":") if len(columns) > 8 else [],
        }
        for kind, entries in used.items():
            for name in (entry.split("=", 1)[0] for entry in entries):
                if name not in ("", ".") and name not in self._declared[kind]:
                    raise InputError(
                        f"{columns[0]}:{columns[1]}: {kind} {name} is not declared in the header, which BCF needs; "
                        "write VCF (-O z), or declare it with: bcftools annotate -h"
                    )


def _encoded(line: str) -> bytes:
    return line.encode("utf-8", "surrogateescape") + b"\n"
