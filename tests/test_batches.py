from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from sbert_model.errors import InputError
from sbert_model.tokenizer import CLS, NUCLEOTIDES, PAD, SEP
from sbert_train.batches import POOL_BATCHES, Batch, CropBatches, Crops
from sbert_train.corpus import Piece
from sbert_train.masking import IGNORED
from tests.memory_corpus import MemoryPieces, piece

SPECIES = ("fly", "human")


def _random_pieces(lengths: Sequence[int] = (4000, 3000), seed: int = 0) -> list[Piece]:
    rng = np.random.default_rng(seed)
    return [piece("".join(rng.choice(list("ACGT"), length))) for length in lengths]


def _batches(
    pieces: Sequence[Piece], crops: Crops, seed: int = 0, weights: Sequence[float] = (1, 1), **options: Any
) -> CropBatches:
    return CropBatches(MemoryPieces(pieces, SPECIES), weights, crops, seed, **options)


def _original(batch: Batch) -> torch.Tensor:
    return torch.where(batch["labels"] == IGNORED, batch["input_ids"], batch["labels"])


def _rows(batches: Sequence[Batch]) -> list[bytes]:
    """Every crop: what it shows and what is asked, without padding, in one order."""
    return sorted(
        torch.stack([shown[shown != PAD], labels[shown != PAD]]).numpy().tobytes()
        for batch in batches
        for shown, labels in zip(batch["input_ids"], batch["labels"], strict=True)
    )


def test_crops_of_one_length_fill_the_batch_without_padding() -> None:
    batch = _batches(_random_pieces(), Crops(50, 50, 520))[0]
    assert set(batch) == {"input_ids", "labels"}
    assert batch["input_ids"].shape == (10, 52)
    assert (batch["input_ids"][:, 0] == CLS).all()
    assert (batch["input_ids"][:, -1] == SEP).all()


def test_crops_are_true_stretches_of_the_pieces() -> None:
    pieces = _random_pieces()
    text = [piece.ids.tobytes() for piece in pieces]
    for row in _original(_batches(pieces, Crops(50, 50, 520), count=4)[3]).numpy().astype(np.uint8):
        assert any(row[1:-1].tobytes() in sequence for sequence in text)


def test_variable_lengths_are_uniform_and_padded_little() -> None:
    batches = _batches(_random_pieces((5000,) * 4), Crops(64, 1024, 8192), count=2 * POOL_BATCHES)
    lengths = torch.cat([(batch["input_ids"] != PAD).sum(dim=1) - 2 for batch in map(batches.__getitem__, range(128))])
    assert (int(lengths.min()), int(lengths.max())) == (64, 1024)
    assert float(lengths.float().mean()) == pytest.approx((64 + 1024) / 2, rel=0.05)
    sizes = [batches.size(number) for number in range(2 * POOL_BATCHES)]
    assert all(size.places <= 8192 for size in sizes)
    tokens, places = (sum(values) for values in zip(*sizes, strict=True))
    assert 1 - tokens / places < 0.03
    assert places > 0.93 * 8192 * len(sizes)


def test_size_counts_what_the_batch_holds() -> None:
    batches = _batches(_random_pieces(), Crops(64, 256, 2000), parts=3, count=5)
    for number in range(5):
        parts = [batches[3 * number + part]["input_ids"] for part in range(3)]
        size = batches.size(number)
        assert size.places == sum(part.numel() for part in parts)
        assert size.tokens == sum(int((part != PAD).sum()) for part in parts)


def test_short_pieces_are_padded_and_the_padding_is_masked_out() -> None:
    crops = Crops(100, 100, 1000)
    batches = _batches([piece("A" * 70), piece("C" * 2000)], crops, count=POOL_BATCHES)
    found = [batch for batch in (batches[number] for number in range(64)) if "attention_mask" in batch]
    assert found
    for batch in found:
        assert set(batch["attention_mask"].sum(dim=1).tolist()) == {72, 102}
        assert (batch["input_ids"][batch["attention_mask"] == 0] == PAD).all()
        assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()


