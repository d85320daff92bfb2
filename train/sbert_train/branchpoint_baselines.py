"""Branchpoints without a network: where they lie, and the bases around them (yUnAy), learnt on the training windows."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sbert_model.branchpoint import BRANCHPOINT
from sbert_model.tokenizer import N
from sbert_train.branchpoint_data import Window
from sbert_train.masking import IGNORED

Floats = npt.NDArray[np.float64]

POSITION, MOTIF, BOTH = "position", "motif", "motif + position"
MOTIF_OFFSETS = np.arange(-5, 4)
"""Bases of the motif, relative to the branchpoint: yUnAy is -3 to +1."""

_LETTERS = 5  # N, A, C, G, T
_PSEUDOCOUNT = 1.0


class Baselines:
    """Log odds of a branchpoint, from counts on training windows."""

    def __init__(self, windows: Sequence[Window]) -> None:
        longest = max(len(window.region.labels) for window in windows)
        places = np.full((longest, 2), _PSEUDOCOUNT)
        bases = np.full((2, len(MOTIF_OFFSETS), _LETTERS), _PSEUDOCOUNT)
        for window in windows:
            labels = window.region.labels
            counted = np.flatnonzero(labels != IGNORED)  # (K,)
            classes = labels[counted] == BRANCHPOINT  # (K,)
            np.add.at(places, (len(labels) - 1 - counted, classes.astype(int)), 1)
            around = _around(window)[counted]  # (K, offsets)
            for label in (0, 1):
                for offset, column in enumerate(around[classes == label].T):
                    bases[label, offset] += np.bincount(column, minlength=_LETTERS)
        self._position = np.log(places[:, 1] / places[:, 0])  # (longest,) by nt from the region's downstream end
        frequencies = bases / bases.sum(axis=-1, keepdims=True)
        self._motif = np.log(frequencies[1] / frequencies[0])  # (offsets, 5)

    def scores(self, window: Window) -> dict[str, Floats]:
        """Return the scores (R,) of the region's bases by baseline, higher for a branchpoint.

        A region longer than any of the training windows gets its farthest known odds beyond them.
        """
        distance = np.arange(len(window.region.labels))[::-1]
        position = self._position[np.minimum(distance, len(self._position) - 1)]
        motif = self._motif[np.arange(len(MOTIF_OFFSETS)), _around(window)].sum(axis=1)
        return {POSITION: position, MOTIF: motif, BOTH: position + motif}


def _around(window: Window) -> npt.NDArray[np.int64]:
    """Letters (R, offsets), 0 for N to 4 for T, around each base of the region."""
    padded = np.pad(window.ids, 10, constant_values=N)
    places = np.arange(window.places.start, window.places.stop) + 10  # (R,)
    return padded[places[:, None] + MOTIF_OFFSETS].astype(np.int64) - N
