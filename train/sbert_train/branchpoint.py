"""Branchpoint models: fine-tuning in cross-validation as published, beside baselines on the same folds.

Source: Chen et al. 2024 (Briefings in Bioinformatics 25(3), bbae163), branchpoint prediction, and the published code.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from transformers import BertForTokenClassification

from sbert_model.branchpoint import BRANCHPOINT, WINDOW
from sbert_model.checkpoint import Checkpoint
from sbert_model.errors import InputError, ModelError
from sbert_model.network import MaskedLM
from sbert_train.branchpoint_baselines import BOTH, MOTIF, POSITION, Baselines
from sbert_train.branchpoint_data import BranchpointData, Window, share_of_a
from sbert_train.classification_metrics import average_precision, average_precision_interval
from sbert_train.cross_validation import Split, balanced_folds, check_folds, loci, splits
from sbert_train.examples import Examples, make_examples
from sbert_train.finetune import Settings, Trainee, make_network
from sbert_train.finetune_folder import data_digest, open_folder
from sbert_train.fold_training import Epoch, best_epoch, cross_validate
from sbert_train.masking import IGNORED
from sbert_train.mlm_metrics import Estimate

Floats: TypeAlias = npt.NDArray[np.float64]

NETWORK = "network"
MODELS = (NETWORK, BOTH, MOTIF, POSITION)
FINAL = "final"
CLASSES = ("other", "branchpoint")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How the windows are shared out.

    group_by: "chromosome" or "locus": windows that share a fold. locus_distance: nt between neighbours of a locus.
    train_windows: train on no more than so many windows of each fold's training set, for a learning curve.
    train_context: nt around the region that are read in training and validation, at their places in the whole; 510 are
    read when the test sets are predicted.
    final: train a model on all windows as well.
    """

    folds: int = 10
    group_by: str = "chromosome"
    locus_distance: int = 100_000
    train_windows: int | None = None
    train_context: int = WINDOW
    final: bool = False


