"""Records out: VCF or BCF, under the final name only when complete, with an index beside it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pysam

from sbert_model.errors import OutputError
from sbert_vcf.header import Header
from sbert_vcf.notices import Notices
from sbert_vcf.progress import Progress
from sbert_vcf.restart import RestartPoint
from sbert_vcf.sinks import Sink, open_sink

STDOUT = "-"
_STDOUT_NAMES = (STDOUT, "/dev/stdout")
# bcftools' letters: plain and bgzipped VCF, uncompressed and compressed BCF.
FORMATS = {"v": ".vcf", "z": ".vcf.gz", "u": ".bcf", "b": ".bcf"}
_INDEX_SUFFIXES = (".tbi", ".csi")
_TBI_LIMIT = 1 << 29  # bases; beyond them tabix needs CSI


def format_of(output: str, letter: str | None) -> str:
    """Return the format letter: the one asked for, else by the output's suffix, else plain VCF."""
    if letter is not None:
        return letter
    if output.endswith(".bcf"):
        return "b"
    return "z" if output.endswith((".gz", ".bgz")) else "v"


def is_stream(output: str) -> bool:
    """Tell whether an output is written in place: standard output, a device or a pipe, which nothing can replace."""
    path = Path(output)
    return output in _STDOUT_NAMES or (path.exists() and not path.is_file() and not path.is_dir())


@contextlib.contextmanager
def open_output(output: str, letter: str, header: Header, *, index: bool, notices: Notices) -> Iterator["Writer"]:
    """Open the output and write its header; on a clean exit it gets its final name, on any other it is removed.

    Raises OutputError for a folder that is not there or cannot be written, and for a full disk.
    """
    if is_stream(output):
        standard = output in _STDOUT_NAMES
        with _writing(1 if standard else output, "standard output" if standard else output, letter, header) as writer:
            yield writer
        return
    final = Path(output).resolve()  # a link to the file stays a link
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp{FORMATS[letter]}")
    try:
        with _writing(str(temporary), output, letter, header) as writer:
            yield writer
        if index:
            make_index(temporary, letter, writer, notices)
        with reported(output):
            publish(temporary, final)
    finally:
        remove_index(temporary)
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(target: int | str, name: str, letter: str, header: Header) -> Iterator["Writer"]:
    """Open a path, or a descriptor that stays open, and close it with all written, or else with a part of it lost."""
    with reported(name):
        sink = open_sink(open(target, "wb", closefd=isinstance(target, str)), letter)  # noqa: SIM115
    try:
        with reported(name):
            sink.write_header(header)
        writer = Writer(sink, header, name)
        yield writer
        writer.close()
    except BaseException:
        sink.discard()
        raise


def publish(temporary: Path, final: Path) -> None:
    """Give the file and its index their final names; an index of the file that was there before goes first."""
    remove_index(final)
    temporary.replace(final)
    publish_index(temporary, final)


def publish_index(temporary: Path, final: Path) -> None:
    """Give the index of a file that was called `temporary`, if one was made, the name that belongs to `final`."""
    for suffix in _INDEX_SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            _beside(temporary, suffix).replace(_beside(final, suffix))


def remove_index(path: Path) -> None:
    """Remove the indices of a file, those that are there."""
    for suffix in _INDEX_SUFFIXES:
        _beside(path, suffix).unlink(missing_ok=True)


def make_index(path: Path, letter: str, writer: "Writer", notices: Notices) -> None:
    """Index a file of a format that has an index; one that cannot be indexed is worth keeping all the same."""
    if letter not in "zb":
        return
    if not writer.sorted:
        notices.warn("unsorted", f"{writer.name}: records are not sorted by position: no index is made")
        return
    csi = letter == "b" or writer.longest >= _TBI_LIMIT
    try:
        pysam.tabix_index(str(path), preset="bcf" if letter == "b" else "vcf", force=True, csi=csi)  # type: ignore[arg-type]
    except OSError as error:
        reason = (error.strerror or str(error)).replace(str(path), writer.name)
        notices.warn("index", f"{writer.name}: no index could be made: {reason}")
        remove_index(path)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@contextlib.contextmanager
def reported(name: str) -> Iterator[None]:
    """Turn what the system says of the output called `name` into an OutputError; a closed pipe passes through."""
    try:
        yield
    except OSError as error:
        _report(name, error)


def _report(name: str, error: OSError) -> NoReturn:
    if isinstance(error, BrokenPipeError):
        raise error
    raise OutputError(f"{name}: cannot be written: {error.strerror or error}") from error


class Writer:
    """Writes annotated lines in their order and watches what the index will need."""

    point: RestartPoint | None = None
    """Where a run that was cut off goes on."""

    def __init__(self, sink: Sink, header: Header, name: str) -> None:
        self._sink = sink
        self.name = name
        self._seen: set[str] = set()
        self._last = ("", -1)
        self.sorted = True
        self.longest = header.longest_contig

    def write(self, line: str, contig: str, start: int) -> None:
        """Write one line; contig and 0-based start are its own."""
        if contig != self._last[0]:
            self.sorted = self.sorted and contig not in self._seen
            self._seen.add(contig)
        elif start < self._last[1]:
            self.sorted = False
        self._last = (contig, start)
        self.longest = max(self.longest, start + 1)
        try:  # and no context, which every record would enter
            self._sink.write(line)
        except OSError as error:
            _report(self.name, error)

    @contextlib.contextmanager
    def group(self, progress: Progress) -> Iterator[None]:
        """Write lines that go together, and let `progress` be that of the whole group."""
        yield

    def close(self) -> None:
        """Finish the output; raises OutputError when the rest of it cannot be written."""
        with reported(self.name):
            self._sink.close()
