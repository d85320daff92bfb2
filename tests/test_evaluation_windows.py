import numpy as np
import pytest

from sbert_model.tokenizer import MASK, N, encode
from sbert_train.corpus import REGIONS, Piece
from sbert_train.evaluation_windows import Window, choose_places, read_windows
from tests.memory_corpus import MemoryPieces, piece

SPECIES = ("human", "mouse")


def _random(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def _windows(
    pieces: list[Piece], length: int, per_species: int | None = None, seed: int = 0, rate: float = 0.15
) -> list[Window]:
    held_out = MemoryPieces(pieces, SPECIES)
    places = choose_places(held_out, SPECIES, length, per_species, seed)
    return list(read_windows(held_out, SPECIES, places, length, rate, seed))


def test_windows_lie_side_by_side_and_15_percent_are_masked() -> None:
    sequences = [_random(700), _random(1000 * 200 + 999, 1), _random(2000, 2)]
    windows = _windows([piece(sequence) for sequence in sequences], 1000)
    starts = {number: [w.place.start for w in windows if w.place.piece == number] for number in range(3)}
    first = starts[1][0]
    assert 0 <= first <= 999
    assert starts == {0: [], 1: list(range(first, first + 200_000, 1000)), 2: [0, 1000]}
    for window in windows:
        start = window.place.start
        assert window.ids.tolist() == encode(sequences[window.place.piece][start : start + 1000]).tolist()
    assert sum(window.masked.size for window in windows) / 202_000 == pytest.approx(0.15, abs=0.003)
    for window in windows[:5]:
        seen = window.seen()
        assert (seen[window.masked] == MASK).all()
        assert np.flatnonzero(seen != window.ids).tolist() == window.masked.tolist()


@pytest.mark.parametrize(("rate", "share"), [(0.02, 0.02), (1, 1)])
def test_the_mask_rate_is_kept(rate: float, share: float) -> None:
    windows = _windows([piece(_random(100_000))], 1000, rate=rate)
    assert sum(window.masked.size for window in windows) / 100_000 == pytest.approx(share, abs=0.002)


def test_n_is_never_masked() -> None:
    windows = _windows([piece("NA" * 500)], 100)
    assert all((window.ids[window.masked] != N).all() and window.masked.size > 0 for window in windows)


def test_labels_are_those_of_the_masked_bases() -> None:
    regions = [REGIONS[number % len(REGIONS)] for number in range(300)]
    sequence = "".join(letter.lower() if number % 7 == 0 else letter for number, letter in enumerate(_random(300)))
    for window in _windows([piece(sequence, region=regions, coding=True)], 100, rate=0.5):
        at = window.masked + window.place.start
        assert [REGIONS[code] for code in window.regions] == [regions[place] for place in at]
        assert window.repeats.tolist() == (at % 7 == 0).tolist()
        assert window.truth().tolist() == ["ACGT".index(sequence[place].upper()) for place in at]
        assert (window.contig, window.coding) == ("chr1", True)


def test_a_species_has_the_same_windows_with_and_without_others() -> None:
    human, mouse = piece(_random(5000)), piece(_random(5000, 1), "mouse")
    alone = _windows([human], 100, per_species=7, seed=3)
    both = _windows([mouse, human], 100, per_species=7, seed=3)
    assert [window.place.species for window in both] == [0] * 7 + [1] * 7
    for left, right in zip(alone, both[:7], strict=True):
        assert left.place.start == right.place.start
        assert left.masked.tolist() == right.masked.tolist()


def test_fewer_windows_are_among_the_more() -> None:
    def chosen(per_species: int | None, seed: int = 0) -> dict[int, list[int]]:
        found = _windows([piece(_random(20_000))], 100, per_species, seed)
        return {window.place.start: window.masked.tolist() for window in found}

    few, more, everything = chosen(5), chosen(50), chosen(None)
    assert (len(few), len(more), len(everything)) == (5, 50, 200)
    assert few.items() <= more.items() <= everything.items()
    assert few != chosen(5, seed=1)


def test_no_window_of_that_length_is_no_place() -> None:
    assert _windows([piece("ACGT" * 100)], 1024) == []


def test_both_ends_of_the_pieces_are_reached() -> None:
    starts = [window.place.start for window in _windows([piece(_random(109)) for _ in range(300)], 100)]
    assert set(starts) == set(range(10))
