"""Count models to compare a language model with: composition, Markov chains, and tables of the bases on either side."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sbert_model.tokenizer import NUCLEOTIDES, Ids

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

PSEUDOCOUNT = 0.5


@dataclass(frozen=True, slots=True)
class CountModel:
    """p(base | the true bases at some offsets from it), from counts with 0.5 added to each.

    Where a base of the context is missing (N, or beyond the end of the sequence) or the context was never seen, the
    outermost offsets are left out, one by one, down to the composition.

    offsets: relative to the base, the nearest first.
    counts: a table (4 ** k, 4) for the first k offsets, k = 0 … all.
    """

    offsets: tuple[int, ...]
    counts: tuple[Floats, ...]


def fit(offsets: Sequence[int], sequences: Iterable[Ids]) -> CountModel:
    """Count the bases of token ids (L,) by their context."""
    tables = [np.zeros((4**kept, 4)) for kept in range(len(offsets) + 1)]
    for ids in sequences:
        bases = _bases(ids)
        places = np.flatnonzero(bases >= 0)
        for kept, table in enumerate(tables):
            context, known = _context(bases, places, offsets[:kept])
            cells = context[known] * 4 + bases[places[known]]
            table += np.bincount(cells, minlength=table.size).reshape(table.shape)
    return CountModel(tuple(offsets), tuple(tables))


def log_probabilities(model: CountModel, ids: Ids, places: Places) -> Floats:
    """Natural-log probabilities (P, 4) of A, C, G, T at `places` (P,) of token ids (L,), given what is around them."""
    bases = _bases(ids)
    result = np.zeros((places.size, 4))
    # From the least to the most specific context: the last one that applies stays.
    for kept, table in enumerate(model.counts):
        context, known = _context(bases, places, model.offsets[:kept])
        known &= table.sum(axis=1)[context] > 0
        counts = table[context[known]] + PSEUDOCOUNT
        result[known] = np.log(counts / counts.sum(axis=1, keepdims=True))
    return result


def _bases(ids: Ids) -> npt.NDArray[np.int64]:
    """0 to 3 for A, C, G, T; -1 for everything else."""
    return np.where(np.isin(ids, NUCLEOTIDES), ids.astype(np.int64) - min(NUCLEOTIDES), -1)


def _context(
    bases: npt.NDArray[np.int64], places: Places, offsets: Sequence[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Number of the context of each place, and whether all its bases are known; both (P,)."""
    number = np.zeros(places.size, dtype=np.int64)
    known = np.ones(places.size, dtype=bool)
    for offset in offsets:
        at = places + offset
        inside = (at >= 0) & (at < bases.size)
        base = np.where(inside, bases[np.where(inside, at, 0)], -1)
        known &= base >= 0
        number = number * 4 + np.maximum(base, 0)
    return number, known
