"""Batches of masked crops, drawn without end from the pieces of a corpus."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from sbert_model.errors import InputError
from sbert_model.tokenizer import PAD, Ids, with_specials
from sbert_train.corpus import Piece
from sbert_train.masking import mask_tokens

Batch = dict[str, Tensor]


class CropBatches(IterableDataset[Batch]):
    """Batches of crops at random places of random pieces, a piece drawn as often as it is long.

    Batch number i is made from the seed and i alone, so a run that starts again at step i sees what it would have seen.

    sequence_length: nucleotides of the crops of a batch, by its number.
    batch_tokens: tokens of a batch, special tokens included; the number of crops follows from it.
    positions: of the model; each crop is laid at a random place on them, so that short crops train all of them.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        sequence_length: Callable[[int], int],
        batch_tokens: int,
        positions: int,
        seed: int = 0,
        first: int = 0,
    ) -> None:
        if not pieces:
            raise InputError("no pre-mRNA of 64 nt or more to train on; check the annotation and what is held out")
        self._pieces = [piece.ids for piece in pieces]
        self._ends = np.cumsum([ids.size for ids in self._pieces])
        self._sequence_length = sequence_length
        self._batch_tokens = batch_tokens
        self._positions = positions
        self._seed = seed
        self._first = first

    def __iter__(self) -> Iterator[Batch]:
        number = self._first
        while True:
            yield self.batch(number)
            number += 1

    def batch(self, number: int) -> Batch:
        """Return input_ids, labels, position_ids and, where crops differ in length, attention_mask; each (B, T)."""
        rng = np.random.default_rng((self._seed, number))
        length = self._sequence_length(number)
        crops = [self._crop(length, rng) for _ in range(max(1, self._batch_tokens // (length + 2)))]
        width = max(crop.size for crop in crops) + 2
        tokens = np.full((len(crops), width), PAD, dtype=np.int64)
        for row, crop in zip(tokens, crops, strict=True):
            row[: crop.size + 2] = with_specials(crop[None])[0]
        masked = mask_tokens(tokens, rng)
        starts = rng.integers(0, self._positions - width + 1, (len(crops), 1))
        batch = {
            "input_ids": torch.from_numpy(masked.input_ids),
            "labels": torch.from_numpy(masked.labels),
            "position_ids": torch.from_numpy(starts + np.arange(width)),
        }
        # Without padding there is no mask, which lets attention take its fast path.
        if min(crop.size for crop in crops) + 2 < width:
            batch["attention_mask"] = torch.from_numpy((tokens != PAD).astype(np.int64))
        return batch

    def _crop(self, length: int, rng: np.random.Generator) -> Ids:
        piece = self._pieces[int(np.searchsorted(self._ends, rng.integers(self._ends[-1]), side="right"))]
        start = int(rng.integers(max(1, piece.size - length + 1)))
        return piece[start : start + length]
