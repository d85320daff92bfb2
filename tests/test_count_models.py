import math
from collections import Counter

import numpy as np
import pytest

from sbert_model.tokenizer import Ids, encode
from sbert_train import count_models
from sbert_train.count_models import (
    PRIOR_STRENGTH,
    STRETCH,
    CountModel,
    Floats,
    Levels,
    either_side_levels,
    evenly,
    fit,
    log_probabilities,
    markov_levels,
)


def _random(length: int, seed: int = 0, letters: str = "ACGT") -> str:
    return "".join(np.random.default_rng(seed).choice(list(letters), length))


def _at(model: CountModel, sequence: str, place: int, depth: int) -> Floats:
    found: Floats = np.exp(log_probabilities(model, encode(sequence), np.array([place]), depth)[0])
    return found


def _by_hand(levels: Levels, training: list[str], sequence: str, place: int, depth: int) -> list[float]:
    """The smoothed estimate, from a dictionary of contexts."""
    offsets = [offset for level in levels for offset in level]
    counts: list[Counter[tuple[str, str]]] = [Counter() for _ in range(len(levels) + 1)]
    for text in training:
        for at, base in enumerate(text):
            around = [text[at + offset] if 0 <= at + offset < len(text) else "N" for offset in offsets]
            if "N" not in [base, *around]:
                for kept in range(len(levels) + 1):
                    width = sum(len(level) for level in levels[:kept])
                    counts[kept]["".join(around[:width]), base] += 1
    estimate = dict.fromkeys("ACGT", 0.25)
    for kept in range(depth + 1):
        inner = [offset for level in levels[:kept] for offset in level]
        around = [sequence[place + offset] if 0 <= place + offset < len(sequence) else "N" for offset in inner]
        if "N" in around:
            break
        seen = {base: counts[kept]["".join(around), base] for base in "ACGT"}
        total = sum(seen.values())
        estimate = {base: (seen[base] + PRIOR_STRENGTH * estimate[base]) / (total + PRIOR_STRENGTH) for base in "ACGT"}
    return list(estimate.values())


@pytest.mark.parametrize("levels", [markov_levels(3), either_side_levels(2), ()])
def test_estimates_are_those_of_a_count_by_hand(levels: Levels) -> None:
    training = [_random(700, 1, "AACGT"), _random(40, 2, "ACGTN"), "ACG", _random(200, 3, "AAGTN")]
    model = fit(levels, [encode(text) for text in training])
    sequence = _random(40, 4, "ACGTTN")
    for depth in range(len(levels) + 1):
        found = np.exp(log_probabilities(model, encode(sequence), np.arange(40), depth))
        expected = [_by_hand(levels, training, sequence, place, depth) for place in range(40)]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_composition_of_many_bases_is_their_share() -> None:
    model = fit((), [encode("AAAC" * 250_000 + "N" * 1000)])
    np.testing.assert_allclose(_at(model, "T", 0, 0), [0.75, 0.25, 0, 0], atol=1e-4)
    assert model.bases == 1_000_000


def test_context_is_never_read_across_sequences() -> None:
    # Joined, the two would have T between A and C a thousand times.
    model = fit(either_side_levels(1), [encode("A"), encode("TC"), encode("T")] * 1000)
    assert model.bases == 0
    np.testing.assert_allclose(_at(model, "ATC", 1, 1), [0.25] * 4)


def test_missing_context_takes_the_one_inside_it() -> None:
    model = fit(either_side_levels(2), [encode(_random(5000, 5, "AACGT"))])
    sequence = "ACNGTACNT"
    # 0: nothing on the left; 3: N next to it; 4: N two away; 5: N two away on the right; all known nowhere else.
    for place, depth in ((0, 0), (3, 0), (4, 1), (5, 1), (8, 0)):
        np.testing.assert_array_equal(_at(model, sequence, place, 2), _at(model, sequence, place, depth))


def test_a_repeated_pattern_is_learnt() -> None:
    model = fit(markov_levels(5), [encode("ACGT" * 50_000)])
    loss = -math.log(_at(model, "ACGTACGTACGT", 8, 5)[0])
    assert loss < 0.001


def test_large_corpora_are_counted_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [encode(_random(size, size)) for size in (500, 10, 700, 1, 300)]
    whole = fit(either_side_levels(2), texts)
    monkeypatch.setattr(count_models, "BLOCK", 400)
    in_blocks = fit(either_side_levels(2), texts)
    assert in_blocks.bases == whole.bases == sum(max(text.size - 4, 0) for text in texts)
    for left, right in zip(whole.log_probs, in_blocks.log_probs, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_share_of_the_corpus_lies_evenly_over_it() -> None:
    sequences: list[Ids] = [np.full(10 * STRETCH, number, dtype=np.uint8) for number in range(20)]
    total = 200 * STRETCH
    taken = list(evenly(sequences, total, total // 4))
    assert sum(part.size for part in taken) == total // 4
    found = Counter(int(part[0]) for part in taken)
    assert set(found) == set(range(20))
    assert set(found.values()) <= {2, 3}
    everything = list(evenly(sequences, total, total))
    assert all(left is right for left, right in zip(everything, sequences, strict=True))
