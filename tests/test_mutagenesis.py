"""`sbert-vcf mutagenesis`: table and figure end to end, and what it refuses."""

import csv
import gzip
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sbert_model.errors import InputError, OutputError, SbertError
from sbert_vcf.annotator import Annotator
from sbert_vcf.cli import cli
from sbert_vcf.mutagenesis import MutagenesisOptions, mutagenesis
from sbert_vcf.mutagenesis_rows import COLUMNS
from sbert_vcf.mutagenesis_targets import parse_target
from sbert_vcf.variant import Status, Variant
from tests.tiny_mutagenesis import SEQUENCE, TinyMutagenesis, write_tiny_mutagenesis


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyMutagenesis:
    return write_tiny_mutagenesis(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No configuration of the user's, and their loggers as they were."""
    folder = tmp_path_factory.mktemp("settings")
    monkeypatch.setenv("SBERT_VCF_CONFIG", str(folder / "config.ini"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    loggers = [logging.getLogger(name) for name in ("sbert_vcf", "sbert_model", "sbert_train")]
    states = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, states, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["mutagenesis", *map(str, arguments)])


def table_of(text: str) -> list[dict[str, str]]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines, delimiter="\t"))


def error(*arguments: object) -> SbertError:
    result = invoke(*arguments)
    assert isinstance(result.exception, SbertError)
    assert result.stdout == ""
    return result.exception


def test_tables_and_figures(tiny: TinyMutagenesis, tmp_path: Path) -> None:
    out, plot = tmp_path / "out.tsv", tmp_path / "out.png"
    targets = ("ONE.1:2", "chr1:736-738")
    result = invoke(*targets, *tiny.options(), "-o", out, "--plot", plot, "--upstream", 25, "--downstream", 1)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "OK 96 in " in result.stderr
    assert plot.read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.png", "out.tsv"]
    run, command, header, *rest = out.read_text().splitlines()
    assert run.startswith('##sbert_vcf=<ID=run,Version="')
    assert 'BranchpointModel="' in run
    assert command.startswith("##sbert_vcf_command=")
    assert header.split("\t") == [name for name, _ in COLUMNS]
    assert len(rest) == 26 * 3 + 3 * 3 * 2
    rows = table_of(out.read_text())
    assert [row["target"] for row in rows] == [targets[0]] * 78 + [targets[1]] * 18
    with Annotator.open(tiny.scoring()) as annotator:
        for row in rows[::7]:
            variant = Variant(row["contig"], int(row["pos"]) - 1, row["ref"], row["alt"])
            (result_of,) = annotator.score([variant])
            (score,) = (one for one in result_of.scores if one.placement.symbol == row["symbol"])
            assert score.branchpoint is not None
            assert float(row["kl"]) == pytest.approx(score.kl, rel=1e-5)
            assert float(row["bp_loss"]) == pytest.approx(score.branchpoint.loss, rel=1e-5)
            assert float(row["bp_gain"]) == pytest.approx(score.branchpoint.gain, rel=1e-5)
            assert int(row["bp_acceptor"]) == score.branchpoint.acceptor + 1
            sites = (score.splice_sites.donor, score.splice_sites.acceptor)
            for cell, value in zip((row["kl_donor"], row["kl_acceptor"]), sites, strict=True):
                assert cell == "." if value is None else float(cell) == pytest.approx(value, rel=1e-5)
            assert row["sense_ref"] == (row["ref"] if row["strand"] == "+" else "TGCA"["ACGT".index(row["ref"])])


def test_the_default_range_is_judged_by_the_branchpoint_model(tiny: TinyMutagenesis) -> None:
    rows = table_of(invoke("ONE.1:2", *tiny.options(), "-q").stdout)
    assert [int(row["offset"]) for row in rows[::3]] == list(range(-60, 10))
    assert all(row["bp_loss"] != "." for row in rows)
    few = table_of(invoke("ONE.1:2", *tiny.options(), "-q", "--bp-distance", 0).stdout)
    assert {int(row["offset"]) for row in few if row["bp_loss"] != "."} == set(range(-47, -14))


def test_compressed_or_on_stdout_the_table_is_the_same(tiny: TinyMutagenesis, tmp_path: Path) -> None:
    expected = invoke("chr1:736-738", *tiny.options())
    assert expected.exit_code == 0
    packed = []
    for name in ("one.tsv.gz", "two.tsv.gz"):
        assert invoke("chr1:736-738", *tiny.options(), "-q", "-o", tmp_path / name).exit_code == 0
        packed.append((tmp_path / name).read_bytes())
    assert packed[0] == packed[1]
    assert table_of(gzip.decompress(packed[0]).decode()) == table_of(expected.stdout)


