"""Cross-entropy, accuracy and balanced accuracy of named bases, with bootstrap intervals: pure functions of arrays."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]

RESAMPLES = 1000
_DRAWS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval; no interval (NaN) where there is only one unit to resample."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What a model makes of some bases.

    cross_entropy: nats per base.
    accuracy: share of the bases whose most probable base is the true one.
    balanced_accuracy: mean of that share over the true A, C, G and T that occur (Chen et al. 2024, Fig. 1B).
    gain: its cross-entropy minus that of the first of the models compared; above 0 where the first is better.
    """

    cross_entropy: Estimate
    accuracy: Estimate
    balanced_accuracy: Estimate
    gain: Estimate


@dataclass(frozen=True, slots=True)
class UnitSums:
    """Sums over the bases of each of U units, such as genes, for M models.

    bases: true A, C, G, T (U, 4); hits: those named right (U, M, 4); loss: nats (U, M).
    """

    bases: Floats
    hits: Floats
    loss: Floats


def unit_sums(truth: Ints, calls: Ints, losses: npt.NDArray[np.floating], units: Ints) -> UnitSums:
    """Sum truth (B,) and calls (M, B), 0 to 3 for A, C, G, T, and losses (M, B) by unit; units (B,) are any numbers."""
    names, unit = np.unique(units, return_inverse=True)
    cell = unit * 4 + truth  # (B,)
    size = names.size

    def by_cell(cells: Ints) -> Floats:
        return np.bincount(cells, minlength=4 * size).reshape(size, 4).astype(np.float64)

    hits = [by_cell(cell[call == truth]) for call in calls]
    loss = [np.bincount(unit, weights=row, minlength=size) for row in losses]
    return UnitSums(by_cell(cell), np.stack(hits, axis=1), np.stack(loss, axis=1))


def figures(sums: UnitSums, resamples: int = RESAMPLES, seed: int = 0) -> list[Figures]:
    """Return the figures of each of M models with 95 % percentile bootstrap intervals, resampling whole units.

    All models are resampled together, so that the interval of `gain` is that of a paired difference.
    """
    values = _figures(np.ones((1, len(sums.bases))), sums)[:, 0]  # (4, M)
    low = high = np.full_like(values, np.nan)
    if len(sums.bases) > 1:
        draws = [_figures(times, sums) for times in _draws(len(sums.bases), resamples, seed)]  # (4, R, M) each
        low, high = np.quantile(np.concatenate(draws, axis=1), (0.025, 0.975), axis=1)
    table = np.stack([values, low, high], axis=-1)  # (4, M, 3)
    return [Figures(*(Estimate(*row) for row in table[:, model].tolist())) for model in range(values.shape[1])]


def _draws(units: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each unit is drawn: (R, U), some resamples at a time."""
    rng = np.random.default_rng(seed)
    for first in range(0, resamples, _DRAWS_AT_ONCE):
        rows = min(_DRAWS_AT_ONCE, resamples - first)
        yield rng.multinomial(units, np.full(units, 1 / units), size=rows).astype(np.float64)


def _figures(times: Floats, sums: UnitSums) -> Floats:
    """The four figures (4, R, M) of R resamples, in which each unit occurs `times` (R, U)."""
    bases = times @ sums.bases  # (R, 4)
    hits = np.tensordot(times, sums.hits, axes=1)  # (R, M, 4)
    total = bases.sum(axis=1)[:, None]  # (R, 1)
    loss = times @ sums.loss / total  # (R, M)
    # A base that does not occur has no hits, and is not among those averaged.
    recall = hits / np.maximum(bases, 1)[:, None]  # (R, M, 4)
    balanced = recall.sum(axis=2) / (bases > 0).sum(axis=1)[:, None]  # (R, M)
    return np.stack([loss, hits.sum(axis=2) / total, balanced, loss - loss[:, :1]])
