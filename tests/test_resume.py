"""annotate --resume: whatever ends a run, the next start goes on, and the end is that of a run never cut off."""

import gzip
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pysam
import pytest

from sbert_model.errors import InputError, OutputError
from sbert_vcf.cli import main
from tests.resumed import RECORDS, SUFFIXES, Bench, at_record, write_input
from tests.test_cli import ENVIRONMENT, ROOT
from tests.world import World, build_world, vcf_text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def vcf(world: World) -> Path:
    return write_input(world)


@pytest.fixture
def bench(world: World, vcf: Path, tmp_path: Path) -> Bench:
    return Bench(world, vcf, tmp_path)


Start = Callable[[list[str]], tuple[int, str]]


def command_line(bench: Bench, output: str, *options: str) -> list[str]:
    paths = ["annotate", str(bench.vcf), "-o", str(bench.folder / output)]
    return ["sbert-vcf", *paths, "--resume", "--batch-size", "2", *options, *bench.world.options()]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Start:
    """Run a command line in this process; returns its exit code and what it said."""

    def go(line: list[str]) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as stopped:
            main()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, capfd.readouterr().err

    return go


class Killed(NamedTuple):
    """How a run ended, and what it said."""

    ended: int
    said: str


def run_killed(line: list[str], moments: list[int]) -> list[Killed]:
    """Run until one ends of itself, each killed at its moment; the clock goes on by a second between two groups."""
    command = [sys.executable, "-m", "tests.killed_runs", ",".join(map(str, moments)), *line[1:]]
    done = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=True)
    return [Killed(**json.loads(text)) for text in done.stdout.splitlines()]


def told(said: str, what: str) -> str:
    """The rest of the line in which this stands."""
    (line,) = (line for line in said.splitlines() if what in line)
    return line.partition(what)[2]


@pytest.mark.parametrize(("letter", "kills", "reach"), [("z", 20, 30), ("v", 5, 80), ("b", 5, 80)])
def test_killed_at_random_moments(bench: Bench, start: Start, letter: str, kills: int, reach: int) -> None:
    """A run of 120 records has some 200 moments, many of them behind it when it is started for the last time."""
    output = f"out.{SUFFIXES[letter]}"
    line = command_line(bench, output, "--restart-every", "3")
    code, said = start(line)
    assert code == 0
    expected = bench.made(output)
    moments = random.Random(f"{letter} 1").choices(range(1, reach), k=kills)
    runs = run_killed(line, moments)
    assert [run.ended for run in runs] == [*[-signal.SIGKILL] * kills, 0]
    assert bench.made(output) == expected
    assert told(runs[-1].said, "OK ").partition(" in ")[0] == told(said, "OK ").partition(" in ")[0]
    behind = [int(told(run.said, "goes on behind record ").split(",")[0]) for run in runs if "goes on" in run.said]
    assert behind == sorted(behind)
    assert len(set(behind)) > kills // 3
    assert RECORDS // 3 < behind[-1] < RECORDS


@pytest.mark.parametrize("letter", "zb")
def test_killed_at_every_moment_of_the_end(bench: Bench, start: Start, letter: str) -> None:
    """Each run goes on shortly before the end and comes one moment farther, until one has given the file its name."""
    output = f"out.{SUFFIXES[letter]}"
    line = command_line(bench, output)
    assert start(line)[0] == 0
    expected = bench.made(output)
    bench.cut_off(output, RECORDS - 3)
    runs = run_killed(line, list(range(1, 60)))
    assert 10 < len(runs) < 60
    assert [run.ended for run in runs[:-1]] == [-signal.SIGKILL] * (len(runs) - 1)
    assert runs[-1].ended == 1
    assert "exists already; use --overwrite" in runs[-1].said
    assert bench.made(output) == expected


def test_usage(bench: Bench, start: Start) -> None:
    line = command_line(bench, "out.vcf.gz", "--restart-every", "3")
    line.remove("--resume")
    code, said = start(line)
    assert code == 2
    assert "--restart-every goes with --resume" in said
    assert start(command_line(bench, "out.vcf.gz", "--restart-every", "-1"))[0] == 2
    assert list(bench.folder.iterdir()) == []


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C be what it is on a terminal; a test run in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def signal_main(number: signal.Signals) -> None:
    identity = threading.main_thread().ident
    assert identity is not None
    signal.pthread_kill(identity, number)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("letter", SUFFIXES)
def test_signals_stop_at_a_restart_point(
    bench: Bench, start: Start, letter: str, number: signal.Signals, code: int
) -> None:
    """No restart point is due before the signal."""
    output = f"out.{SUFFIXES[letter]}"
    line = command_line(bench, output, "--restart-every", "600")
    assert start(line)[0] == 0
    expected = bench.made(output)
    with at_record(61, lambda: signal_main(number)):
        ended, said = start(line)
    assert ended == code
    assert said.endswith("sbert-vcf: interrupted\n") == (number == signal.SIGINT)
    done = int(said.partition(" records are done")[0].rpartition(" ")[2])
    assert 60 <= done < RECORDS
    bench.files(output)
    ended, said = start(line)
    assert ended == 0
    assert f"goes on behind record {done}, " in said
    assert bench.made(output) == expected


