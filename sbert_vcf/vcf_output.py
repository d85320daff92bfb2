"""Records out: VCF text, bgzip or BCF, under the final name only when complete, with an index beside it."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import cyvcf2
import pysam

from sbert_model.errors import InputError, OutputError
from sbert_vcf.line_source import BGZF_EOF
from sbert_vcf.notices import Notices
from sbert_vcf.vcf_input import Header

STDOUT = "-"
# bcftools' letters: plain and bgzipped VCF, uncompressed and compressed BCF.
FORMATS = {"v": ".vcf", "z": ".vcf.gz", "u": ".bcf", "b": ".bcf"}
_INDEX_SUFFIXES = (".tbi", ".csi")
_TBI_LIMIT = 1 << 29  # bases; beyond them tabix needs CSI


class Sink(Protocol):
    """Takes whole lines without their line ends."""

    def write(self, line: str) -> None:
        """Write one record."""

    def close(self) -> None:
        """Finish the output."""

    def discard(self) -> None:
        """Close it without a complaint; what was written is thrown away."""


def format_of(output: str, letter: str | None) -> str:
    """Return the format letter: the one asked for, else by the output's suffix, else plain VCF."""
    if letter is not None:
        return letter
    if output.endswith(".bcf"):
        return "b"
    return "z" if output.endswith((".gz", ".bgz")) else "v"


@contextlib.contextmanager
def open_output(
    output: str, letter: str, header: Header, *, threads: int, index: bool, notices: Notices
) -> Iterator["Writer"]:
    """Open the output and write its header; on a clean exit it gets its final name, on any other it is removed.

    Raises OutputError for a folder that is not there or cannot be written, and for a full disk.
    """
    if output == STDOUT:
        with _reported("standard output"):
            writer = Writer(_open_sink(STDOUT, letter, header, threads), header, letter, "standard output")
        yield writer
        writer.close()
        return
    final = Path(output)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp{FORMATS[letter]}")
    try:
        with _reported(output):
            writer = Writer(_open_sink(str(temporary), letter, header, threads), header, letter, output)
        with contextlib.ExitStack() as abandoned:
            abandoned.callback(writer.discard)
            yield writer
            writer.close()
            abandoned.pop_all()
        with _reported(output):
            _publish(temporary, final, letter, writer if index else None, notices)
    finally:
        for suffix in ("", *_INDEX_SUFFIXES):
            _beside(temporary, suffix).unlink(missing_ok=True)


def _publish(temporary: Path, final: Path, letter: str, indexed: "Writer | None", notices: Notices) -> None:
    """Check that the file is whole, index it, and give file and index their final names."""
    made = None
    if letter in "zb":
        with temporary.open("rb") as handle:
            handle.seek(-len(BGZF_EOF), os.SEEK_END)
            if handle.read() != BGZF_EOF:
                raise OSError(None, "the file is not complete (is the disk full?)")
        if indexed is not None:
            made = _make_index(temporary, letter, indexed, notices)
    temporary.replace(final)
    for suffix in _INDEX_SUFFIXES:
        if suffix == made:
            _beside(temporary, suffix).replace(_beside(final, suffix))
        else:
            _beside(final, suffix).unlink(missing_ok=True)  # an index of the file that was there before


def _make_index(path: Path, letter: str, writer: "Writer", notices: Notices) -> str | None:
    if not writer.sorted:
        notices.warn("unsorted", f"{writer.name}: records are not sorted by position: no index is made")
        return None
    csi = letter == "b" or writer.longest >= _TBI_LIMIT
    pysam.tabix_index(str(path), preset="bcf" if letter == "b" else "vcf", force=True, csi=csi)  # type: ignore[arg-type]
    return ".csi" if csi else ".tbi"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@contextlib.contextmanager
