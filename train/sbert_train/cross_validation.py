"""Which example goes to which fold, and what each fold trains on."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sbert_model.errors import InputError

Ints = npt.NDArray[np.int64]

FEWEST_FOLDS = 3
"""One to test on, one to choose the epochs on, one to train on."""


@dataclass(frozen=True, slots=True)
class Split:
    """Numbers of the examples that a fold trains on, chooses the epochs on, and is tested on."""

    training: Ints
    validation: Ints
    test: Ints


def splits(fold_of: Ints, folds: int) -> list[Split]:
    """Return the splits, in which each fold is the test set once and the one after it the validation set."""
    found = []
    for test in range(folds):
        validation = (test + 1) % folds
        found.append(
            Split(
                np.flatnonzero((fold_of != test) & (fold_of != validation)),
                np.flatnonzero(fold_of == validation),
                np.flatnonzero(fold_of == test),
            )
        )
    return found


def loci(contigs: Sequence[str], starts: Sequence[int], distance: int) -> list[int]:
    """Return the number of each window's locus: windows within `distance` nt of the one before are of one locus."""
    order = sorted(range(len(contigs)), key=lambda window: (contigs[window], starts[window]))
    locus = [0] * len(contigs)
    for before, window in itertools.pairwise(order):
        near = contigs[window] == contigs[before] and starts[window] - starts[before] <= distance
        locus[window] = locus[before] + (not near)
    return locus


def balanced_folds(groups: Sequence[object], folds: int) -> Ints:
    """Return the fold (N,) of each example: the largest group first, each to the fold with the fewest examples.

    Examples of one group share a fold. Raises InputError for fewer groups than folds.
    """
    members: dict[object, list[int]] = {}
    for example, group in enumerate(groups):
        members.setdefault(group, []).append(example)
    if len(members) < folds:
        raise InputError(f"{folds} folds need as many groups of examples, there are {len(members)}; take fewer --folds")
    fold_of = np.empty(len(groups), dtype=np.int64)
    sizes = [0] * folds
    for group in sorted(members.values(), key=len, reverse=True):  # stable: equal sizes stay in the data's order
        smallest = sizes.index(min(sizes))
        fold_of[group] = smallest
        sizes[smallest] += len(group)
    return fold_of


def check_folds(fold_of: Ints, folds: int, positive: npt.NDArray[np.bool_]) -> None:
    """Raise InputError for a fold in which no example (N,) is, or holds, a positive: it cannot be scored."""
    for fold in range(folds):
        inside = fold_of == fold
        if not positive[inside].any():
            raise InputError(
                f"fold {fold} of {folds} has no positive among its {int(inside.sum())} examples; take fewer --folds"
            )
