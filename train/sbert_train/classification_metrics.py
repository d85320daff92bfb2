"""Average precision, AUROC, F1 and their intervals: pure functions of labels and scores."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sbert_train.mlm_metrics import Estimate

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.integer]

RESAMPLES = 1000
_DRAWS_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Calls:
    """What calling everything with a probability above 0.5 positive comes to; 0 where nothing is called."""

    precision: float
    recall: float
    f1: float


class Ranking:
    """N examples by falling score; equal scores are one step, whatever their order.

    truth: (N,) bool; scores: (N,).
    """

    def __init__(self, truth: Bools, scores: npt.NDArray[np.floating]) -> None:
        self._order = np.argsort(-scores, kind="stable")  # (N,)
        self._truth = truth[self._order]  # (N,)
        self._ends = np.append(np.flatnonzero(np.diff(scores[self._order])), len(scores) - 1)  # (S,) of the steps
        self._positives = np.cumsum(self._truth)[self._ends].astype(np.float64)  # (S,) up to each step
        self._negatives = self._ends + 1 - self._positives  # (S,)

    def curve(self) -> tuple[Floats, Floats]:
        """Return recall and precision (S,) after each step."""
        return self._positives / self._positives[-1], self._positives / (self._ends + 1)

    def auroc(self) -> float:
        """Return the probability that a positive scores above a negative, equal scores counting half."""
        before = np.concatenate([[0.0], self._positives[:-1]])  # (S,)
        area = (np.diff(self._negatives, prepend=0) * (self._positives + before) / 2).sum()
        return float(area / (self._positives[-1] * self._negatives[-1]))

    def average_precision(self, units: Ints, times: Ints) -> Floats:
        """Return average precision (R,), the sum of precision times gained recall, of R samples.

        units: (N,) number of the unit of each example. times: (R, U) how often a sample holds each unit.
        """
        # Recall is gained only in steps with a positive: whatever lies between two of them is counted in one go.
        gains = self._ends[np.diff(self._positives, prepend=0) > 0]  # (G,)
        starts = np.concatenate([[0], gains[:-1] + 1])
        taken = times[:, units[self._order[: gains[-1] + 1]]]  # (R, <= N)
        found = np.add.reduceat(taken * self._truth[: gains[-1] + 1], starts, axis=1)  # (R, G) positives
        positives = np.cumsum(found, axis=1)
        examples = np.cumsum(np.add.reduceat(taken, starts, axis=1), axis=1)
        precision = positives / np.maximum(examples, 1)
        total: Floats = (found * precision).sum(axis=1) / np.maximum(positives[:, -1], 1)
        return total


def average_precision(truth: Bools, scores: npt.NDArray[np.floating]) -> float:
    """Return the average precision of N examples."""
    return float(Ranking(truth, scores).average_precision(np.zeros(len(truth), dtype=int), np.ones((1, 1), int))[0])


def average_precision_interval(
    truth: Bools, scores: npt.NDArray[np.floating], units: Ints, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Return average precision with its 95 % percentile bootstrap interval, resampling whole units (N,), as windows."""
    ranking = Ranking(truth, scores)
    names, unit = np.unique(units, return_inverse=True)
    draws = [ranking.average_precision(unit, times) for times in _draws(len(names), resamples, seed)]
    low, high = np.quantile(np.concatenate(draws), (0.025, 0.975)).tolist()
    return Estimate(average_precision(truth, scores), low, high)


def _draws(units: int, resamples: int, seed: int) -> Iterator[Ints]:
    """How often each unit is drawn: (R, U), some resamples at a time; the same for every model."""
    rng = np.random.default_rng(seed)
    for first in range(0, resamples, _DRAWS_AT_ONCE):
        rows = min(_DRAWS_AT_ONCE, resamples - first)
        yield rng.multinomial(units, np.full(units, 1 / units), size=rows).astype(np.int32)


def calls(truth: Bools, probabilities: npt.NDArray[np.floating]) -> Calls:
    """Return precision, recall and F1 of calling probabilities above 0.5 positive."""
    called = probabilities > 0.5
    hits = int((called & truth).sum())
    precision, recall = hits / max(int(called.sum()), 1), hits / max(int(truth.sum()), 1)
    return Calls(precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0)
