"""Properties of runs: batch size, threads, workers, cache and output format change nothing that is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pysam.bcftools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.odd_runs import content
from tests.property_runs import Bench, examples, per_alt, write_models
from tests.strategies import Gene, Genome, Written, genes_of, vcfs
from tests.world import records_of


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@st.composite
def inputs(draw: st.DrawFn, *, least: int = 1) -> tuple[Genome, list[str], list[Gene]]:
    """A genome, records and genes."""
    genome, records = draw(vcfs())
    return genome, lines_of(records * -(-least // len(records))), draw(genes_of(genome))


def lines_of(records: Sequence[Written]) -> list[str]:
    return [record.line(f"id{number}", "DP=3") for number, record in enumerate(records)]


Input = tuple[Genome, list[str], list[Gene]]


@examples(25)
@given(inputs(), st.sampled_from([{"batch_size": 1}, {"batch_size": 2}, {"batch_size": 3}, {"batch_size": 64}]))
def test_batch_size(model: Path, drawn: Input, size: dict[str, Any]) -> None:
    genome, lines, genes = drawn
    with Bench(model, genome, genes) as bench:
        assert bench.lines(lines, **size) == bench.lines(lines)


@examples(15)
@given(inputs())
def test_threads(model: Path, drawn: Input) -> None:
    genome, lines, genes = drawn
    with Bench(model, genome, genes) as bench:
        assert bench.lines(lines, threads=2) == bench.lines(lines, threads=1)


@examples(20)
@given(inputs(), st.data())
def test_cache(model: Path, drawn: Input, data: st.DataObject) -> None:
    """Cold, with scores of a part of the records, and warm."""
    genome, lines, genes = drawn
    with Bench(model, genome, genes) as bench:
        cache = str(bench.folder / "scores.cache")
        expected = bench.lines(lines)
        some = data.draw(st.lists(st.sampled_from(lines), max_size=3))
        assert set(bench.lines(some, cache=cache)) <= set(expected)
        assert bench.lines(lines, cache=cache) == expected
        assert bench.lines(lines, cache=cache, batch_size=2) == expected


@examples(20)
@given(inputs())
def test_output_formats(model: Path, drawn: Input) -> None:
    """BCF holds typed values; written as text again they are those of the VCF, which bcftools leaves as they are."""
    genome, lines, genes = drawn
    with Bench(model, genome, genes) as bench:
        source = bench.vcf(lines)
        expected = records_of(content(bench.annotate(source)))
        assert records_of(content(bench.annotate(source, "out.vcf.gz"))) == expected
        for output in ("out.vcf", "out.bcf"):
            shown = bench.folder / "shown.vcf"
            made = bench.annotate(source, output)
            pysam.bcftools.view("--no-version", "-H", "-o", str(shown), str(made), catch_stdout=False)
            assert records_of(shown.read_bytes()) == expected


@examples(2)
@given(inputs(least=12))
def test_workers(model: Path, drawn: Input) -> None:
    genome, lines, genes = drawn
    with Bench(model, genome, genes) as bench:
        assert bench.lines(lines, workers=2, batch_size=2) == bench.lines(lines)


@examples(20)
@given(inputs())
def test_both_strands_give_the_higher_score_of_the_two(model: Path, drawn: Input) -> None:
    genome, lines, _ = drawn
    with Bench(model, genome) as bench:
        runs = [bench.lines(lines, strand=strand) for strand in ("both", "+", "-")]
    for of_record in zip(*runs, strict=True):
        for (both, status), (plus, _), (minus, _) in zip(*map(per_alt, of_record), strict=True):
            assert both == ("." if status != "OK" else max(plus, minus, key=float))
