import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sbert_model.errors import InputError, OutputError
from sbert_model.tokenizer import MASK, Ids, N, encode
from sbert_train.corpus import Piece
from sbert_train.count_models import Floats, fit, log_probabilities
from sbert_train.evaluate import COUNT_MODELS, Window, evaluate, masked_windows, table, write_json


def _piece(sequence: str, species: str = "human") -> Piece:
    return Piece(species, "c", 0, len(sequence), "+", encode(sequence))


def _random(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def test_composition_counts_bases_with_half_a_count_added() -> None:
    model = fit((), [encode("AAACGNNN")])
    found = log_probabilities(model, encode("TT"), np.array([0, 1]))
    np.testing.assert_allclose(np.exp(found), [[3.5 / 7, 1.5 / 7, 1.5 / 7, 0.5 / 7]] * 2)


def test_context_is_read_from_both_sides_and_never_across_sequences() -> None:
    # Between A and G there is always C; the two sequences together would also have T between A and G.
    model = fit((-1, 1), [encode("ACGACG"), encode("TA"), encode("G")])
    found = np.exp(log_probabilities(model, encode("ATG"), np.array([1])))
    np.testing.assert_allclose(found, [[0.5 / 4, 2.5 / 4, 0.5 / 4, 0.5 / 4]])


def test_missing_or_unseen_context_backs_off_to_less() -> None:
    model = fit((-1, -2), [encode("ACGACGACG")])
    sequence = encode("CNCTACN")
    shorter = fit((-1,), [encode("ACGACGACG")])
    places = np.array([0, 2, 3, 4, 5, 6])
    # Nothing known before 0 and 2, only C before 3, T (never seen) before 4, TA (never seen) before 5, AC before 6.
    found = log_probabilities(model, sequence, places)
    bare = log_probabilities(fit((), [encode("ACGACGACG")]), sequence, places)
    np.testing.assert_array_equal(found[[0, 1, 3]], bare[[0, 1, 3]])
    np.testing.assert_array_equal(found[[2, 4]], log_probabilities(shorter, sequence, places)[[2, 4]])
    np.testing.assert_allclose(np.exp(found[5]), np.array([0.5, 0.5, 3.5, 0.5]) / 5)


def test_windows_lie_side_by_side_and_15_percent_are_masked() -> None:
    sequence = _random(1000 * 200 + 999)
    windows = masked_windows([_piece(sequence)], 1000)
    assert sorted(window.ids.tobytes() for window in windows) == sorted(
        encode(sequence[start : start + 1000]).tobytes() for start in range(0, 200_000, 1000)
    )
    assert sum(window.places.size for window in windows) / 200_000 == pytest.approx(0.15, abs=0.003)
    for window in windows[:5]:
        masked = window.masked()
        assert (masked[window.places] == MASK).all()
        assert np.flatnonzero(masked != window.ids).tolist() == window.places.tolist()


def test_fewer_bases_can_be_masked() -> None:
    windows = masked_windows([_piece(_random(100_000))], 1000, rate=0.02)
    assert sum(window.places.size for window in windows) / 100_000 == pytest.approx(0.02, abs=0.002)


def test_n_is_never_masked() -> None:
    windows = masked_windows([_piece("NA" * 500)], 100)
    assert all((window.ids[window.places] != N).all() and window.places.size > 0 for window in windows)


def test_a_species_has_the_same_windows_with_and_without_others() -> None:
    human, mouse = _piece(_random(5000)), _piece(_random(5000, 1), "mouse")
    alone = masked_windows([human], 100, per_species=7, seed=3)
    both = masked_windows([mouse, human], 100, per_species=7, seed=3)
    assert [window.species for window in both] == ["human"] * 7 + ["mouse"] * 7
    assert all(a.places.tolist() == b.places.tolist() for a, b in zip(alone, both[:7], strict=True))
    other = masked_windows([human], 100, per_species=7, seed=4)
    assert any(a.places.tolist() != b.places.tolist() for a, b in zip(alone, other, strict=True))


def test_no_window_is_an_error() -> None:
    with pytest.raises(InputError, match="1024 nt or more"):
        masked_windows([_piece("ACGT" * 100)])


def _half_right(windows: Sequence[Ids]) -> list[Floats]:
    """1/2 for A, 1/6 for the others, everywhere."""
    return [np.log(np.tile([1 / 2, 1 / 6, 1 / 6, 1 / 6], (window.size, 1))) for window in windows]


def test_scores_have_known_answers() -> None:
    human = Window("human", encode("AAAA"), np.array([0, 1, 2]))
    mouse = Window("mouse", encode("AACC"), np.array([0, 3]))
    scores = {(s.species, s.model): s for s in evaluate(_half_right, [human, mouse], [_piece("ACGT" * 10)])}
    assert [key[0] for key in scores] == ["human"] * 4 + ["mouse"] * 4 + ["all"] * 4
    assert [key[1] for key in scores][:4] == ["model", *COUNT_MODELS]
    assert scores["human", "model"].cross_entropy == pytest.approx(math.log(2))
    assert scores["human", "model"].accuracy == 1
    assert scores["mouse", "model"].cross_entropy == pytest.approx((math.log(2) + math.log(6)) / 2)
    assert scores["all", "model"].cross_entropy == pytest.approx((4 * math.log(2) + math.log(6)) / 5)
    assert scores["all", "model"].accuracy == pytest.approx(4 / 5)
    assert (scores["all", "model"].windows, scores["all", "model"].bases) == (2, 5)
    assert scores["all", "composition"].cross_entropy == pytest.approx(math.log(4))


def test_interval_spans_what_the_windows_differ_by() -> None:
    human = Window("human", encode("AAAA"), np.array([0, 1]))
    mouse = Window("mouse", encode("CCCC"), np.array([0, 1]))
    scores = {(s.species, s.model): s for s in evaluate(_half_right, [human, mouse], [_piece("ACGT" * 10)])}
    assert scores["human", "model"].cross_entropy_interval == pytest.approx((math.log(2), math.log(2)))
    assert scores["all", "model"].cross_entropy_interval == pytest.approx((math.log(2), math.log(6)))
    assert scores["all", "model"].accuracy_interval == (0, 1)


def test_count_models_are_fitted_on_the_training_pieces_and_see_true_neighbours() -> None:
    window = Window("human", encode("ACGTACGTACGT"), np.arange(4, 8))
    scores = {s.model: s for s in evaluate(_half_right, [window], [_piece("ACGT" * 500)]) if s.species == "human"}
    assert scores["composition"].cross_entropy == pytest.approx(math.log(4))
    for name in ("order-5 Markov", "four bases either side"):
        assert scores[name].cross_entropy < 0.02
        assert scores[name].accuracy == 1


def test_table_and_json_say_the_same(tmp_path: Path) -> None:
    window = Window("human", encode("AAAA"), np.array([0, 1]))
    scores = evaluate(_half_right, [window], [_piece("ACGT" * 10)])
    lines = table(scores).splitlines()
    assert len(lines) == 9
    assert lines[1].split()[:4] == ["human", "model", "2", "0.6931"]
    write_json(tmp_path / "scores.json", scores)
    first = json.loads((tmp_path / "scores.json").read_text())[0]
    assert first["cross_entropy"] == pytest.approx(math.log(2))
    assert first["accuracy_interval"] == [1, 1]
    with pytest.raises(OutputError, match="cannot write"):
        write_json(tmp_path / "absent" / "scores.json", scores)
