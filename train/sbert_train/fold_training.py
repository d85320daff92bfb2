"""Cross-validation of fine-tunings: all folds train side by side, an epoch each, and can go on after an interruption.

One number of epochs holds for all folds: that with the best mean validation figure (Chen et al. 2024, and the code
published with it).
"""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sbert_model.errors import OutputError
from sbert_train.finetune import Settings, Trainee
from sbert_train.finetune_folder import EPOCHS, FOLDS, LAST
from sbert_train.run_folder import put_in_place

LOWEST_LEARNING_RATE = 1e-7

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Epoch:
    """What came of an epoch, from 1: the learning rate it had, the mean loss (nats) and validation figure by fold."""

    epoch: int
    learning_rate: float
    losses: tuple[float, ...]
    validation: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean validation figure."""
        return sum(self.validation) / len(self.validation)


def cross_validate(
    trainees: Sequence[Trainee],
    figure: Callable[[int, Trainee], float],
    settings: Settings,
    out: Path,
) -> list[Epoch]:
    """Train all folds until the mean validation figure has not risen for `patience` epochs; return the epochs.

    figure: of a fold's number and network, the validation figure. The models of the best epoch so far are in
    out/folds, a folder for each, and the lines of out/epochs.jsonl are the epochs; at the end the trainees have the
    weights of the best epoch. Goes on after the last epoch that is in out/last, as if there had been no break.
    Raises OutputError for what cannot be written.
    """
    epochs = _read_state(trainees, out)
    while (learning_rate := _next_learning_rate(epochs, settings)) is not None:
        number = len(epochs) + 1
        losses = [trainee.train(number, learning_rate, fold) for fold, trainee in enumerate(trainees)]
        values = [figure(fold, trainee) for fold, trainee in enumerate(trainees)]
        epochs.append(Epoch(number, learning_rate, tuple(losses), tuple(values)))
        _log(epochs[-1])
        if best_epoch(epochs) == number:
            _save_folds(trainees, out)
        _write_state(trainees, epochs, out)
    for fold, trainee in enumerate(trainees):
        trainee.load(fold_folder(out, fold))
    return epochs


def best_epoch(epochs: Sequence[Epoch]) -> int:
    """Return the number of the epoch with the best mean validation figure, the first of them."""
    return max(epochs, key=lambda epoch: epoch.mean).epoch


def fold_folder(out: Path, fold: int) -> Path:
    """Return the folder of a fold's model, which was tested on that fold."""
    return out / FOLDS / f"{fold:02d}"


def _next_learning_rate(epochs: Sequence[Epoch], settings: Settings) -> float | None:
    """Return the learning rate of the epoch after these, or None where there is none."""
    learning_rate = settings.learning_rate
    best, best_mean, stalled = 0, float("-inf"), 0
    for epoch in epochs:
        if epoch.mean > best_mean:
            best, best_mean, stalled = epoch.epoch, epoch.mean, 0
        else:
            stalled += 1
        if stalled >= settings.stalled_epochs:
            learning_rate, stalled = max(learning_rate / 2, LOWEST_LEARNING_RATE), 0
    over = len(epochs) >= settings.max_epochs or len(epochs) - best >= settings.patience
    return None if over else learning_rate


def _save_folds(trainees: Sequence[Trainee], out: Path) -> None:
    new = out / ".new"
    shutil.rmtree(new, ignore_errors=True)
    for fold, trainee in enumerate(trainees):
        trainee.save(fold_folder(new, fold))
    put_in_place(new / FOLDS, out / FOLDS)
    new.rmdir()


def _write_state(trainees: Sequence[Trainee], epochs: Sequence[Epoch], out: Path) -> None:
    new = out / ".new"
    lines = [json.dumps({**asdict(epoch), "mean_validation": epoch.mean}) + "\n" for epoch in epochs]
    try:
        new.mkdir()
        for fold, trainee in enumerate(trainees):
            trainee.write_state(new / f"{fold:02d}.pt")
        (new / EPOCHS).write_text("".join(lines))
        put_in_place(new, out / LAST)
        (out / EPOCHS).write_text("".join(lines))
    # torch.save reports a full disk as an error of its own.
    except (OSError, RuntimeError) as error:
        shutil.rmtree(new, ignore_errors=True)
        raise OutputError(
            f"{out / LAST}: cannot write the state of epoch {len(epochs)} ({' '.join(str(error).split())}); make room "
            "and go on with --resume"
        ) from error


def _read_state(trainees: Sequence[Trainee], out: Path) -> list[Epoch]:
    last = out / LAST
    if not last.exists():
        return []
    lines = [json.loads(line) for line in (last / EPOCHS).read_text().splitlines()]
    for fold, trainee in enumerate(trainees):
        trainee.read_state(last / f"{fold:02d}.pt")
    return [
        Epoch(line["epoch"], line["learning_rate"], tuple(line["losses"]), tuple(line["validation"])) for line in lines
    ]


def _log(epoch: Epoch) -> None:
    _LOG.info(
        "epoch %d: loss %.4f, mean validation %.4f, learning rate %.2g",
        epoch.epoch,
        sum(epoch.losses) / len(epoch.losses),
        epoch.mean,
        epoch.learning_rate,
    )