def _reported(name: str) -> Iterator[None]:
    """Turn what the system says of an output into an OutputError; a closed pipe passes through."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise OutputError(f"{name}: cannot be written: {reason}") from error


def _open_sink(path: str, letter: str, header: Header, threads: int) -> Sink:
    if path != STDOUT:
        Path(path).touch()  # says plainly what is wrong with the folder, where htslib would not
    if letter in "ub":
        return _BcfSink(path, letter, header, threads)
    sink = _BgzfSink(path) if letter == "z" else _TextSink(path)
    for line in header.lines:
        sink.write(line)
    return sink


class Writer:
    """Writes annotated lines in their order and watches what the index and BCF will need."""

    def __init__(self, sink: Sink, header: Header, letter: str, name: str) -> None:
        self._sink = sink
        self.name = name
        self._declared = {kind: header.ids(kind) for kind in ("contig", "INFO", "FORMAT", "FILTER")}
        self._strict = letter in "ub"
        self._seen: set[str] = set()
        self._last = ("", -1)
        self.sorted = True
        self.longest = 0

    def write(self, line: str, contig: str, start: int) -> None:
        """Write one line; contig and 0-based start are its own."""
        if self._strict:
            self._check_declared(line)
        if contig != self._last[0]:
            self.sorted = self.sorted and contig not in self._seen
            self._seen.add(contig)
        elif start < self._last[1]:
            self.sorted = False
        self._last = (contig, start)
        self.longest = max(self.longest, start)
        with _reported(self.name):
            self._sink.write(line)

    def close(self) -> None:
        """Finish the output; raises OutputError when the rest of it cannot be written."""
        with _reported(self.name):
            self._sink.close()

    def discard(self) -> None:
        """Let go of an output that is not to be kept."""
        self._sink.discard()

    def _check_declared(self, line: str) -> None:
        """Refuse what BCF cannot hold: names that the header does not declare (htslib would write a broken file)."""
        columns = line.split("\t", 9)
        used = {
            "contig": [columns[0]],
            "FILTER": [] if columns[6] in (".", "PASS") else columns[6].split(";"),
            "INFO": [] if columns[7] == "." else [part.split("=", 1)[0] for part in columns[7].split(";")],
            "FORMAT": columns[8].split(":") if len(columns) > 8 and columns[8] != "." else [],
        }
        for kind, names in used.items():
            for name in names:
                if name and name not in self._declared[kind]:
                    raise InputError(
                        f"{columns[0]}:{columns[1]}: {kind} {name} is not declared in the header, which BCF needs; "
                        "write VCF (-O z), or declare it with: bcftools annotate -h"
                    )


class _TextSink:
    def __init__(self, path: str) -> None:
        self._stream: BinaryIO = sys.stdout.buffer if path == STDOUT else Path(path).open("wb")  # noqa: SIM115

    def write(self, line: str) -> None:
        self._stream.write(line.encode("utf-8", "surrogateescape") + b"\n")

    def close(self) -> None:
        self._stream.flush()
        if self._stream is not sys.stdout.buffer:
            self._stream.close()

    def discard(self) -> None:
        _to_nowhere(self._stream.fileno())
        self._stream.close()


class _BgzfSink:
    def __init__(self, path: str) -> None:
        self._stream = pysam.BGZFile(path, "wb", index=None)

    def write(self, line: str) -> None:
        self._stream.write(line.encode("utf-8", "surrogateescape") + b"\n")

    def close(self) -> None:
        self._stream.close()

    def discard(self) -> None:
        _to_nowhere(self._stream.fileno())
        self._stream.close()


class _BcfSink:
    def __init__(self, path: str, letter: str, header: Header, threads: int) -> None:
        text = "\n".join(header.lines) + "\n"
        self._writer = cyvcf2.Writer.from_string(path, text, mode="wb" if letter == "b" else "wbu")
        self._writer.set_threads(threads)
        self._writer.write_header()

    def write(self, line: str) -> None:
        # Parsed anew with the output header: values set on a cyvcf2 record would stay untyped text.
        if self._writer.write_record(self._writer.variant_from_string(line)) != 0:
            raise OSError(None, "htslib could not write a record (is the disk full?)")

    def close(self) -> None:
        self._writer.close()

    discard = close


def _to_nowhere(descriptor: int) -> None:
    """Point an open file at /dev/null, so that closing it cannot fail on a full disk a second time."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
