"""Splice-site models: fine-tuning for sequences in cross-validation, and independent test sets.

Source: Chen et al. 2024 (Briefings in Bioinformatics 25(3), bbae163), splice-site prediction, and the published code:
the pooled [CLS] token goes through two layers, and the epochs are chosen by AUROC.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from transformers import BertForSequenceClassification

from sbert_model.checkpoint import Checkpoint
from sbert_model.errors import InputError, ModelError
from sbert_model.network import MaskedLM
from sbert_model.tokenizer import Ids, N
from sbert_train.classification_metrics import Calls, Ranking, average_precision_interval, calls
from sbert_train.cross_validation import balanced_folds, check_folds, splits
from sbert_train.examples import make_examples
from sbert_train.finetune import Settings, Trainee, make_network
from sbert_train.finetune_folder import data_digest, open_folder
from sbert_train.fold_training import Epoch, cross_validate
from sbert_train.mlm_metrics import Estimate
from sbert_train.splice_site_data import SpliceSites

Floats: TypeAlias = npt.NDArray[np.floating]

NETWORK, MOTIF = "network", "motif"
MODELS = (NETWORK, MOTIF)
CROSS_VALIDATION = "cross-validation"
CLASSES = ("other", "site")

MOTIF_LENGTH = 40
_LETTERS = 5  # N, A, C, G, T
_PSEUDOCOUNT = 1.0


@dataclass(frozen=True, slots=True)
class Predictions:
    """Probabilities (N,) by model for a set; folds (N,) is the fold that a sequence was tested in, -1 for all."""

    name: str
    labels: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64]
    probabilities: dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of a model on a set; `calls` at a probability above 0.5, average precision with 95 % interval."""

    name: str
    model: str
    sequences: int
    positives: int
    calls: Calls
    auroc: float
    average_precision: Estimate


@dataclass(frozen=True, slots=True)
class Result:
    """What a run finds out: the cross-validation first, then each test set."""

    epochs: list[Epoch]
    predictions: list[Predictions]
    scores: list[Score]


class Motif:
    """A position weight matrix over the bases in the middle, the baseline."""

    def __init__(self, ids: Ids, labels: npt.NDArray[np.int64]) -> None:
        """Count the letters of sequences (N, L) of either label."""
        middle = _middle(ids)
        frequencies = np.stack([_frequencies(middle[labels == label]) for label in (0, 1)])  # (2, M, 5)
        self._odds = np.log(frequencies[1] / frequencies[0])  # (M, 5)
        self._prior = float(np.log(labels.mean() / (1 - labels.mean())))

    def probabilities(self, ids: Ids) -> Floats:
        """Return the probability (N,) of a true site, positions taken as independent."""
        middle = _middle(ids)
        odds = self._prior + self._odds[np.arange(middle.shape[1]), middle].sum(axis=1)
        return np.asarray(1 / (1 + np.exp(-odds)))


def _middle(ids: Ids) -> npt.NDArray[np.int64]:
    """Letters (N, M) of the middle, 0 for N to 4 for T."""
    first = max((ids.shape[1] - MOTIF_LENGTH) // 2, 0)
    return ids[:, first : first + MOTIF_LENGTH].astype(np.int64) - N


def _frequencies(letters: npt.NDArray[np.int64]) -> Floats:
    counts = np.stack([np.bincount(column, minlength=_LETTERS) for column in letters.T]) + _PSEUDOCOUNT  # (M, 5)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def train_splice_site(
    model: Checkpoint[MaskedLM],
    data: SpliceSites,
    tests: Sequence[SpliceSites],
    folds: int,
    settings: Settings,
    out: Path,
    device: torch.device,
    resume: bool = False,
) -> Result:
    """Fine-tune in cross-validation; test sets get the mean probability of the folds' models.

    Models go to out/folds. resume: go on in `out` after the last epoch of a run that was interrupted.
    Raises InputError for folds that the data do not allow and a folder that does not fit `resume`, ModelError for a
    model that does not read so long a sequence, OutputError where the folder is in use or cannot be written.
    """
    if model.config.max_nucleotides < data.ids.shape[1]:
        raise ModelError(
            f"{model.folder}: reads {model.config.max_nucleotides} nt, the sequences have {data.ids.shape[1]}; "
            "give a shorter --length"
        )
    fold_of = _folds(data, folds, settings.seed)
    examples = make_examples(list(data.ids), data.labels)
    parts = splits(fold_of, folds)
    networks = [make_network(BertForSequenceClassification, model, settings, CLASSES) for _ in parts]
    identity = {"task": "splice site", "folds": folds, **asdict(settings)}
    open_folder(out, {**identity, "model": model.sha256, "data": data_digest(examples, fold_of)}, resume)
    trainees = [
        Trainee(network, examples.rows(part.training), settings, device)
        for network, part in zip(networks, parts, strict=True)
    ]

    def auroc(fold: int, trainee: Trainee) -> float:
        rows = parts[fold].validation
        return Ranking(data.labels[rows] == 1, trainee.probabilities(examples.rows(rows))).auroc()

    epochs = cross_validate(trainees, auroc, settings, out)
    motifs = [Motif(data.ids[part.training], data.labels[part.training]) for part in parts]
    own: dict[str, Floats] = {name: np.empty(len(data.labels)) for name in MODELS}
    for part, trainee, motif in zip(parts, trainees, motifs, strict=True):
        own[NETWORK][part.test] = trainee.probabilities(examples.rows(part.test))
        own[MOTIF][part.test] = motif.probabilities(data.ids[part.test])
    predictions = [Predictions(CROSS_VALIDATION, data.labels, fold_of, own)]
    predictions += [_test(test, trainees, motifs) for test in tests]
    return Result(epochs, predictions, [_score(part, name) for part in predictions for name in MODELS])


def _folds(data: SpliceSites, folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Share each label out by chance; equal sequences go to one fold."""
    rng = np.random.default_rng(seed)
    fold_of = np.empty(len(data.labels), dtype=np.int64)
    for label in (0, 1):
        rows = rng.permutation(np.flatnonzero(data.labels == label))
        if len(rows) < folds:
            raise InputError(f"{data.name}: {folds} folds, but {len(rows)} sequences have label {label}; fewer --folds")
        fold_of[rows] = balanced_folds([data.ids[row].tobytes() for row in rows], folds)
    check_folds(fold_of, folds, data.labels == 1)
    return fold_of


def _test(test: SpliceSites, trainees: Sequence[Trainee], motifs: Sequence[Motif]) -> Predictions:
    examples = make_examples(list(test.ids), test.labels)
    found: dict[str, Floats] = {
        NETWORK: np.mean([trainee.probabilities(examples) for trainee in trainees], axis=0),
        MOTIF: np.mean([motif.probabilities(test.ids) for motif in motifs], axis=0),
    }
    return Predictions(test.name, test.labels, np.full(len(test.labels), -1), found)


def _score(predictions: Predictions, model: str) -> Score:
    truth, probabilities = predictions.labels == 1, predictions.probabilities[model]
    return Score(
        predictions.name,
        model,
        len(truth),
        int(truth.sum()),
        calls(truth, probabilities),
        Ranking(truth, probabilities).auroc(),
        average_precision_interval(truth, probabilities, np.arange(len(truth))),
    )
