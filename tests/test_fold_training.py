import json
from pathlib import Path
from typing import cast

import pytest

from sbert_model.errors import InputError, OutputError
from sbert_train.finetune import Settings, Trainee
from sbert_train.finetune_folder import close_folder, open_folder
from sbert_train.fold_training import best_epoch, cross_validate, fold_folder


class _Scripted:
    """Takes the place of a network in training: notes learning rates, and what is saved and loaded."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.loaded = ""

    def train(self, epoch: int, learning_rate: float, stream: int) -> float:
        self.rates.append(learning_rate)
        return 1.0

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "epoch").write_text(str(len(self.rates)))

    def load(self, folder: Path) -> None:
        self.loaded = (folder / "epoch").read_text()

    def write_state(self, file: Path) -> None:
        file.write_text(json.dumps(self.rates))


def test_one_number_of_epochs_by_the_mean_over_folds(tmp_path: Path) -> None:
    # Means: 0.2, 0.5, 0.5, 0.4, 0.4, 0.45, …: the best epoch is the second, although fold 1 does better in the fourth.
    values = [(0.1, 0.3), (0.6, 0.4), (0.5, 0.5), (0.1, 0.7), (0.4, 0.4), (0.45, 0.45), (0.9, 0.9)]
    folds = [_Scripted(), _Scripted()]
    settings = Settings(learning_rate=8e-5, patience=4, stalled_epochs=2, max_epochs=20)
    open_folder(tmp_path, {}, resume=False)
    epochs = cross_validate(
        cast(list[Trainee], folds),
        lambda fold, trainee: values[len(folds[0].rates) - 1][fold],
        settings,
        tmp_path,
    )
    assert best_epoch(epochs) == 2
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4, 5, 6]  # four epochs without a better one
    assert folds[0].rates == pytest.approx([8e-5, 8e-5, 8e-5, 8e-5, 4e-5, 4e-5])
    assert [fold.loaded for fold in folds] == ["2", "2"]
    assert fold_folder(tmp_path, 1).is_dir()
    lines = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert [line["mean_validation"] for line in lines] == pytest.approx([0.2, 0.5, 0.5, 0.4, 0.4, 0.45])
    close_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epochs.jsonl", "folds"]


def test_training_ends_after_the_most_epochs(tmp_path: Path) -> None:
    fold = _Scripted()
    epochs = cross_validate(
        cast(list[Trainee], [fold]), lambda number, trainee: len(fold.rates), Settings(max_epochs=3), tmp_path
    )
    assert best_epoch(epochs) == len(epochs) == 3


def test_a_state_that_cannot_be_written_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: _Scripted, file: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_Scripted, "write_state", full)
    with pytest.raises(OutputError, match=r"last: cannot write the state of epoch 1 .*No space left.*--resume"):
        cross_validate(cast(list[Trainee], [_Scripted()]), lambda number, trainee: 1, Settings(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folds"]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    open_folder(tmp_path / "a" / "b", {}, resume=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="holds files already; choose another folder"):
        open_folder(tmp_path, {}, resume=False)
    with pytest.raises(OutputError, match="holds files already; go on with --resume, or choose another folder"):
        open_folder(tmp_path / "a" / "b", {}, resume=False)
    with pytest.raises(OutputError, match="cannot be the folder of a run"):
        open_folder(tmp_path / "file", {}, resume=False)


def test_only_the_same_run_can_go_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(InputError, match="run: holds no unfinished run; start without --resume"):
        open_folder(out, {}, resume=True)
    assert not out.exists()
    open_folder(out, {"seed": 1, "data": "abc"}, resume=False)
    open_folder(out, {"seed": 1, "data": "abc"}, resume=True)
    with pytest.raises(InputError, match="run: a resumed run stays what it was: seed is 2, was 1"):
        open_folder(out, {"seed": 2, "data": "abc"}, resume=True)
    (out / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run.json: cannot be read .*; start anew in another folder"):
        open_folder(out, {}, resume=True)
