"""Splice-site fine-tuning from the command line: what it learns, writes and refuses."""

import csv
import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from transformers import BertForSequenceClassification

from sbert_model.errors import InputError, ModelError
from sbert_model.tokenizer import with_specials
from sbert_train.classification_metrics import calls
from sbert_train.cli_finetune import splice_site
from sbert_train.splice_site import Motif
from sbert_train.splice_site_data import read_splice_sites
from tests.models import write_random_masked_lm, write_random_token_classifier

OPTIONS = (
    *("--site", "donor", "--length", "30", "--folds", "3", "--learning-rate", "1e-2", "--batch-size", "8"),
    *("--dropout", "0", "--threads", "1", "--device", "cpu"),
)
HEADER = "sequence\tlabel\tsite\tsplit\n"


def _rows(count: int, split: str, seed: int) -> str:
    """True donors are CAGGTAAG in the middle, false ones have GT alone."""
    numbers = random.Random(seed)
    lines = []
    for number in range(count):
        bases = numbers.choices("ACGT", k=30)
        bases[11:19] = "CAGGTAAG" if number % 2 else [*numbers.choices("ACGT", k=3), *"GT", *numbers.choices("CT", k=3)]
        lines.append(f"{''.join(bases)}\t{number % 2}\tdonor\t{split}\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "sites.tsv"
    path.write_text(HEADER + _rows(240, "train", 0) + _rows(20, "test", 1))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return write_random_masked_lm(folder, hidden=16, layers=1, heads=2, max_nt=64, scale=1)


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(splice_site, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def run(table: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("out") / "run"
    result = _run(model, table, "-o", out, *OPTIONS, "--test", table, "--max-epochs", "10")
    assert result.exit_code == 0
    return out, result.stdout


def _predictions(out: Path) -> list[dict[str, str]]:
    with gzip.open(out / "predictions.tsv.gz", "rt") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def test_a_run_learns_and_says_how_well(run: tuple[Path, str]) -> None:
    out, table = run
    assert sorted(path.name for path in out.iterdir()) == [
        "epochs.jsonl",
        "folds",
        "metrics.json",
        "predictions.tsv.gz",
    ]
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [
        *(["cross-validation", "network"], ["cross-validation", "motif"]),
        *(["sites.tsv", "network"], ["sites.tsv", "motif"]),
    ]
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["site"] == "donor"
    for score in metrics["scores"]:
        assert score["auroc"] > 0.85, score
        assert score["calls"]["f1"] > 0.7, score
    assert [score["sequences"] for score in metrics["scores"]] == [240, 240, 20, 20]


def test_predictions_are_those_of_the_saved_models(run: tuple[Path, str], table: Path) -> None:
    out, _ = run
    rows = _predictions(out)
    assert len(rows) == 260
    networks = [BertForSequenceClassification.from_pretrained(out / "folds" / f"{fold:02d}") for fold in range(3)]

    def probabilities(split: str) -> list[list[float]]:
        ids = torch.from_numpy(with_specials(read_splice_sites(str(table), "donor", split, 30).ids))
        with torch.inference_mode():
            return [network(ids).logits.softmax(-1)[:, 1].tolist() for network in networks]

    own = probabilities("train")
    for row in rows[:240]:
        assert float(row["network"]) == pytest.approx(own[int(row["fold"])][int(row["sequence"])], abs=2e-6)
    test = np.mean(probabilities("test"), axis=0)
    np.testing.assert_allclose([float(row["network"]) for row in rows[240:]], test, atol=2e-6)
    assert {row["fold"] for row in rows[240:]} == {"."}
    # Each fold has as many true as false sites.
    for fold in "012":
        assert [row["label"] for row in rows[:240] if row["fold"] == fold].count("1") == 40

    metrics = json.loads((out / "metrics.json").read_text())
    found = calls(
        np.array([row["label"] == "1" for row in rows[240:]]), np.array([float(row["network"]) for row in rows[240:]])
    )
    assert metrics["scores"][2]["calls"]["f1"] == pytest.approx(found.f1)


def test_a_killed_run_goes_on_as_if_it_had_not_been(
    table: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*OPTIONS, "--max-epochs", "2", "--dropout", "0.1", "--test", table)
    assert _run(model, table, "-o", tmp_path / "whole", *options).exit_code == 0
    with monkeypatch.context() as patches:
        patches.setattr("sbert_train.splice_site._test", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            _run(model, table, "-o", tmp_path / "killed", *options)
    with pytest.raises(InputError, match="stays what it was: folds is 4, was 3"):
        _run(model, table, "-o", tmp_path / "killed", *options, "--folds", "4", "--resume")
    assert _run(model, table, "-o", tmp_path / "killed", *options, "--resume").exit_code == 0
    for name in ("metrics.json", "epochs.jsonl"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert _predictions(tmp_path / "killed") == _predictions(tmp_path / "whole")


def test_motif_by_hand() -> None:
    # Two sequences of one base: A is true, C is false. Pseudocounts of 1 on five letters.
    motif = Motif(np.array([[6], [7]], dtype=np.uint8), np.array([1, 0]))
    found = motif.probabilities(np.array([[6], [7], [8]], dtype=np.uint8))
    np.testing.assert_allclose(found, [2 / 3, 1 / 3, 1 / 2])


def test_equal_sequences_share_a_fold(model: Path, tmp_path: Path) -> None:
    table = tmp_path / "twice.tsv"
    rows = _rows(12, "train", 2)
    table.write_text(HEADER + rows + rows)
    assert _run(model, table, "-o", tmp_path / "run", *OPTIONS, "--max-epochs", "1").exit_code == 0
    folds = [row["fold"] for row in _predictions(tmp_path / "run")]
    assert folds[:12] == folds[12:]


def test_what_does_not_fit_is_named(table: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    few = tmp_path / "few.tsv"
    few.write_text(HEADER + _rows(4, "train", 0))
    with pytest.raises(InputError, match=r"few\.tsv: 3 folds, but 2 sequences have label 0"):
        _run(model, few, "-o", out, *OPTIONS)
    with pytest.raises(ModelError, match="reads 64 nt, the sequences have 400; give a shorter --length"):
        _run(model, table, "-o", out, *OPTIONS, "--length", "400")
    with pytest.raises(ModelError, match="expected a masked language model"):
        _run(write_random_token_classifier(tmp_path / "classifier"), table, "-o", out, *OPTIONS)
    with pytest.raises(InputError, match="--sequences 241, but there are 240"):
        _run(model, table, "-o", out, *OPTIONS, "--sequences", "241")
    assert not out.exists()
    assert _run(model, table, "-o", out).exit_code == 2  # no --site
