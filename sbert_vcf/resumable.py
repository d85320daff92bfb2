"""Output of a run that can go on after it was cut off: kept unfinished beside its restart point, then published."""

import contextlib
import fcntl
import gzip
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from sbert_model.errors import InputError, OutputError
from sbert_vcf.header import Header
from sbert_vcf.notices import LOGGER, Notices
from sbert_vcf.progress import Progress
from sbert_vcf.restart import RestartPoint, Watched
from sbert_vcf.sinks import Sink, open_sink, open_text_sink
from sbert_vcf.vcf_output import FORMATS, Writer, make_index, publish, publish_index, remove_index, reported

_BINARY = "ub"


class Files(NamedTuple):
    """The files of a resumable run: `unfinished` is VCF text whatever the output, `whole` what becomes `final`."""

    final: Path
    unfinished: Path
    whole: Path
    restart: Path

    @classmethod
    def of(cls, output: str, letter: str) -> "Files":
        """Name them after the output, so that another start finds them."""
        final = Path(output).resolve()  # a link to the file stays a link
        stem = f".{final.name}.partial"
        unfinished = final.with_name(stem + (".vcf" if letter == "v" else ".vcf.gz"))
        return cls(
            final, unfinished, final.with_name(stem + FORMATS[letter]), final.with_name(f".{final.name}.restart.json")
        )

    @property
    def kept(self) -> str:
        """The two files that a run leaves when it is cut off."""
        return f"{self.unfinished} and {self.restart}"

    def complete(self) -> None:
        """Do what a run has not come to that was killed after it gave its output the final name."""
        with contextlib.suppress(FileNotFoundError):
            point = RestartPoint.load(self.restart)
            if point and point.whole == self.final.stat().st_size and not self.whole.exists():
                publish_index(self.whole, self.final)
                self.clear()

    def clear(self) -> None:
        """Remove what is of no use once the output has its final name."""
        self.unfinished.unlink(missing_ok=True)
        self.restart.unlink(missing_ok=True)


class ResumableWriter(Writer):
    """Writes lines as `Writer` does, and restart points between groups of them.

    point: where the run goes on, None for one that starts.
    """

    def __init__(
        self,
        files: Files,
        descriptor: int,
        letter: str,
        header: Header,
        name: str,
        *,
        run: Mapping[str, str],
        every: float,
        point: RestartPoint | None,
    ) -> None:
        self._files = files
        self._descriptor = descriptor
        self._letter = letter
        self._run = dict(run)
        self._every = every
        self.point = point
        size, text = point.held if point else (0, b"")
        os.ftruncate(descriptor, size)
        os.lseek(descriptor, size, os.SEEK_SET)
        self._text = open_text_sink(os.fdopen(os.dup(descriptor), "wb"), letter, text)
        super().__init__(self._text, header, name)
        self._header = header
        self._trial: Sink | None = None
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._settled = True
        self._saved_at = monotonic()

    def begin(self) -> None:
        """Write the header, or take up where the run goes on."""
        if self.point:
            watched = self.point.watched
            self._seen, self._last = set(watched.contigs), watched.last
            self.sorted, self.longest = watched.sorted, watched.longest
        if self._letter in _BINARY:
            # What BCF cannot hold is found now and not at the end.
            self._trial = open_sink(Path(os.devnull).open("wb"), "u")  # noqa: SIM115
            self._trial.write_header(self._header)
        if not self.point:
            self._text.write_header(self._header)

    def write(self, line: str, contig: str, start: int) -> None:
        """Write one line; contig and 0-based start are its own."""
        if self._trial is not None:
            self._trial.write(line)
        super().write(line, contig, start)

    @contextlib.contextmanager
    def group(self, progress: Progress) -> Iterator[None]:
        """Write lines that go together, and a restart point behind them when it is time for one."""
        with self._lock:
            self._settled = False
            yield
            self._settled = True
            self._progress = progress
            if monotonic() - self._saved_at >= self._every:
                self._save()

    def finish(self, index: bool, notices: Notices) -> None:
        """Complete the output and give it its final name. Raises OutputError."""
        files = self._files
        with self._lock:
            self._save()
            self._settled = False
        self.close()
        if self._letter in _BINARY:
            self._convert()
        with reported(self.name), files.whole.open("rb") as whole:
            os.fsync(whole.fileno())
            size = os.fstat(whole.fileno()).st_size
        remove_index(files.whole)  # of a run that was killed
        if index:
            make_index(files.whole, self._letter, self, notices)
        with reported(self.name):
            if self.point:
                self.point._replace(whole=size).save(files.restart)
            publish(files.whole, files.final)
            files.clear()

    def keep(self) -> None:
        """Stop, with a restart point as late as can be, and say where the run can go on."""
        files = self._files
        with self._lock:
            if self._settled:
                try:
                    self._save()
                except OutputError as error:
                    LOGGER.warning("%s: the restart point is an earlier one", error)
            for sink in (self._text, self._trial):
                if sink is not None:
                    sink.discard()
        remove_index(files.whole)
        if self._letter in _BINARY:
            files.whole.unlink(missing_ok=True)
        if self.point is None:
            files.unfinished.unlink(missing_ok=True)
        else:
            LOGGER.info(
                "%d records are done, to %s; a start with the same options goes on behind them", *self.point.done[:2]
            )

    def close(self) -> None:
        """Finish the text."""
        super().close()
        if self._trial is not None:
            self._trial.close()
            self._trial = None

    def _save(self) -> None:
        if self._progress is None:
            return
        self._settled = False
        with reported(self.name):
            held = self._text.hold()
            os.fsync(self._descriptor)
            watched = Watched(sorted(self._seen), self._last, self.sorted, self.longest)
            point = RestartPoint(self._run, held, watched, self._progress.done())
            point.save(self._files.restart)
        self.point = point
        self._progress = None
        self._settled = True
        self._saved_at = monotonic()

    def _convert(self) -> None:
        """Write the finished text as BCF."""
        with reported(self.name):
            sink = open_sink(self._files.whole.open("wb"), self._letter)
            try:
                with gzip.open(self._files.unfinished) as text:
                    lines = (line.decode("utf-8", "surrogateescape").rstrip("\n") for line in text)
                    header = []
                    for line in lines:
                        header.append(line)
                        if not line.startswith("##"):
                            break
                    sink.write_header(Header(header))
                    for line in lines:
                        sink.write(line)
                sink.close()
            except BaseException:
                sink.discard()
                raise


