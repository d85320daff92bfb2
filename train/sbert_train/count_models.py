"""Count models to compare a language model with: composition, Markov chains, and tables of the bases on either side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sbert_model.tokenizer import NUCLEOTIDES, Ids

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Levels = tuple[tuple[int, ...], ...]
_Bases = npt.NDArray[np.int8]

PRIOR_STRENGTH = 100.0  # counts; about the best for held-out vertebrate genes, so the baselines are not made weak
BLOCK = 1 << 22  # bases counted at once: about 150 MB
STRETCH = 1 << 14  # bases taken or left together where only a share of the corpus is counted


@dataclass(frozen=True, slots=True)
class CountModel:
    """p(base | the true bases at some offsets from it), the nearest offsets first.

    A context of depth d holds the offsets of the first d levels. Each estimate is smoothed towards that of one level
    less, p_d = (n_d + s p_(d-1)) / (N_d + s) with s = PRIOR_STRENGTH and p_(-1) = 1/4 (a Dirichlet prior); a context
    that was never seen has the estimate of the one inside it.

    levels: offsets relative to the base.
    log_probs: for each depth 0 … len(levels), natural-log probabilities (contexts, 4) of A, C, G, T.
    bases: how many bases were counted.
    """

    levels: Levels
    log_probs: tuple[npt.NDArray[np.float32], ...]
    bases: int


def markov_levels(order: int) -> Levels:
    """Levels of a Markov chain: the bases before the base, one by one."""
    return tuple((-distance,) for distance in range(1, order + 1))


def either_side_levels(width: int) -> Levels:
    """Levels of a table of the bases on either side: at each depth one more on the left and one on the right."""
    return tuple((-distance, distance) for distance in range(1, width + 1))


def fit(levels: Levels, sequences: Iterable[Ids]) -> CountModel:
    """Count the bases of token ids (L,) by their context.

    Counted are the bases whose whole context is known: no N in it, and within the sequence.
    """
    offsets = [offset for level in levels for offset in level]
    counts = np.zeros(4 ** (len(offsets) + 1), dtype=np.int64)
    for bases in _blocks(sequences, _reach(levels)):
        *_, (context, known) = _contexts(bases, levels)
        centre = _shifted(bases, 0, _reach(levels))
        known &= centre >= 0
        counts += np.bincount(context[known] * 4 + centre[known], minlength=counts.size)
    return CountModel(levels, _smoothed(counts, levels), int(counts.sum()))


def log_probabilities(model: CountModel, ids: Ids, places: Places, depth: int) -> Floats:
    """Natural-log probabilities (P, 4) of A, C, G, T at `places` (P,) of token ids (L,), given what is around them.

    Used are the first `depth` levels, or as many as are known: fewer at N and at the ends of the sequence.
    """
    reach = _reach(model.levels)
    result = np.empty((places.size, 4))
    bases = np.pad(_bases(ids), reach, constant_values=-1)
    # From the least to the most specific context: the last one that applies stays.
    for table, (context, known) in zip(model.log_probs[: depth + 1], _contexts(bases, model.levels), strict=False):
        usable = known[places]
        result[usable] = table[context[places[usable]]]
    return result


def evenly(sequences: Iterable[Ids], total: int, limit: int) -> Iterator[Ids]:
    """Yield about `limit` of the `total` bases of sequences, in stretches spread evenly over them; all if they fit."""
    if total <= limit:
        yield from sequences
        return
    share = limit / total
    seen = 0
    for ids in sequences:
        for start in range(0, ids.size, STRETCH):
            seen += 1
            if int(seen * share) > int((seen - 1) * share):
                yield ids[start : start + STRETCH]


def _reach(levels: Levels) -> int:
    return max((abs(offset) for level in levels for offset in level), default=0)


def _bases(ids: Ids) -> _Bases:
    """0 to 3 for A, C, G, T; -1 for everything else."""
    return np.where(np.isin(ids, NUCLEOTIDES), ids.astype(np.int8) - min(NUCLEOTIDES), -1).astype(np.int8)


def _blocks(sequences: Iterable[Ids], reach: int) -> Iterator[_Bases]:
    """Sequences joined to blocks of about BLOCK bases, `reach` unknown bases around each of them."""
    gap = np.full(reach, -1, dtype=np.int8)
    block, size = [gap], 0
    for ids in sequences:
        block += [_bases(ids), gap]
        size += ids.size
        if size >= BLOCK:
            yield np.concatenate(block)
            block, size = [gap], 0
    if size:
        yield np.concatenate(block)


def _shifted(bases: _Bases, offset: int, reach: int) -> _Bases:
    """The base `offset` away from each base (L,), of bases (L + 2 reach,)."""
    return bases[reach + offset : bases.size - reach + offset]


def _contexts(bases: _Bases, levels: Levels) -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]]:
    """For each depth 0 … len(levels): the context's number of each base, and whether it is known; both (L,)."""
    reach = _reach(levels)
    number = np.zeros(bases.size - 2 * reach, dtype=np.int32)
    known = np.ones(number.size, dtype=bool)
    yield number, known
    for level in levels:
        for offset in level:
            neighbour = _shifted(bases, offset, reach)
            number = number * 4 + neighbour
            known = known & (neighbour >= 0)
        yield number, known


def _smoothed(counts: npt.NDArray[np.int64], levels: Levels) -> tuple[npt.NDArray[np.float32], ...]:
    """Log-probabilities for each depth from the counts (contexts * 4,) of the deepest."""
    tables = [counts.reshape(-1, 4)]
    for level in reversed(levels):
        # The offsets of the outermost level are the last digits of the context's number.
        tables.insert(0, tables[0].reshape(-1, 4 ** len(level), 4).sum(axis=1))
    estimate = np.full((1, 4), 0.25)
    result = []
    for table in tables:
        prior = np.repeat(estimate, len(table) // len(estimate), axis=0)
        estimate = (table + PRIOR_STRENGTH * prior) / (table.sum(axis=1, keepdims=True) + PRIOR_STRENGTH)
        result.append(np.log(estimate).astype(np.float32))
    return tuple(result)
