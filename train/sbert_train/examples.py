"""Sequences with labels, as a classifier learns from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sbert_model.tokenizer import Ids, with_specials
from sbert_train.masking import IGNORED


@dataclass(frozen=True, slots=True)
class Examples:
    """Sequences with labels.

    ids: (N, T) with [CLS] and [SEP]. positions: (T,) the position embeddings that they get.
    labels: (N, T) for each token, IGNORED where it does not count, or (N,) for each sequence.
    """

    ids: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, numbers: npt.NDArray[np.int64]) -> "Examples":
        """Return some of the sequences."""
        return Examples(self.ids[numbers], self.positions, self.labels[numbers])

    def columns(self, kept: npt.NDArray[np.int64]) -> "Examples":
        """Return some of the tokens of each sequence, at the positions that they have in the whole; labels (N, T)."""
        return Examples(self.ids[:, kept], self.positions[kept], self.labels[:, kept])


def make_examples(sequences: Sequence[Ids], labels: npt.NDArray[np.int64]) -> Examples:
    """Return sequences of one length with labels for each sequence (N,) or each of their bases (N, L)."""
    ids = with_specials(np.stack(list(sequences)))  # (N, T)
    if labels.ndim == 2:
        labels = np.pad(labels, ((0, 0), (1, 1)), constant_values=IGNORED)  # (N, T)
    return Examples(ids, np.arange(ids.shape[1]), labels)