@dataclass(frozen=True, slots=True)
class Bases:
    """Every base of every region, B of them.

    windows: number of its window. places: index in the region, sense direction. scores: by model, out of fold.
    """

    windows: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64]
    scores: dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Score:
    """Average precision of a model over all bases together, with 95 % interval, and in each fold."""

    model: str
    average_precision: Estimate
    by_fold: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What a run finds out."""

    data: dict[str, object]
    epochs: list[Epoch]
    bases: Bases
    scores: list[Score]


def train_branchpoint(
    model: Checkpoint[MaskedLM],
    data: BranchpointData,
    protocol: Protocol,
    settings: Settings,
    out: Path,
    device: torch.device,
    resume: bool = False,
) -> Result:
    """Fine-tune in cross-validation and score what each window gets from the fold that did not know it.

    Models go to out/folds and out/final. resume: go on in `out` after the last epoch of a run that was interrupted.
    Raises InputError for folds that the data do not allow and a folder that does not fit `resume`, ModelError for a
    model that reads less than 510 nt, OutputError where the folder is in use or cannot be written.
    """
    windows = data.windows
    if model.config.max_nucleotides < WINDOW:
        raise ModelError(f"{model.folder}: reads {model.config.max_nucleotides} nt, a branchpoint model needs {WINDOW}")
    fold_of = _folds(windows, protocol)
    parts = [_fewer(part, protocol, settings.seed) for part in splits(fold_of, protocol.folds)]
    examples = _examples(windows)
    near = examples.columns(_context(windows, protocol.train_context))
    make_network(BertForTokenClassification, model, settings, CLASSES)  # what does not fit shows before anything else
    identity = {"task": "branchpoint", **asdict(protocol), **asdict(settings)}
    open_folder(out, {**identity, "model": model.sha256, "data": data_digest(examples, fold_of)}, resume)

    def trainee(rows: npt.NDArray[np.int64]) -> Trainee:
        network = make_network(BertForTokenClassification, model, settings, CLASSES)
        return Trainee(network, near.rows(rows), settings, device)

    trainees = [trainee(part.training) for part in parts]
    epochs = cross_validate(
        trainees, lambda fold, fitted: _figure(fitted, near.rows(parts[fold].validation)), settings, out
    )
    bases = _out_of_fold(windows, examples, fold_of, parts, trainees)
    if protocol.final:
        _train_final(trainee(np.arange(len(windows))), epochs, out / FINAL, protocol.folds)
    return Result(_describe(data, fold_of, protocol), epochs, bases, _scores(bases, protocol.folds))


def _folds(windows: Sequence[Window], protocol: Protocol) -> npt.NDArray[np.int64]:
    contigs = [window.region.contig for window in windows]
    groups: Sequence[object] = contigs
    if protocol.group_by == "locus":
        groups = loci(contigs, [window.region.start for window in windows], protocol.locus_distance)
    fold_of = balanced_folds(groups, protocol.folds)
    positive = np.array([bool((window.region.labels == BRANCHPOINT).any()) for window in windows])
    check_folds(fold_of, protocol.folds, positive)
    return fold_of


def _fewer(part: Split, protocol: Protocol, seed: int) -> Split:
    """Return the split with no more than the wanted training windows, of which smaller numbers are a part of larger."""
    if protocol.train_windows is None:
        return part
    if protocol.train_windows > len(part.training):
        raise InputError(f"--train-windows {protocol.train_windows}: a fold has {len(part.training)} to train on")
    chosen = np.random.default_rng(seed).permutation(part.training)[: protocol.train_windows]
    return Split(np.sort(chosen), part.validation, part.test)


def _examples(windows: Sequence[Window]) -> Examples:
    labels = np.full((len(windows), WINDOW), IGNORED, dtype=np.int64)
    for row, window in zip(labels, windows, strict=True):
        row[window.places] = window.region.labels
    return make_examples([window.ids for window in windows], labels)


def _context(windows: Sequence[Window], nucleotides: int) -> npt.NDArray[np.int64]:
    """Return the columns of [CLS], the `nucleotides` in the middle, and [SEP]; raises InputError for too few."""
    longest = max(len(window.region.labels) for window in windows)
    if not longest <= nucleotides <= WINDOW:
        raise InputError(f"--train-context {nucleotides}: has to be {longest} (the longest region) to {WINDOW}")
    first = 1 + (WINDOW - nucleotides) // 2
    return np.array([0, *range(first, first + nucleotides), WINDOW + 1])


def _figure(trainee: Trainee, validation: Examples) -> float:
    counted = validation.labels != IGNORED  # (N, T)
    probabilities = trainee.probabilities(validation)  # (N, T)
    return average_precision(validation.labels[counted] == BRANCHPOINT, probabilities[counted])


def _out_of_fold(
    windows: Sequence[Window],
    examples: Examples,
    fold_of: npt.NDArray[np.int64],
    parts: Sequence[Split],
    trainees: Sequence[Trainee],
) -> Bases:
    probabilities = np.empty(examples.ids.shape)
    scores: list[dict[str, Floats]] = [{}] * len(windows)
    for part, trainee in zip(parts, trainees, strict=True):
        probabilities[part.test] = trainee.probabilities(examples.rows(part.test))
        baselines = Baselines([windows[number] for number in part.training])
        for number in part.test:
            scores[number] = baselines.scores(windows[number])
    for number, window in enumerate(windows):
        scores[number][NETWORK] = probabilities[number, 1:-1][window.places]
    lengths = [len(window.region.labels) for window in windows]
    return Bases(
        np.repeat(np.arange(len(windows)), lengths),
        np.concatenate([np.arange(length) for length in lengths]),
        np.concatenate([window.region.labels for window in windows]),
        np.repeat(fold_of, lengths),
        {name: np.concatenate([score[name] for score in scores]) for name in MODELS},
    )


def _train_final(trainee: Trainee, epochs: Sequence[Epoch], folder: Path, stream: int) -> None:
    """Train for the chosen number of epochs, at the learning rates of the cross-validation."""
    for epoch in epochs[: best_epoch(epochs)]:
        loss = trainee.train(epoch.epoch, epoch.learning_rate, stream)
        _LOG.info("final model, epoch %d of %d: loss %.4f", epoch.epoch, best_epoch(epochs), loss)
    trainee.save(folder)


def _scores(bases: Bases, folds: int) -> list[Score]:
    counted = bases.labels != IGNORED
    truth = bases.labels == BRANCHPOINT
    found = []
    for model in MODELS:
        scores = bases.scores[model]
        inside = [counted & (bases.folds == fold) for fold in range(folds)]
        found.append(
            Score(
                model,
                average_precision_interval(truth[counted], scores[counted], bases.windows[counted]),
                tuple(average_precision(truth[rows], scores[rows]) for rows in inside),
            )
        )
    return found


def _describe(data: BranchpointData, fold_of: npt.NDArray[np.int64], protocol: Protocol) -> dict[str, object]:
    labels = np.concatenate([window.region.labels for window in data.windows])
    return {
        "windows": len(data.windows),
        "left_out": data.left_out,
        "branchpoints": int((labels == BRANCHPOINT).sum()),
        "other_bases": int((labels == 0).sum()),
        "ignored_bases": int((labels == IGNORED).sum()),
        "windows_by_fold": np.bincount(fold_of, minlength=protocol.folds).tolist(),
        "share_of_a": {strand: share_of_a(data.windows, strand) for strand in "+-"},
        "protocol": asdict(protocol),
    }
