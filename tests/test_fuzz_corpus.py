"""The fuzzers' corpus, and every input that once broke something, through the harnesses without a fuzzer."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent.parent / "fuzz"
HARNESSES = ("records", "consequences", "annotation")
Check = Callable[[bytes], None]


def inputs(name: str) -> list[Path]:
    return sorted(path for kind in ("corpus", "regressions") for path in (FUZZ / kind / name).iterdir())


@pytest.fixture(scope="module")
def checks() -> Iterator[dict[str, Check]]:
    opened = {name: importlib.import_module(f"fuzz.{name}").open_harness() for name in HARNESSES}
    yield {name: harness.__enter__().check for name, harness in opened.items()}
    for harness in opened.values():
        harness.__exit__(None, None, None)


@pytest.mark.parametrize(
    "path", [path for name in HARNESSES for path in inputs(name)], ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_inputs_of_the_fuzzers(path: Path, checks: dict[str, Check]) -> None:
    checks[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", HARNESSES)
def test_the_corpus_is_there_and_small(name: str) -> None:
    sizes = [path.stat().st_size for path in inputs(name)]
    assert len(sizes) >= 8
    assert sum(sizes) < 60_000
