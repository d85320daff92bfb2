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
        self._truth = truth[self._order].astype(np.float64)  # (N,)
        ranked = scores[self._order]
        self._steps = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # (S,) the last of each score

    def curve(self) -> tuple[Floats, Floats]:
        """Return recall and precision (S,) after each step."""
        true, false = self._counts(np.ones((1, len(self._order))))
        return true[0] / true[0, -1], true[0] / (true[0] + false[0])

    def average_precision(self, times: npt.NDArray[np.floating] | None = None) -> Floats:
        """Return average precision, the sum of precision times gained recall, (R,) of examples taken `times` (R, N)."""
        true, false = self._counts(np.ones((1, len(self._order))) if times is None else times)
        gained = np.diff(true, axis=1, prepend=0)  # (R, S)
        total: Floats = (gained * true / np.maximum(true + false, 1)).sum(axis=1)
        return total / np.maximum(true[:, -1], 1)

    def auroc(self) -> float:
        """Return the probability that a positive scores above a negative, equal scores counting half."""
        true, false = self._counts(np.ones((1, len(self._order))))
        before = np.concatenate([[0.0], true[0, :-1]])  # (S,)
        area = (np.diff(false[0], prepend=0) * (true[0] + before) / 2).sum()
        return float(area / (true[0, -1] * false[0, -1]))

    def _counts(self, times: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Positives and negatives (R, S) up to each step."""
        ranked = times[:, self._order]  # (R, N)
        true = np.cumsum(ranked * self._truth, axis=1)[:, self._steps]
        return true, np.cumsum(ranked, axis=1)[:, self._steps] - true


def average_precision(truth: Bools, scores: npt.NDArray[np.floating]) -> float:
    """Return the average precision of N examples."""
    return float(Ranking(truth, scores).average_precision()[0])


def average_precision_interval(
    truth: Bools, scores: npt.NDArray[np.floating], units: Ints, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Return average precision with its 95 % percentile bootstrap interval, resampling whole units (N,), as windows."""
    ranking = Ranking(truth, scores)
    names, unit = np.unique(units, return_inverse=True)
    draws = [ranking.average_precision(times[:, unit]) for times in _draws(len(names), resamples, seed)]
    low, high = np.quantile(np.concatenate(draws), (0.025, 0.975)).tolist()
    return Estimate(float(ranking.average_precision()[0]), low, high)


def _draws(units: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each unit is drawn: (R, U), some resamples at a time; the same for every model."""
    rng = np.random.default_rng(seed)
    for first in range(0, resamples, _DRAWS_AT_ONCE):
        rows = min(_DRAWS_AT_ONCE, resamples - first)
        yield rng.multinomial(units, np.full(units, 1 / units), size=rows).astype(np.float64)


def calls(truth: Bools, probabilities: npt.NDArray[np.floating]) -> Calls:
    """Return precision, recall and F1 of calling probabilities above 0.5 positive."""
    called = probabilities > 0.5
    hits = int((called & truth).sum())
    precision, recall = hits / max(int(called.sum()), 1), hits / max(int(truth.sum()), 1)
    return Calls(precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0)
