"""Branchpoint fine-tuning from the command line: what it learns, writes and refuses."""

import csv
import gzip
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sbert_model.checkpoint import load_token_classifier
from sbert_model.device import select_device
from sbert_model.errors import InputError, ModelError, OutputError, SbertError
from sbert_model.predict import Predictor
from sbert_train import fold_training, run_folder
from sbert_train.branchpoint_data import read_branchpoints
from sbert_train.classification_metrics import average_precision
from sbert_train.cli_finetune import branchpoint
from sbert_train.finetune import Trainee
from tests.models import write_random_masked_lm, write_random_token_classifier
from tests.tiny_branchpoints import TinyBranchpoints, write_tiny_branchpoints

OPTIONS = (
    *("--folds", "4", "--learning-rate", "3e-3", "--max-epochs", "2", "--train-context", "60"),
    *("--dropout", "0", "--threads", "1", "--device", "cpu"),
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyBranchpoints:
    return write_tiny_branchpoints(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return write_random_masked_lm(folder, hidden=16, layers=1, heads=2, max_nt=510)


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(branchpoint, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def run(tiny: TinyBranchpoints, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run with a final model, and its table on stdout."""
    out = tmp_path_factory.mktemp("out") / "run"
    result = _run(model, tiny.table, "-o", out, *OPTIONS, "--final")
    assert result.exit_code == 0
    return out, result.stdout


def _predictions(out: Path) -> list[dict[str, str]]:
    with gzip.open(out / "predictions.tsv.gz", "rt") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def test_a_run_leaves_models_predictions_metrics_and_curves(run: tuple[Path, str], model: Path) -> None:
    out, table = run
    names = ["epochs.jsonl", "final", "folds", "metrics.json", "precision_recall.png", "predictions.tsv.gz"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert sorted(path.name for path in (out / "folds").iterdir()) == ["00", "01", "02", "03"]
    assert (out / "precision_recall.png").read_bytes()[:4] == b"\x89PNG"
    assert [line.split("  ")[0] for line in table.splitlines()] == [
        *("model", "network", "motif + position", "motif", "position")
    ]
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["model"] == "tiny"
    assert metrics["settings"]["learning_rate"] == 3e-3
    assert metrics["data"]["windows_by_fold"] == [6, 6, 6, 6]
    assert metrics["data"]["share_of_a"] == {"+": 1, "-": 1}
    assert metrics["data"]["branchpoints"] == metrics["data"]["ignored_bases"] == 24
    assert len(metrics["epochs"]) == 2
    best = max(metrics["epochs"], key=lambda epoch: epoch["mean_validation"])
    assert metrics["chosen_epochs"] == best["epoch"]
    for score in metrics["scores"]:
        value = score["average_precision"]
        assert 0 <= value["low"] <= value["value"] <= value["high"] <= 1
        assert len(score["by_fold"]) == 4
    assert metrics["scores"][1]["average_precision"]["value"] == pytest.approx(1)  # the motif is the same everywhere


def test_predictions_are_those_of_the_fold_that_did_not_know_the_window(
    run: tuple[Path, str], tiny: TinyBranchpoints
) -> None:
    """Against the saved models through the network that annotates, on the whole 510 nt."""
    out, _ = run
    rows = _predictions(out)
    windows = read_branchpoints(tiny.table).windows
    assert len(rows) == 27 * len(windows)
    fold_of_contig: dict[str, set[str]] = {}
    networks = {
        name: Predictor(load_token_classifier(out / "folds" / name).network, select_device("cpu"))
        for name in ("00", "01", "02", "03")
    }
    for number, window in enumerate(windows):
        mine = rows[27 * number : 27 * (number + 1)]
        fold_of_contig.setdefault(window.region.contig, set()).update(row["fold"] for row in mine)
        (log_probs,) = networks[f"{int(mine[0]['fold']):02d}"].log_probs([window.ids])
        expected = np.exp(log_probs[window.places, 1])
        np.testing.assert_allclose([float(row["network"]) for row in mine], expected, atol=2e-6)
        assert [int(row["label"]) for row in mine] == window.region.labels.tolist()
        # Sense direction: genomic places fall on the minus strand.
        places = range(window.region.start, window.region.end)
        assert [int(row["start0"]) for row in mine] == list(places if window.region.strand == "+" else places[::-1])
    assert all(len(folds) == 1 for folds in fold_of_contig.values())
    assert len(set.union(*fold_of_contig.values())) == 4

    counted = [row for row in rows if row["label"] != "-100"]
    truth = np.array([row["label"] == "1" for row in counted])
    scores = json.loads((out / "metrics.json").read_text())["scores"]
    for column, score in zip(("network", "motif_position", "motif", "position"), scores, strict=True):
        found = average_precision(truth, np.array([float(row[column]) for row in counted]))
        assert found == pytest.approx(score["average_precision"]["value"], abs=1e-4)


def test_the_final_model_is_a_branchpoint_model(run: tuple[Path, str]) -> None:
    loaded = load_token_classifier(run[0] / "final")
    assert loaded.config.num_labels == 2
    assert loaded.config.max_nucleotides == 510


def test_the_same_command_gives_the_same_numbers_from_bed_and_fasta(
    run: tuple[Path, str], tiny: TinyBranchpoints, model: Path, tmp_path: Path
) -> None:
    assert _run(model, tiny.bed, "--fasta", tiny.fasta, "-o", tmp_path / "run", *OPTIONS).exit_code == 0
    assert _predictions(tmp_path / "run") == _predictions(run[0])
    assert not (tmp_path / "run" / "final").exists()


@pytest.mark.parametrize(
    "broken", ["in the first epoch", "in the third epoch", "while its state is written", "at the end"]
)
def test_a_killed_run_goes_on_as_if_it_had_not_been(
    broken: str, tiny: TinyBranchpoints, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*OPTIONS, "--max-epochs", "3", "--dropout", "0.1", "--final")
    assert _run(model, tiny.table, "-o", tmp_path / "whole", *options).exit_code == 0
    out = tmp_path / "killed"
    with monkeypatch.context() as patches:
        _break(patches, broken)
        with pytest.raises(_Killed):
            _run(model, tiny.table, "-o", out, *options)
    with pytest.raises(OutputError, match="go on with --resume"):
        _run(model, tiny.table, "-o", out, *options)
    with pytest.raises(InputError, match=r"stays what it was: batch_size is 4, was 8$"):
        _run(model, tiny.table, "-o", out, *options, "--batch-size", "4", "--resume")
    assert _run(model, tiny.table, "-o", out, *options, "--resume").exit_code == 0
    assert _files(out) == _files(tmp_path / "whole")
    with pytest.raises(InputError, match="holds no unfinished run"):
        _run(model, tiny.table, "-o", out, *options, "--resume")


class _Killed(BaseException):
    pass


def _break(patches: pytest.MonkeyPatch, when: str) -> None:
    if when == "at the end":
        patches.setattr("sbert_train.branchpoint._out_of_fold", _killed)
        return
    if when == "while its state is written":
        put_in_place = run_folder.put_in_place

        def put(new: Path, target: Path) -> None:
            """Do half of it in the third epoch."""
            if target.name == "last" and (new / "epochs.jsonl").read_text().count("\n") == 3:
                target.rename(target.with_name(".last.old"))
                raise _Killed
            put_in_place(new, target)

        patches.setattr(fold_training, "put_in_place", put)
        return
    epochs = 1 if when == "in the first epoch" else 3
    train = Trainee.train

    def killed_in_fold_2(self: Trainee, epoch: int, learning_rate: float, stream: int) -> float:
        if (epoch, stream) == (epochs, 2):
            raise _Killed
        return train(self, epoch, learning_rate, stream)

    patches.setattr(Trainee, "train", killed_in_fold_2)


def _killed(*arguments: object) -> None:
    raise _Killed


def _files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_it_learns_the_motif(tiny: TinyBranchpoints, model: Path, tmp_path: Path) -> None:
    """A network that sees nothing but the bases themselves finds branchpoints among the As, which stand in motifs."""
    out = tmp_path / "run"
    options = ("--from-scratch", "--max-epochs", "25", "--patience", "25", "--learning-rate", "1e-2")
    assert _run(model, tiny.table, "-o", out, *OPTIONS, *options, "--folds", "3").exit_code == 0
    metrics = json.loads((out / "metrics.json").read_text())
    chance = 24 / (24 + metrics["data"]["other_bases"])
    assert metrics["scores"][0]["average_precision"]["value"] > 5 * chance
    assert metrics["settings"]["from_scratch"]


def test_options_of_the_protocol(tiny: TinyBranchpoints, model: Path, tmp_path: Path) -> None:
    options = ("--group-by", "locus", "--locus-distance", "999", "--train-windows", "5", "--freeze-layers", "1")
    assert _run(model, tiny.table, "-o", tmp_path / "run", *OPTIONS, *options, "--folds", "5").exit_code == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["data"]["windows_by_fold"] == [5, 5, 5, 5, 4]
    assert metrics["data"]["protocol"]["train_windows"] == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--folds", "5"), "5 folds need as many groups of examples, there are 4"),
        (("--train-context", "26"), r"--train-context 26: has to be 27 \(the longest region\) to 510"),
        (("--train-windows", "13"), "--train-windows 13: a fold has 12 to train on"),
        (("--freeze-layers", "2"), "--freeze-layers 2: the model tiny has 1 layers"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(
    options: tuple[str, ...], message: str, tiny: TinyBranchpoints, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        _run(model, tiny.table, "-o", tmp_path / "run", *OPTIONS, *options)
    assert not (tmp_path / "run").exists()


def test_other_models_are_refused(tiny: TinyBranchpoints, run: tuple[Path, str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    classifier = write_random_token_classifier(tmp_path / "classifier")
    with pytest.raises(ModelError, match="expected a masked language model"):
        _run(classifier, tiny.table, "-o", out, *OPTIONS)
    short = write_random_masked_lm(tmp_path / "short", max_nt=400)
    with pytest.raises(ModelError, match="reads 400 nt, a branchpoint model needs 510"):
        _run(short, tiny.table, "-o", out, *OPTIONS)
    with pytest.raises(OutputError, match="holds files already"):
        _run(write_random_masked_lm(tmp_path / "model"), tiny.table, "-o", run[0], *OPTIONS)
    assert not out.exists()


def test_wrong_usage(tiny: TinyBranchpoints, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    assert _run(model, tiny.table, "-o", out, "--final", "--train-windows", "3").exit_code == 2
    assert _run(model, tiny.table, "-o", out, "--folds", "2").exit_code == 2
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SbertError, match=r"pip install 'sbert-vcf\[train\]'"):
        _run(model, tiny.table, "-o", out)