@pytest.mark.parametrize(("weights", "share"), [((1, 1), 0.75), ((1, 3), 0.9), ((2, 1), 0.6)])
def test_pieces_are_drawn_by_length_and_weight(weights: tuple[float, float], share: float) -> None:
    pieces = [piece("A" * 10_000, "fly"), piece("C" * 30_000, "human")]
    batch = _batches(pieces, Crops(10, 10, 12 * 2000), weights=weights)[0]
    assert float((_original(batch)[:, 1] == NUCLEOTIDES[1]).float().mean()) == pytest.approx(share, abs=0.03)


def test_crops_start_anywhere_in_their_piece() -> None:
    whole = piece("".join(np.random.default_rng(0).choice(list("ACGT"), 1000)))
    text = whole.ids.tobytes()
    rows = _original(_batches([whole], Crops(20, 20, 1000))[0]).numpy().astype(np.uint8)
    starts = [text.index(row[1:-1].tobytes()) for row in rows]
    assert min(starts) < 100
    assert max(starts) > 880


@pytest.mark.parametrize(("weight", "share"), [(1.0, 0.5), (0.5, 1 / 3), (0.0, 0.0)])
def test_repeats_are_drawn_less(weight: float, share: float) -> None:
    pieces = [piece("A" * 20_000), piece("c" * 20_000)]
    batch = _batches(pieces, Crops(10, 10, 12 * 800, repeat_weight=weight))[0]
    assert float((_original(batch)[:, 1] == NUCLEOTIDES[1]).float().mean()) == pytest.approx(share, abs=0.03)


def test_a_corpus_of_nothing_but_repeats_cannot_do_without_them() -> None:
    with pytest.raises(InputError, match="soft-masked"):
        _batches([piece("a" * 2000)], Crops(10, 10, 1000, repeat_weight=0))[0]


def test_random_positions_reach_every_position() -> None:
    batches = _batches(_random_pieces(), Crops(30, 30, 32 * 200, positions=64))
    positions = batches[0]["position_ids"]
    assert set(positions.flatten().tolist()) == set(range(64))
    assert (positions.diff(dim=1) == 1).all()


def test_batches_depend_on_seed_and_number_alone() -> None:
    pieces, crops = _random_pieces(), Crops(50, 80, 520)
    whole = _batches(pieces, crops, seed=5, count=200)
    rest = _batches(pieces, crops, seed=5, first=POOL_BATCHES + 3)
    for item in (0, 70):  # of another pool, too, and back again
        left, right = whole[POOL_BATCHES + 3 + item], rest[item]
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left)
    other = _batches(pieces, crops, seed=6)
    assert _rows([other[0]]) != _rows([whole[0]])
    assert _rows([whole[1]]) != _rows([whole[0]])


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_a_batch_is_the_same_in_any_number_of_parts(parts: int) -> None:
    pieces, crops = _random_pieces(), Crops(50, 120, 1000)
    whole = _batches(pieces, crops, count=3)
    split = _batches(pieces, crops, parts=parts, count=3)
    assert len(split) == 3 * parts
    for number in range(3):
        assert _rows([split[number * parts + part] for part in range(parts)]) == _rows([whole[number]])


def test_species_of_a_batch() -> None:
    pieces = [piece("ACGT" * 100, "fly"), piece("ACGT" * 100, "human")]
    assert _batches(pieces, Crops(10, 10, 520)).species(0) == ["fly", "human"]
    assert _batches(pieces, Crops(10, 10, 520), weights=(0, 1)).species(0) == ["human"]


def test_too_little_to_train_on_and_too_many_parts() -> None:
    with pytest.raises(InputError, match="too short: 0 nt in 0 pieces"):
        _batches([], Crops(50, 50, 520))
    with pytest.raises(InputError, match=r"too short: 400 nt in 1 pieces, less than one batch of 520 tokens"):
        _batches(_random_pieces((400,)), Crops(50, 50, 520))
    with pytest.raises(InputError, match="holds 2 crops of 200 nt, fewer than its 4 parts"):
        _batches(_random_pieces(), Crops(50, 200, 520), parts=4)
