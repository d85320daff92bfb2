"""Runs with a score cache: the same results and bytes, no window read twice, nothing served to the wrong run."""

import dataclasses
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from sbert_vcf import score_cache
from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.annotator import Annotator
from sbert_vcf.cli_score import score
from sbert_vcf.generated import Generated, generate
from sbert_vcf.notices import LOGGER
from sbert_vcf.options import ScoringOptions
from sbert_vcf.results import AlleleResult
from sbert_vcf.strand import Site
from tests.models import write_random_masked_lm, write_random_token_classifier

VARIANTS = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    return generate(tmp_path_factory.mktemp("generated"), VARIANTS)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_random_masked_lm(folder / "mlm", hidden=16, layers=1, heads=2, max_nt=402)
    write_random_token_classifier(folder / "bp", hidden=16, layers=1, heads=2, scale=1.2)
    return folder


@pytest.fixture
def options(made: Generated, models: Path, tmp_path: Path) -> ScoringOptions:
    return ScoringOptions(
        reference=str(made.fasta),
        genes=str(made.genes),
        model=str(models / "mlm"),
        branchpoint_model=str(models / "bp"),
        bp_distance=30,
        device="cpu",
        threads=1,
        cache=str(tmp_path / "scores.db"),
    )


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(LOGGER, "propagate", True)
    return caplog


def run(options: ScoringOptions, sites: list[Site]) -> tuple[list[tuple[AlleleResult, ...]], int, int]:
    """Results, and how many windows the two models read for them."""
    with Annotator.open(options) as annotator:
        results = annotator.score_sites(sites)
        assert annotator.branchpoints is not None
        return results, annotator.predictor.windows_run, annotator.branchpoints.predictor.windows_run


def test_the_second_run_reads_no_window(options: ScoringOptions, made: Generated) -> None:
    plain, *read = run(dataclasses.replace(options, cache=None), made.sites)
    assert run(options, made.sites) == (plain, *read)
    assert run(options, made.sites) == (plain, 0, 0)
    assert read[0] > VARIANTS
    assert read[1] > 5
    scores = [score for results in plain for result in results for score in result.scores]
    assert sum(score.splice_sites.total is not None for score in scores) > VARIANTS // 2
    assert {score.branchpoint is not None and score.branchpoint.position is not None for score in scores} == {
        True,
        False,
    }


def test_a_file_comes_out_with_the_same_bytes(
    options: ScoringOptions, made: Generated, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    vcf = tmp_path / "in.vcf"
    rows = (f"{site.contig}\t{site.start + 1}\t.\t{site.ref}\t{site.alts[0]}\t.\t.\t.\n" for site in made.sites)
    vcf.write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(rows))
    outputs = []
    said.set_level(logging.INFO, LOGGER.name)
    for cache in (None, options.cache, options.cache):
        out = tmp_path / "out.vcf"
        annotate(AnnotateOptions(str(vcf), str(out), overwrite=True), dataclasses.replace(options, cache=cache))
        outputs.append(out.read_bytes())
    assert outputs[0] == outputs[1] == outputs[2]
    summaries = [message for message in said.messages if message.startswith("cache ")]
    assert len(summaries) == 2
    assert ": 100% of " in summaries[1]


def test_another_build_and_notation_find_the_scores(options: ScoringOptions, made: Generated, tmp_path: Path) -> None:
    """The contig has another name and 500 more bases before; ALTs repeat the base before them."""
    bases = made.fasta.read_text().split()[1]
    (tmp_path / "build.fa").write_text(f">chrNew\n{'ACGTT' * 100}{bases}\n")
    lines = [line.split("\t") for line in made.genes.read_text().splitlines(keepends=True)]
    moved = (
        "\t".join(["chrNew", *row[1:3], str(int(row[3]) + 500), str(int(row[4]) + 500), *row[5:]]) for row in lines
    )
    (tmp_path / "build.gtf").write_text("".join(moved))
    sites = [
        Site("chrNew", site.start + 499, bases[site.start - 1] + site.ref, (bases[site.start - 1] + site.alts[0],))
        for site in made.sites
    ]
    first, *_ = run(options, made.sites)
    other = dataclasses.replace(options, reference=str(tmp_path / "build.fa"), genes=str(tmp_path / "build.gtf"))
    second, *read = run(other, sites)
    assert read == [0, 0]
    assert [[result.kl, result.ss, result.bp] for (result,) in second] == [
        [result.kl, result.ss, result.bp] for (result,) in first
    ]


def test_other_arithmetic_and_other_models_find_nothing(
    options: ScoringOptions, made: Generated, tmp_path: Path
) -> None:
    _, windows, branchpoint_windows = run(options, made.sites)
    lower = dataclasses.replace(options, precision="bfloat16")
    assert run(lower, made.sites)[1:] == (windows, branchpoint_windows)
    folder = write_random_masked_lm(tmp_path / "mlm", hidden=16, layers=1, heads=2, max_nt=402, seed=1)
    assert run(dataclasses.replace(options, model=str(folder)), made.sites)[1:] == (windows, 0)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"num_attention_heads": 2', '"num_attention_heads": 4'))
    assert run(dataclasses.replace(options, model=str(folder)), made.sites)[1:] == (windows, 0)


def test_what_an_earlier_run_did_not_ask_is_computed(options: ScoringOptions, made: Generated) -> None:
    fewer = dataclasses.replace(options, genes=None, strand="both", branchpoint_model="none")
    with Annotator.open(fewer) as annotator:
        annotator.score_sites(made.sites)
    more = dataclasses.replace(options, delta=True)
    results, *read = run(more, made.sites)
    assert all(read)
    assert results == run(dataclasses.replace(more, cache=None), made.sites)[0]
    assert run(more, made.sites) == (results, 0, 0)


def test_the_same_allele_twice_in_a_file_is_looked_up(options: ScoringOptions, made: Generated) -> None:
    with Annotator.open(options) as annotator:
        first = annotator.score_sites(made.sites)
        read = annotator.predictor.windows_run
        annotator.predictor._logits.clear()
        assert annotator.score_sites(made.sites) == first
        assert annotator.predictor.windows_run == read


def test_a_file_that_breaks_in_the_middle(
    options: ScoringOptions, made: Generated, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, *_ = run(dataclasses.replace(options, cache=None), made.sites)
    monkeypatch.setattr(score_cache, "_ROWS_PER_WRITE", 1)
    said.clear()
    with Annotator.open(options) as annotator:
        half = len(made.sites) // 2
        results = annotator.score_sites(made.sites[:half])
        assert annotator.cache is not None
        assert annotator.cache._connection is not None
        annotator.cache._connection.execute("DROP TABLE score")
        results += annotator.score_sites(made.sites[half:])
        annotator.log_windows()
    assert results == plain
    warnings = [record.message for record in said.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "cannot be used any longer (no such table: score); the run goes on without it" in warnings[0]


def test_score_on_the_command_line(options: ScoringOptions, made: Generated) -> None:
    site = made.sites[0]
    text = f"{site.contig}:{site.start + 1}:{site.ref}:{site.alts[0]}"
    arguments = [text, "-r", options.reference, "-g", options.genes, "-m", options.model, "--device", "cpu"]
    arguments += ["--branchpoint-model", "none", "--threads", "1", "--cache", options.cache]
    first, second = (CliRunner().invoke(score, list(map(str, arguments))) for _ in range(2))
    assert first.exit_code == second.exit_code == 0
    assert first.stdout == second.stdout
    assert ": 0% of " in first.stderr
    assert ": 100% of " in second.stderr
