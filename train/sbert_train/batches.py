"""Batches of masked crops of a corpus, each made from the seed and its number alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sbert_model.errors import InputError
from sbert_model.tokenizer import PAD, with_specials
from sbert_train.corpus import REPEAT_BIT, TOKEN_BITS, Pieces
from sbert_train.focus import Focus
from sbert_train.masking import IGNORED, Tokens, mask_tokens
from sbert_train.soft_targets import SoftTargets

POOL_BATCHES = 64  # batches drawn together, so that crops of like length meet

Batch = dict[str, Tensor]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Crops:
    """How sequences are cut out of pieces and gathered in batches.

    shortest, longest: nt; lengths are uniform in between, but never longer than their piece.
    batch_tokens: tokens of a batch at most, special tokens and padding included.
    repeat_weight: how often soft-masked repeats are drawn, relative to the rest.
    positions: lay each crop at a random place on so many positions of the model; None: at their beginning.
    """

    shortest: int
    longest: int
    batch_tokens: int
    mask_rate: float = 0.15
    repeat_weight: float = 1.0
    positions: int | None = None


class Size(NamedTuple):
    """Tokens of a batch, special tokens included, and the places they take with padding."""

    tokens: int
    places: int


class _Drawn(NamedTuple):
    """Crops: number of the piece, first nucleotide, nucleotides; each (C,)."""

    pieces: Numbers
    starts: Numbers
    lengths: Numbers


class _Pool(NamedTuple):
    drawn: _Drawn
    batches: list[Numbers]  # crops of each batch, longest first


class CropBatches(Dataset[Batch]):
    """Crops at random places of random pieces; a piece is drawn as often as it is long, times its species' weight.

    Batch b is a function of the seed and b: whoever starts again at b sees what they would have seen. It comes in
    `parts` parts of about the same size, for the processes and accumulation steps that share it; item i of the data
    set is part i % parts of batch `first` + i // parts. What a batch holds does not depend on `parts`.

    weights: per species number, how often its nucleotides are drawn. count: batches, from `first` on.
    soft: of the same pieces; batches then have them as well. focuses: where a share of the crops lies.
    Raises InputError for a corpus with less than a batch to train on, and for batches with fewer crops than parts.
    """

    def __init__(
        self,
        pieces: Pieces,
        weights: Sequence[float],
        crops: Crops,
        seed: int,
        *,
        parts: int = 1,
        first: int = 0,
        count: int = 1,
        soft: SoftTargets | None = None,
        focuses: Sequence[Focus] = (),
    ) -> None:
        self._pieces = pieces
        self._crops = crops
        self._lengths = pieces.lengths
        total = int(self._lengths.sum())
        if total < crops.batch_tokens:
            raise InputError(
                f"the corpus is too short: {total:,} nt in {len(pieces):,} pieces, less than one batch of "
                f"{crops.batch_tokens:,} tokens; add genomes, hold out less or lower batch_tokens"
            )
        if (fewest := self._rows(crops.longest)) < parts:
            raise InputError(
                f"batch_tokens {crops.batch_tokens:,}: a batch holds {fewest} crops of {crops.longest} nt, fewer than "
                f"its {parts} parts (processes times accumulation); raise it"
            )
        self._ends = np.cumsum(self._lengths * np.asarray(weights, dtype=np.float64)[pieces.species_numbers])
        self._seed = seed
        self._parts = parts
        self._first = first
        self._count = count
        self._soft = soft
        self._focuses = focuses
        self._pool: tuple[int, _Pool] | None = None

    def __len__(self) -> int:
        return self._count * self._parts

    def __getitem__(self, item: int) -> Batch:
        """Return input_ids, labels, where crops differ in length attention_mask, and position_ids where random.

        Each (B, T); input_ids, labels: int64. With soft targets also soft_labels (B, T, 4): float32, probabilities of
        A, C, G, T.
        """
        number, part = divmod(self._first * self._parts + item, self._parts)
        pool_number, pool, crops = self._find(number)
        chosen = np.array_split(crops, self._parts)[part]
        width = int(pool.drawn.lengths[chosen].max()) + 2
        inputs = np.full((chosen.size, width), PAD, dtype=np.int64)
        labels = np.full((chosen.size, width), IGNORED, dtype=np.int64)
        starts = np.zeros((chosen.size, 1), dtype=np.int64)
        for row, crop in enumerate(chosen.tolist()):
            rng = np.random.default_rng((self._seed, pool_number, crop + 1))  # the pool itself has 0
            tokens = self._tokens(pool, crop)
            masked = mask_tokens(tokens, rng, self._crops.mask_rate)
            inputs[row, : tokens.size], labels[row, : tokens.size] = masked
            if self._crops.positions is not None:
                starts[row] = rng.integers(self._crops.positions - width + 1)
        batch = {"input_ids": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}
        # Without padding there is no mask, which lets attention take its fast path.
        if int(pool.drawn.lengths[chosen].min()) + 2 < width:
            batch["attention_mask"] = (batch["input_ids"] != PAD).long()
        if self._crops.positions is not None:
            batch["position_ids"] = torch.from_numpy(starts + np.arange(width))
        if self._soft is not None:
            batch["soft_labels"] = torch.from_numpy(_soft_labels(self._soft, pool.drawn, chosen, width))
        return batch

    def size(self, number: int) -> Size:
        """Return the tokens and places of batch `number`, over all of its parts."""
        _, pool, crops = self._find(number)
        lengths = [pool.drawn.lengths[part] + 2 for part in np.array_split(crops, self._parts)]
        return Size(
            tokens=sum(int(part.sum()) for part in lengths), places=sum(part.size * int(part.max()) for part in lengths)
        )

    def species(self, number: int) -> list[str]:
        """Return the names of the species in batch `number`."""
        _, pool, crops = self._find(number)
        return sorted({self._pieces[piece].species for piece in set(pool.drawn.pieces[crops].tolist())})

    def _tokens(self, pool: _Pool, crop: int) -> Tokens:
        start = int(pool.drawn.starts[crop])
        codes = self._pieces[int(pool.drawn.pieces[crop])].codes[start : start + int(pool.drawn.lengths[crop])]
        tokens: Tokens = with_specials(codes[None] & np.uint8(TOKEN_BITS))[0]
        return tokens

    def _find(self, number: int) -> tuple[int, _Pool, Numbers]:
        pool_number, place = divmod(number, POOL_BATCHES)
        if self._pool is None or self._pool[0] != pool_number:
            self._pool = (pool_number, self._make_pool(pool_number))
        pool = self._pool[1]
        return pool_number, pool, pool.batches[place]

    def _make_pool(self, number: int) -> _Pool:
        """Draw crops enough for the pool's batches, sort them by length, and cut and shuffle the batches."""
        rng = np.random.default_rng((self._seed, number, 0))
        drawn: list[_Drawn] = []
        batches: list[Numbers] = []
        middle = (self._crops.shortest + self._crops.longest) // 2 + 2
        while len(batches) < POOL_BATCHES:
            # One in ten to spare: which batches are left out is left to chance, as which crops are drawn.
            drawn.append(self._draw(1 + (11 * POOL_BATCHES * self._crops.batch_tokens) // (10 * middle), rng))
            batches = self._cut(np.concatenate([crops.lengths for crops in drawn]))
        kept = rng.permutation(len(batches))[:POOL_BATCHES]
        crops = _Drawn(*(np.concatenate(parts) for parts in zip(*drawn, strict=True)))
        return _Pool(crops, [batches[index] for index in kept])

    def _cut(self, lengths: Numbers) -> list[Numbers]:
        """Cut the crops, longest first, into full batches."""
        order = np.argsort(-lengths, kind="stable")
        batches: list[Numbers] = []
        first = 0
        while first < order.size:
            rows = self._rows(int(lengths[order[first]]))
            if first + rows > order.size:
                # Filled up with crops of the batch before it: were it left out, so would the shortest crops always be.
                while first and (order.size - first + 1) <= self._rows(int(lengths[order[first - 1]])):
                    first -= 1
                rows = order.size - first
            batches.append(order[first : first + rows])
            first += rows
        return batches

    def _rows(self, length: int) -> int:
        return max(1, self._crops.batch_tokens // (length + 2))

    def _draw(self, count: int, rng: np.random.Generator) -> _Drawn:
        """Draw about `count` crops."""
        places = rng.random(count) * self._ends[-1]
        pieces = np.minimum(np.searchsorted(self._ends, places, side="right"), self._ends.size - 1)
        wanted = rng.integers(self._crops.shortest, self._crops.longest + 1, count)
        starts = np.full(count, -1)
        fate = rng.random(count)
        for focus in self._focuses:
            chosen = rng.integers(focus.pieces.size, size=count)
            here = (fate >= 0) & (fate < focus.share)
            fate -= focus.share
            pieces = np.where(here, focus.pieces[chosen], pieces)
            before = rng.integers(0, np.maximum(wanted - focus.length, 0) + 1)
            starts = np.where(here, np.maximum(focus.starts[chosen] - before, 0), starts)
        lengths = np.minimum(wanted, self._lengths[pieces])
        anywhere = rng.integers(0, self._lengths[pieces] - lengths + 1)
        starts = np.where(starts < 0, anywhere, np.minimum(starts, self._lengths[pieces] - lengths))
        if self._crops.repeat_weight < 1:
            kept = rng.random(count) < 1 - (1 - self._crops.repeat_weight) * self._repeats(pieces, starts, lengths)
            pieces, starts, lengths = pieces[kept], starts[kept], lengths[kept]
        if not pieces.size:
            raise InputError("repeat_weight 0 leaves nothing: the whole corpus is soft-masked; raise it")
        return _Drawn(pieces, starts, lengths)

    def _repeats(self, pieces: Numbers, starts: Numbers, lengths: Numbers) -> npt.NDArray[np.float64]:
        """Return the soft-masked share of each crop."""
        return np.array(
            [
                (self._pieces[piece].codes[start : start + length] >= REPEAT_BIT).mean()
                for piece, start, length in zip(pieces.tolist(), starts.tolist(), lengths.tolist(), strict=True)
            ]
        )


def _soft_labels(soft: SoftTargets, drawn: _Drawn, crops: Numbers, width: int) -> npt.NDArray[np.float32]:
    """Return the soft targets of crops (B, width, 4), 0 at special tokens and padding."""
    labels = np.zeros((crops.size, width, 4), dtype=np.float32)
    for row, crop in enumerate(crops.tolist()):
        length = int(drawn.lengths[crop])
        labels[row, 1 : length + 1] = soft.rows(int(drawn.pieces[crop]), int(drawn.starts[crop]), length)
    return labels
