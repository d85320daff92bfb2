"""Runs of the command line on odd VCFs: what may be left of one, and whether each record came through unchanged."""

import contextlib
import gzip
import re
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pysam.bcftools
import pytest
from pysam.utils import SamtoolsError

from sbert_vcf.cli import main
from sbert_vcf.fields import OUR_IDS
from sbert_vcf.line_source import silence_htslib

ADDED = (b"##INFO=<ID=SBERT", b"##sbert_vcf=<", b"##sbert_vcf_command=")
FILEFORMAT = b"##fileformat=VCF"
INDICES = (".tbi", ".csi")
PATIENCE = 120  # seconds, after which a run that takes 0.05 s hangs
REFUSES = "refuses"


class Done(NamedTuple):
    """How a run ended: its exit code, what it said, the error without the name of the input, the output's path."""

    code: int
    said: list[str]
    error: str
    output: Path


class CommandLine:
    """Annotates a source into a file of some name, in a folder where it lies alone, and checks what is left there."""

    def __init__(self, folder: Path, options: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._options = options
        self._capsys = capsys
        silence_htslib()

    def __call__(self, source: str | Path, name: str) -> Done:
        folder = self._folder / f"run-{len(list(self._folder.iterdir()))}"
        folder.mkdir()
        command = ["sbert-vcf", "annotate", str(source), *self._options, "-o", str(folder / name)]
        with pytest.MonkeyPatch.context() as patch, no_longer_than(PATIENCE):
            patch.setattr(sys, "argv", command)
            with pytest.raises(SystemExit) as left:
                main()
        out, said = self._capsys.readouterr()
        lines = said.split("\n")[:-1]
        assert all(line.startswith("sbert-vcf: ") for line in lines), said
        errors = [line.removeprefix("sbert-vcf: error: ") for line in lines if line.startswith("sbert-vcf: error: ")]
        assert (out, left.value.code) == ("", len(errors)), said
        error = errors[0].removeprefix("standard input: " if source == "-" else f"{source}: ") if errors else ""
        done = Done(len(errors), lines, error, folder / name)
        assert {path.name for path in folder.iterdir()} == expected_files(done)
        return done


@contextlib.contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    def give_up(number: int, frame: object) -> None:
        raise TimeoutError(f"hangs: not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def expected_files(done: Done) -> set[str]:
    """Nothing where a run failed, else the output, with an index where its format has one and it is sorted."""
    name = done.output.name
    if done.code:
        return set()
    if name.endswith(".vcf") or any("not sorted by position: no index is made" in line for line in done.said):
        return {name}
    indices = {f"{name}{suffix}" for suffix in INDICES if Path(f"{done.output}{suffix}").exists()}
    assert len(indices) == 1
    return {name, *indices}


def content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def lines_of(text: bytes) -> tuple[list[bytes], list[bytes]]:
    """Header lines and records."""
    lines = [line for line in text.split(b"\n") if line]
    return [line for line in lines if line[:1] == b"#"], [line for line in lines if line[:1] != b"#"]


def taken_apart(line: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The record as it came, and our fields."""
    columns = line.split(b"\t")
    ours, kept = {}, []
    for part in columns[7].split(b";"):
        key, _, value = part.partition(b"=")
        if key.decode("latin-1") in OUR_IDS:
            ours[key.decode()] = value
        else:
            kept.append(part)
    columns[7] = b";".join(kept) or b"."
    return b"\t".join(columns), ours


def check_text(before: bytes, after: bytes) -> Counter[str]:
    """Every line is there in order, unchanged but for our fields, a value per ALT; returns alleles by status."""
    header_before, records_before = lines_of(before)
    header_after, records_after = lines_of(after)
    if not header_before[0].startswith(FILEFORMAT):
        header_before.insert(0, FILEFORMAT + b"v4.2")
    assert [line for line in header_after if not line.startswith(ADDED)] == header_before
    tally: Counter[str] = Counter()
    for line, original in zip(records_after, records_before, strict=True):
        unchanged, ours = taken_apart(line)
        columns = original.split(b"\t")
        assert unchanged.split(b"\t") == [*columns[:7], columns[7] or b".", *columns[8:]]
        alt = columns[4]
        statuses = ours["SBERT_STATUS"].decode().split(",") if alt != b"." else []
        scores = ours["SBERT_KL"].split(b",") if alt != b"." else []
        assert len(statuses) == len(scores) == (alt.count(b",") + 1 if alt != b"." else len(ours))
        assert [score != b"." for score in scores] == [status == "OK" for status in statuses]
        assert all(-1381.56 < float(score) < 1000 for score in scores if score != b".")
        tally.update(statuses or ["NO_ALT"])
    return tally


def as_bcftools_reads(path: Path) -> list[bytes] | str:
    """The records without our fields, or that bcftools refuses the file."""
    with tempfile.NamedTemporaryFile(suffix=".vcf") as shown:
        try:
            pysam.bcftools.view("--no-version", "-H", "-o", shown.name, str(path), catch_stdout=False)
        except SamtoolsError:
            return REFUSES
        return [taken_apart(line)[0] for line in Path(shown.name).read_bytes().split(b"\n") if line]


def said_tally(done: Done) -> Counter[str]:
    match = re.fullmatch(r"sbert-vcf: (.*) in [\d.]+ s", done.said[-1])
    assert match is not None
    counts = [] if match.group(1) == "no records" else match.group(1).split(", ")
    return Counter({name: int(number) for name, number in (count.split(" ") for count in counts)})