def test_every_batch_size_gives_the_same(tiny: TinyMutagenesis) -> None:
    tables = [table_of(invoke("ONE.1:1", *tiny.options(), "-q", "--batch-size", n).stdout) for n in (1, 2, 64)]
    assert tables[0] == tables[1] == tables[2]


def test_with_the_bundled_model(tiny: TinyMutagenesis) -> None:
    options = [item for item in tiny.options() if item not in ("-m", str(tiny.folder / "mlm"))]
    (first, *_), code = (result := invoke("chr1:776-776", *options, "--delta")).stdout.splitlines(), result.exit_code
    assert code == 0
    assert 'Model="bundled",' in first
    rows = table_of(result.stdout)
    assert len(rows) == 6
    for row in rows:
        assert -1381.56 < float(row["kl"]) < 0
        assert -1 < float(row["delta"]) < 1


def test_progress_and_the_number_of_windows(tiny: TinyMutagenesis, tmp_path: Path) -> None:
    result = invoke("chr1:776-777", *tiny.options(), "--progress", "-v", "-o", tmp_path / "out.tsv")
    assert result.exit_code == 0
    assert "2/2" in result.stderr
    assert "branchpoint windows: " in result.stderr


def test_a_missing_score_is_counted(tiny: TinyMutagenesis, tmp_path: Path) -> None:
    options = MutagenesisOptions(str(tmp_path / "out.tsv"), str(tmp_path / "out.svg"))
    tally = mutagenesis([parse_target("chr1:230-231"), parse_target("chr2:501-501")], options, tiny.scoring())
    assert tally == {Status.NO_GENE: 6, Status.NON_ACGT: 4}
    assert "no substitution has a score" in (tmp_path / "out.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument"),
        (["chr1"], "expected contig:start-end"),
        (["chr1:9-5"], "a region runs from a position"),
        (["chr1:5-9", "--plot", "out.pdf"], "ends with .png or .svg"),
        (["chr1:5-9", "--strand", "csq"], "--strand csq is for annotate"),
        (["chr1:5-9", "--strand", "genes"], "--strand genes needs --genes"),
        (["T:5", "-r", "x.fa"], "T:5 is a transcript's acceptor, which needs --genes"),
        (["chr1:5-9", "--upstream", "0"], "Invalid value for '--upstream'"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_what_cannot_be_done_leaves_nothing_behind(
    tiny: TinyMutagenesis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, plot = tmp_path / "out.tsv", tmp_path / "out.svg"
    files = ["-o", out, "--plot", plot]
    assert "reaches over the end of the contig" in str(error("chr1:1590-1601", *tiny.options(), *files))
    assert "has introns 1 to 2" in str(error("ONE.1:3", *tiny.options(), *files))
    assert str(error("TWO.1:1", *tiny.options(), *files, "--strand", "+")) == (
        "TWO.1:1: TWO.1 lies on the - strand, --strand is +"
    )
    assert isinstance(error("chr1:5-9", *tiny.options(), "-o", tmp_path / "no" / "out.tsv"), OutputError)
    assert str(error("chr1:5-9", *tiny.options(), "-o", tmp_path)) == f"{tmp_path}: is a folder; name a file"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "--plot needs matplotlib" in str(error("chr1:776-776", *tiny.options(), *files))
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_half_way_leaves_what_was_there(
    tiny: TinyMutagenesis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.tsv"
    out.write_text("old")
    assert "exists already; use --overwrite" in str(error("chr1:776-776", *tiny.options(), "-o", out))

    def broken(*_: object) -> None:
        raise InputError("broken")

    with monkeypatch.context() as patched:
        patched.setattr("sbert_vcf.mutagenesis_figure.HeatMaps.save", broken)
        plot = tmp_path / "out.png"
        assert str(error("chr1:776-776", *tiny.options(), "-o", out, "--plot", plot, "--overwrite")) == "broken"
    assert [path.name for path in tmp_path.iterdir()] == ["out.tsv"]
    assert out.read_text() == "old"
    assert invoke("chr1:776-776", *tiny.options(), "-o", out, "--overwrite").exit_code == 0
    assert table_of(out.read_text())[0]["ref"] == SEQUENCE[775]
