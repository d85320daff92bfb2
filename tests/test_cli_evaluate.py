import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sbert_model.errors import ModelError, OutputError, SbertError
from sbert_train.cli_evaluate import evaluate_mlm
from tests.models import write_random_masked_lm
from tests.tiny_corpus import write_tiny_corpus


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus` and `model`."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_corpus(folder)
    write_random_masked_lm(folder / "model", max_nt=510)
    return folder


def _run(tiny: Path, out: Path, *options: str) -> Result:
    arguments = [
        str(tiny / "model"),
        str(tiny / "corpus"),
        "-o",
        str(out),
        "--device",
        "cpu",
        "--threads",
        "1",
        *options,
    ]
    return CliRunner().invoke(evaluate_mlm, arguments, catch_exceptions=False)


def test_scores_go_to_the_folder_and_a_table_to_stdout(tiny: Path, tmp_path: Path) -> None:
    options = ("--length", "64", "--windows", "3", "--mask-rate", "0.3", "--seed", "5", "--markov-order", "2")
    result = _run(tiny, tmp_path / "out", *options)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].startswith("all bases")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["figure.png", "scores.json", "scores.tsv"]
    found = json.loads((tmp_path / "out" / "scores.json").read_text())
    counted = found["settings"].pop("counted_bases")
    assert counted > 1000
    assert found["settings"] == {
        "length": 64,
        "windows": 3,
        "mask_rate": 0.3,
        "seed": 5,
        "markov_order": 2,
        "device": "cpu",
    }
    assert {row["model"] for row in found["scores"]} == {
        *("model", "untrained", "composition", "markov-2"),
        *(f"sides-{width}" for width in range(1, 6)),
    }

    with pytest.raises(OutputError, match="--overwrite"):
        _run(tiny, tmp_path / "out", *options)
    before = (tmp_path / "out" / "scores.tsv").read_bytes()
    assert _run(tiny, tmp_path / "out", *options, "--overwrite").exit_code == 0
    assert (tmp_path / "out" / "scores.tsv").read_bytes() == before


def test_windows_that_the_model_cannot_read_write_nothing(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="at most 510 nt"):
        _run(tiny, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_matplotlib_it_says_what_to_install(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SbertError, match=r"pip install 'sbert-vcf\[train\]'"):
        _run(tiny, tmp_path / "out")


@pytest.mark.parametrize("option", [("--mask-rate", "0"), ("--mask-rate", "1.5"), ("--windows", "0"), ("--seed", "-1")])
def test_impossible_values_are_wrong_usage(tiny: Path, tmp_path: Path, option: tuple[str, str]) -> None:
    assert _run(tiny, tmp_path / "out", *option).exit_code == 2
