"""How often each base stands in each of many kinds of context, and what such counts say of the bases of a sequence."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sbert_model.tokenizer import NUCLEOTIDES, Ids

Bases: TypeAlias = npt.NDArray[np.int8]  # 0 to 3 for A, C, G, T; -1 for everything else
Table: TypeAlias = npt.NDArray[np.uint16]  # (contexts, 4)
Features: TypeAlias = npt.NDArray[np.float32]  # (L, FEATURES)


def _span(left: int, right: int) -> tuple[int, ...]:
    return tuple(offset for offset in range(-left, right + 1) if offset)


CONTEXTS: tuple[tuple[int, ...], ...] = tuple(
    _span(left, right)
    for left, right in (
        *((width, width) for width in (3, 4, 5, 6)),
        *((6, 0), (11, 0), (0, 11), (8, 4), (4, 8)),
        *((8, 8), (16, 0), (0, 16)),
    )
)
"""Offsets from the base. The short ones tell the grammar of a neighbourhood, the long ones recognise repeats."""

WINDOWS = (20, 80, 400)
"""Radii (nt) of the windows whose composition is looked at."""

FEATURES = 5 * len(CONTEXTS) + 5 * len(WINDOWS)
REACH = 16
HASH_BITS = 26  # contexts of more than 12 bases share 2^26 rows
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4)
PRIOR = 0.5  # added to each count
BLOCK = 1 << 24  # bases counted at once
MOST = np.iinfo(np.uint16).max


def bases_of(ids: Ids) -> Bases:
    """Bases (L,) of token ids (L,)."""
    known = (ids >= min(NUCLEOTIDES)) & (ids <= max(NUCLEOTIDES))
    return np.where(known, ids.astype(np.int8) - min(NUCLEOTIDES), -1).astype(np.int8)


def context_numbers(bases: Bases, offsets: tuple[int, ...], start: int, end: int) -> npt.NDArray[np.int64]:
    """Row of the context of each base of [start, end) in its table; -1 where one of its bases is unknown."""
    padded = np.full(end - start + 2 * REACH, -1, dtype=np.int8)
    first, last = max(0, start - REACH), min(bases.size, end + REACH)
    padded[first - start + REACH : last - start + REACH] = bases[first:last]
    number = np.zeros(end - start, dtype=np.int64)
    unknown = np.zeros(end - start, dtype=bool)
    for offset in offsets:
        neighbour = padded[REACH + offset : REACH + offset + end - start]
        unknown |= neighbour < 0
        number = (number << 2) | np.maximum(neighbour, 0)
    if 2 * len(offsets) > HASH_BITS:
        number = ((number.astype(np.uint64) * MULTIPLIER) >> np.uint64(64 - HASH_BITS)).astype(np.int64)
    number[unknown] = -1
    return number


def rows(offsets: tuple[int, ...]) -> int:
    """How many rows the table of a context has."""
    return 1 << min(HASH_BITS, 2 * len(offsets))


def count(bases: Bases, offsets: tuple[int, ...]) -> Table:
    """Count the bases A, C, G, T in each context; counts end at 65,535."""
    table = np.zeros((rows(offsets), 4), dtype=np.uint16)
    flat = table.reshape(-1)
    for start in range(0, bases.size, BLOCK):
        end = min(start + BLOCK, bases.size)
        context = context_numbers(bases, offsets, start, end)
        seen = (context >= 0) & (bases[start:end] >= 0)
        cells, times = np.unique(context[seen] * 4 + bases[start:end][seen], return_counts=True)
        flat[cells] = np.minimum(flat[cells].astype(np.int64) + times, MOST)
    return table


def features(bases: Bases, tables: Iterable[Table], start: int, end: int) -> Features:
    """What the counts say of the bases of [start, end): (end - start, FEATURES); nothing in a row tells its own base.

    For each context the logarithms of the four smoothed shares, relative to 1/4, and of how much was seen; then the
    composition of the windows around the base: A, C, G, T and CpG, where 1 is what chance gives.
    """
    columns: list[npt.NDArray[np.floating]] = []
    for offsets, table in zip(CONTEXTS, tables, strict=True):
        context = context_numbers(bases, offsets, start, end)
        counts = table[np.maximum(context, 0)].astype(np.float32)
        counts[context < 0] = 0
        total = counts.sum(axis=1, keepdims=True)
        columns += [np.log((counts + PRIOR) / (total + 4 * PRIOR)) + np.log(4), np.log1p(total) / 4]
    columns += list(_composition(bases, start, end))
    # float16 and back: the network that mixes them was fitted on float16.
    return np.concatenate(columns, axis=1).astype(np.float16).astype(np.float32)


def _composition(bases: Bases, start: int, end: int) -> Iterator[npt.NDArray[np.float64]]:
    offset = max(0, start - max(WINDOWS) - 1)
    around = bases[offset : end + max(WINDOWS) + 1]
    is_cpg = np.zeros(around.size, dtype=bool)
    is_cpg[:-1] = (around[:-1] == 1) & (around[1:] == 2)  # at its C
    kinds = np.stack([*(around == base for base in range(4)), is_cpg], axis=1).astype(np.float64)  # (A, 5)
    sums = np.concatenate([np.zeros((1, 5)), kinds.cumsum(axis=0)])
    own = kinds.copy()
    own[1:, 4] += is_cpg[:-1]  # a CpG that the base is the G of
    places = np.arange(start - offset, end - offset)
    for radius in WINDOWS:
        left, right = np.maximum(places - radius, 0), np.minimum(places + radius + 1, around.size)
        others = sums[right] - sums[left] - own[places]
        yield others / np.maximum(right - left - 1, 1)[:, None] * np.array([4, 4, 4, 4, 16])