@contextlib.contextmanager
def open_resumable(
    output: str, letter: str, header: Header, *, run: Mapping[str, str], every: float, index: bool, notices: Notices
) -> Iterator[ResumableWriter]:
    """Open an output that a run which is cut off leaves unfinished, with a restart point, for another to go on.

    run: what decides the output, by name; every: seconds between restart points.
    Raises InputError for a restart point that is broken or of another run, OutputError where another run is writing.
    """
    files = Files.of(output, letter)
    with _locked(files.unfinished, output, notices) as descriptor:
        point = _point_of(files, run, os.fstat(descriptor).st_size)
        with reported(output):
            writer = ResumableWriter(files, descriptor, letter, header, output, run=run, every=every, point=point)
        try:
            with reported(output):
                writer.begin()
            yield writer
            writer.finish(index, notices)
        except BaseException:
            writer.keep()
            raise


def _point_of(files: Files, run: Mapping[str, str], size: int) -> RestartPoint | None:
    """Return where the run goes on; None for one that starts."""
    point = RestartPoint.load(files.restart)
    if point is None:
        return None
    if differences := point.differences(run):
        wrong = f"{files.final}: was begun with other settings ({'; '.join(differences)}): use the same, or"
    elif size < point.held.size:
        wrong = f"{files.unfinished}: is shorter than its restart point says;"
    else:
        return point
    if size == 0:
        files.unfinished.unlink()  # made by this start
    raise InputError(f"{wrong} delete {files.kept} to start over")


@contextlib.contextmanager
def _locked(path: Path, output: str, notices: Notices) -> Iterator[int]:
    """Open a file, made where it is not there, that no other run may have open like this; gives its descriptor."""
    with reported(output):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
        except BlockingIOError:
            ours = False
        except OSError as error:
            notices.warn("lock", f"{output}: cannot be locked ({error.strerror}): start no second run that writes it")
            ours = True
        if not ours:
            raise OutputError(f"{output}: another run is writing it; wait for its end, or name another output")
        yield descriptor
    finally:
        os.close(descriptor)