@pytest.mark.parametrize("letter", SUFFIXES)
def test_full_disk(bench: Bench, letter: str) -> None:
    output = f"out.{SUFFIXES[letter]}"
    expected = bench.made(output, bench.run(output))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        with pytest.raises(OutputError, match=rf"{output}: cannot be written: File too large$"):
            bench.run(output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < records_done(bench, output) < RECORDS
    assert bench.made(output, bench.run(output)) == expected


def records_done(bench: Bench, output: str = "out.vcf.gz") -> int:
    done = json.loads(bench.files(output).restart.read_text())["done"]["records"]
    assert isinstance(done, int)
    return done


def test_full_disk_at_a_restart_point(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output may fit where the restart point does not."""
    expected = bench.made(tally=bench.run())
    saved = 0
    dump = json.dump

    def full(*arguments: object) -> None:
        nonlocal saved
        saved += 1
        if saved == 10:
            raise OSError(28, "No space left on device")
        dump(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("sbert_vcf.restart.json.dump", full)
    with pytest.raises(OutputError, match=r"out.vcf.gz: cannot be written: No space left on device"):
        bench.run()
    assert records_done(bench) == 36
    assert bench.made(tally=bench.run()) == expected


def big_world(folder: Path) -> tuple[Path, Path]:
    """A FASTA that is not read at once, and a VCF along it."""
    bases = "".join(random.Random(5).choices("ACGT", k=600_000))
    fasta, vcf = folder / "big.fa", folder / "big.vcf"
    fasta.write_text(f">chr1\n{bases}\n")
    pairs = [(pos, bases[pos - 1]) for pos in range(5_000, 595_000, 10_000)]
    vcf.write_text(vcf_text([f"chr1\t{pos}\t.\t{ref}\t{'CA'[ref == 'C']}\t.\t.\t." for pos, ref in pairs]))
    return fasta, vcf


@pytest.mark.parametrize("zipped", [False, True])
def test_fasta_cut_short(world: World, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, zipped: bool) -> None:
    folder = tmp_path_factory.mktemp("genome")
    fasta, vcf = big_world(folder)
    if zipped:
        pysam.tabix_compress(str(fasta), f"{fasta}.gz", force=True)
        fasta = Path(f"{fasta}.gz")
    pysam.faidx(str(fasta))
    whole = shutil.copy(fasta, folder / "whole")
    bench, scoring = Bench(world, vcf, tmp_path), world.scoring(batch_size=2, reference=fasta)
    expected = bench.made(tally=bench.run(scoring=scoring))

    def cut_short() -> None:
        with fasta.open("r+b") as file:
            file.truncate(fasta.stat().st_size // 2)

    with at_record(20, cut_short), pytest.raises(InputError, match="FASTA cut short") as caught:
        bench.run(scoring=scoring)
    assert f"{fasta}: chr1 at " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert 18 <= records_done(bench) < 40
    fasta.unlink()
    with pytest.raises(InputError, match="no such FASTA"):
        bench.run(scoring=scoring)
    shutil.copy(whole, fasta)
    assert bench.made(tally=bench.run(scoring=scoring)) == expected


def test_fasta_removed_while_it_is_read(world: World, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is open can be read to its end."""
    fasta, vcf = big_world(tmp_path_factory.mktemp("genome"))
    bench, scoring = Bench(world, vcf, tmp_path), world.scoring(batch_size=2, reference=fasta)
    expected = bench.made(tally=bench.run(scoring=scoring))
    with at_record(20, fasta.unlink):
        assert bench.made(tally=bench.run(scoring=scoring)) == expected


def test_input_cut_short(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A gzip that ends too soon is noticed when it is read, and may be replaced by the whole one."""
    expected = bench.made(tally=bench.run())
    folder = tmp_path_factory.mktemp("input")
    whole, short = gzip.compress(bench.vcf.read_bytes()), folder / "in.vcf.gz"
    short.write_bytes(whole[: len(whole) * 7 // 8])
    with pytest.raises(InputError, match=r"in.vcf.gz: truncated or damaged after line \d+"):
        bench.run(input=str(short))
    done = records_done(bench)
    assert RECORDS // 3 < done < RECORDS
    short.write_bytes(whole[: len(whole) // 4])
    with pytest.raises(InputError, match=r"in.vcf.gz: truncated or damaged after line \d+"):
        bench.run(input=str(short))
    assert records_done(bench) == done
    short.write_bytes(whole)
    assert bench.made(tally=bench.run(input=str(short))) == expected


def test_input_without_its_last_block(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    expected = bench.made(tally=bench.run())
    short = tmp_path_factory.mktemp("input") / "in.vcf.gz"
    pysam.tabix_compress(str(bench.vcf), str(short))
    whole = short.read_bytes()
    bench.cut_off(input=str(short))
    short.write_bytes(whole[:-28])
    with pytest.raises(InputError, match="truncated: bgzip's end-of-file block is missing"):
        bench.run(input=str(short))
    assert records_done(bench) == 48
    short.write_bytes(whole)
    assert bench.made(tally=bench.run(input=str(short))) == expected
