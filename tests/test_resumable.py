"""sbert_vcf.resumable, restart and progress: the same bytes, what may change between starts, and what is refused."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sbert_model.errors import InputError, OutputError, SbertError
from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.notices import Notices
from sbert_vcf.restart import RestartPoint
from sbert_vcf.resumable import open_resumable
from tests.models import write_random_masked_lm
from tests.resumed import RECORDS, SUFFIXES, Bench, write_input
from tests.test_vcf_output import HEADER
from tests.world import World, as_stdin, bgzip, build_world, open_descriptors, vcf_text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def vcf(world: World) -> Path:
    return write_input(world)


@pytest.fixture
def bench(world: World, vcf: Path, tmp_path: Path) -> Bench:
    return Bench(world, vcf, tmp_path)


@pytest.mark.parametrize("letter", SUFFIXES)
def test_same_bytes_as_without_resume(bench: Bench, letter: str) -> None:
    output = f"out.{SUFFIXES[letter]}"
    before = open_descriptors()
    expected = bench.made(output, bench.run(output, resume=False))
    assert bench.made(output, bench.run(output)) == expected
    assert open_descriptors() == before
    bench.cut_off(output)
    bench.files(output)
    assert bench.made(output, bench.run(output)) == expected


def test_tells_where_it_goes_on(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sbert_vcf")
    bench.cut_off()
    assert "48 records are done, to chr1:545; a start with the same options goes on behind them" in caplog.text
    bench.run()
    assert "goes on behind record 48, chr1:545" in caplog.text


def test_progress_bar_begins_where_the_run_goes_on(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.cut_off()
    capfd.readouterr()
    bench.run(input=str(bgzip(bench.vcf)), progress=True)
    last = capfd.readouterr().err.split("\r")[-1]
    assert f"| {RECORDS}/{RECORDS} [" in last
    assert "33% scored" in last


def test_what_does_not_change_the_output_may_change(bench: Bench) -> None:
    expected = bench.made(tally=bench.run())
    bench.cut_off()
    scoring = replace(bench.world.scoring(batch_size=7), cache=str(bench.world.folder / "cache.db"))
    assert bench.made(tally=bench.run(scoring=scoring, restart_every=60.0, force=True)) == expected


def test_input_may_be_the_same_records_in_another_file(bench: Bench) -> None:
    expected = bench.made(tally=bench.run())
    bench.cut_off()
    assert bench.made(tally=bench.run(input=str(bgzip(bench.vcf)))) == expected


def test_region(bench: Bench) -> None:
    source = str(bgzip(bench.vcf))
    expected = bench.made(tally=bench.run(input=source, region="chr1:400-700"))
    assert expected.tally.total() == 61
    bench.cut_off(input=source, region="chr1:400-700", record=30)
    assert bench.made(tally=bench.run(input=source, region="chr1:400-700")) == expected


def test_overwrite(bench: Bench) -> None:
    expected = bench.made(tally=bench.run())
    bench.cut_off()
    output = bench.folder / "out.vcf.gz"
    output.write_text("old")
    with pytest.raises(OutputError, match="exists already; use --overwrite"):
        bench.run()
    assert bench.made(tally=bench.run(overwrite=True)) == expected


def settings(world: World) -> dict[str, tuple[dict[str, Any], str]]:
    """What a start may not change, with what is said of it."""
    scoring = world.scoring(batch_size=4)
    other = write_random_masked_lm(world.folder / "other", hidden=16, layers=1, heads=2, max_nt=402, seed=1)
    copy = world.folder / "copy.fa"
    copy.write_text(world.fasta.read_text().replace(">chrM", ">chrX"))
    return {
        "model": ({"scoring": replace(scoring, model=str(other))}, "(Model was "),
        "strand": ({"scoring": replace(scoring, strand="-")}, "(Strand was +, is -; StrandMode was +, is -)"),
        "genes": ({"scoring": replace(scoring, genes=str(world.genes))}, "Genes was none, is world.gtf; GenesSHA256"),
        "delta": ({"scoring": replace(scoring, delta=True)}, "Fields was none, is SBERT_DELTA"),
        "reference": ({"scoring": replace(scoring, reference=str(copy))}, "Reference was world.fa, is copy.fa"),
        "region": ({"input": str(bgzip(world.folder / "in.vcf")), "region": "chr1"}, "(Region was all, is chr1)"),
    }


@pytest.mark.parametrize("case", ["model", "strand", "genes", "delta", "reference", "region"])
def test_other_settings_are_refused(bench: Bench, case: str) -> None:
    expected = bench.made(tally=bench.run())
    bench.cut_off()
    options, words = settings(bench.world)[case]
    with pytest.raises(InputError, match="was begun with other settings") as caught:
        bench.run(**options)
    files = bench.files()
    assert words in str(caught.value)
    assert str(caught.value).endswith(f"use the same, or delete {files.unfinished} and {files.restart} to start over")
    assert bench.made(tally=bench.run()) == expected


def test_another_format_is_refused(bench: Bench) -> None:
    bench.cut_off()
    with pytest.raises(InputError, match=r"\(Format was z, is v\)"):
        bench.run(letter="v")
    bench.files()


def test_small_output_is_kept_in_the_restart_point_alone(bench: Bench) -> None:
    expected = bench.made(tally=bench.run())
    bench.cut_off(record=8)
    assert bench.files().unfinished.stat().st_size == 0
    assert bench.made(tally=bench.run()) == expected


def test_another_version_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.cut_off()
    monkeypatch.setattr("sbert_vcf.provenance.__version__", "99.0")
    with pytest.raises(InputError, match=r"\(Version was .*, is 99\.0\)"):
        bench.run()


def test_another_input_is_refused(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    expected = bench.made(tally=bench.run())
    bench.cut_off()
    other = tmp_path_factory.mktemp("other") / "in.vcf"
    lines = [line + b"\n" for line in bench.vcf.read_bytes().split(b"\n")[:-1]]
    header = sum(line.startswith(b"#") for line in lines)
    for changed, words in (
        ([*lines[: header + 10], *lines[header + 11 :]], "its first 48 records are not those"),
        (lines[: header + 20], "its first 48 records are not those"),
        ([b"##fileformat=VCFv4.3\n", *lines[1:]], "HeaderSHA256 was"),
    ):
        other.write_bytes(b"".join(changed))
        with pytest.raises(InputError, match=words):
            bench.run(input=str(other))
    other.write_bytes(b"".join([*lines[: header + 50], lines[-1]]))
    bench.run(input=str(other))  # the records that were read are the same, and the rest is this file's
    assert bench.made().output != expected.output


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", '{"sha256": 3}', '"x"', "\udcff"])
def test_broken_restart_point(bench: Bench, text: str) -> None:
    bench.cut_off()
    path = bench.files().restart
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match="broken restart point; delete it to start over"):
        bench.run()
    path.unlink()
    bench.run()
    bench.made()


def test_changed_restart_point(bench: Bench) -> None:
    bench.cut_off()
    path = bench.files().restart
    whole = path.read_text()
    for before, after in (
        ('"records": 48', '"records": 49'),
        ('"size": ', '"size": 1'),
        ('"format": 1', '"format": 2'),
    ):
        assert before in whole
        path.write_text(whole.replace(before, after))
        with pytest.raises(InputError, match="broken restart point"):
            bench.run()
    path.write_text(whole)
    bench.run()


def test_restart_point_of_another_format(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.cut_off()
    monkeypatch.setattr("sbert_vcf.restart._FORMAT", 2)
    with pytest.raises(InputError, match="restart point of another version of sbert-vcf; delete it to start over"):
        bench.run()


@pytest.mark.parametrize("letter", SUFFIXES)
def test_unfinished_output_that_is_cut_short_or_gone(bench: Bench, letter: str) -> None:
    output = f"out.{SUFFIXES[letter]}"
    expected = bench.made(output, bench.run(output))
    bench.cut_off(output, record=100)
    files = bench.files(output)
    whole = files.unfinished.read_bytes()
    files.unfinished.write_bytes(whole[:-200_000])
    with pytest.raises(InputError, match=r"is shorter than its restart point says; delete .* to start over"):
        bench.run(output)
    files.unfinished.unlink()
    with pytest.raises(InputError, match="is shorter than its restart point says"):
        bench.run(output)
    assert list(bench.folder.iterdir()) == [files.restart]
    files.unfinished.write_bytes(whole + b"rubbish")
    assert bench.made(output, bench.run(output)) == expected


def test_start_over_by_deleting_what_is_named(bench: Bench) -> None:
    expected = bench.made(tally=bench.run())
    bench.cut_off(scoring=bench.world.scoring(batch_size=4, strand="-"))
    for path in (bench.files().unfinished, bench.files().restart):
        path.unlink()
    assert bench.made(tally=bench.run()) == expected


def test_failure_before_the_first_restart_point_leaves_nothing(bench: Bench) -> None:
    for output in ("out.vcf.gz", "out.bcf"):
        bench.cut_off(output, record=1)
        assert list(bench.folder.iterdir()) == []


def test_what_bcf_cannot_hold_is_said_at_once(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("input") / "in.vcf"
    lines = [bench.world.snv("chr1", pos) for pos in range(400, 410)]
    path.write_text(vcf_text([*lines, bench.world.snv("chr1", 420, "NO=1"), *lines]))
    with pytest.raises(InputError, match="chr1:420: INFO NO is not declared in the header"):
        bench.run("out.bcf", input=str(path))
    point = RestartPoint.load(bench.files("out.bcf").restart)
    assert point is not None
    assert point.done.records == 8
    path.write_text(vcf_text(lines, samples=["same", "same"]).replace("\t.\n", "\t.\tGT\t.\t.\n"))
    with pytest.raises(SbertError):
        bench.run("out.bcf", input=str(path))


def test_wrong_build_stops_again_unless_forced(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path_factory.mktemp("input") / "in.vcf"
    lines = []
    for pos in range(400, 1500):
        ref = next(base for base in "ACGT" if base != bench.world.base("chr1", pos))
        lines.append(f"chr1\t{pos}\t.\t{ref}\t{'CA'[ref == 'C']}\t.\t.\t.")
    path.write_text(vcf_text(lines))
    scoring = bench.world.scoring(batch_size=64)
    for _ in range(2):
        with pytest.raises(InputError, match="in 1000 of the first 1000 records: the genome build looks wrong"):
            bench.run(input=str(path), scoring=scoring)
    bench.run(input=str(path), scoring=scoring, force=True)
    assert "in 1100 of 1100 records: the genome build looks wrong" in caplog.text


def test_unsorted_records_are_remembered(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path_factory.mktemp("input") / "in.vcf"
    lines = [bench.world.snv("chr1", pos) for pos in (400, 300, *range(500, 540))]
    path.write_text(vcf_text(lines))
    bench.cut_off(input=str(path), record=20)
    bench.run(input=str(path))
    assert [file.name for file in bench.folder.iterdir()] == ["out.vcf.gz"]
    assert "records are not sorted by position: no index is made" in caplog.text


def test_streams_are_refused(bench: Bench) -> None:
    with (
        as_stdin(bench.vcf.read_bytes()[:1000]),
        pytest.raises(OutputError, match="standard input: is no file; --resume needs files as"),
    ):
        bench.run(input="-")
    with pytest.raises(OutputError, match="/dev/null: is no file; --resume needs files"):
        bench.run("/dev/null")
    with pytest.raises(OutputError, match="standard output: is no file; --resume needs files as"):
        annotate(AnnotateOptions(str(bench.vcf), "-", resume=True), bench.world.scoring())


def test_two_runs_with_one_output(tmp_path: Path) -> None:
    def resumable() -> contextlib.AbstractContextManager[object]:
        output = str(tmp_path / "x.vcf.gz")
        return open_resumable(output, "z", HEADER, run={}, every=0, index=True, notices=Notices())

    with resumable(), pytest.raises(OutputError, match="another run is writing it"), resumable():
        raise AssertionError
    with (
        pytest.raises(OutputError, match=r"no/x.vcf: cannot be written: No such file"),
        open_resumable(str(tmp_path / "no" / "x.vcf"), "v", HEADER, run={}, every=0, index=True, notices=Notices()),
    ):
        raise AssertionError
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.vcf.gz", "x.vcf.gz.tbi"]


def test_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with open_resumable(str(tmp_path / "x.vcf"), "v", HEADER, run={}, every=0, index=True, notices=Notices()):
        pass
    assert "x.vcf: cannot be locked (No locks available): start no second run that writes it" in caplog.text


def test_killed_after_the_output_has_its_name(bench: Bench) -> None:
    """The rest of the work is done by the next start, which finds the output finished."""
    expected = bench.made(tally=bench.run())
    bench.cut_off(record=RECORDS)
    files = bench.files()
    point = RestartPoint.load(files.restart)
    assert point is not None
    files.unfinished.unlink()
    files.final.write_bytes(expected.output)
    assert expected.beside is not None
    Path(f"{files.unfinished}.tbi").write_bytes(expected.beside)
    point._replace(whole=len(expected.output)).save(files.restart)
    with pytest.raises(OutputError, match="exists already"):
        bench.run()
    assert bench.made(tally=expected.tally) == expected


def test_link_stays_a_link(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    there = tmp_path_factory.mktemp("there")
    link = bench.folder / "out.vcf.gz"
    link.symlink_to(there / "x.vcf.gz")
    bench.cut_off()
    assert {path.name for path in there.iterdir()} == {".x.vcf.gz.partial.vcf.gz", ".x.vcf.gz.restart.json"}
    bench.run()
    assert {path.name for path in there.iterdir()} == {"x.vcf.gz", "x.vcf.gz.tbi"}
    assert link.is_symlink()


def test_restart_point_is_small_and_readable(bench: Bench) -> None:
    bench.cut_off(record=100)
    values = json.loads(bench.files().restart.read_text())
    assert values["run"]["Model"] == str(bench.world.model)
    assert values["done"]["last"] == "chr2:685"
