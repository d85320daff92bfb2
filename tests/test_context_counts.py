from collections import Counter

import numpy as np
import pytest

from sbert_model.tokenizer import encode
from sbert_train.context_counts import CONTEXTS, FEATURES, HASH_BITS, bases_of, context_numbers, count, features

SEQUENCE = "".join(np.random.default_rng(3).choice(list("ACGT"), 3000)) + "N" + "ACGT" * 50
BASES = bases_of(encode(SEQUENCE))
TABLES = [count(BASES, offsets) for offsets in CONTEXTS]


def test_bases_are_acgt_and_unknown() -> None:
    assert bases_of(encode("ACGTNacgtR")).tolist() == [0, 1, 2, 3, -1, 0, 1, 2, 3, -1]


@pytest.mark.parametrize("number", range(len(CONTEXTS)))
def test_counts_equal_those_of_a_dictionary(number: int) -> None:
    offsets = CONTEXTS[number]
    seen: Counter[tuple[str, str]] = Counter()
    for place, base in enumerate(SEQUENCE):
        around = [place + offset for offset in offsets]
        if min(around) >= 0 and max(around) < len(SEQUENCE):
            context = "".join(SEQUENCE[at] for at in around)
            if "N" not in context + base:
                seen[context, base] += 1
    assert int(TABLES[number].sum()) == seen.total()
    rows = context_numbers(BASES, offsets, 0, len(SEQUENCE))
    for place in (40, 1500, 3100):
        context = "".join(SEQUENCE[place + offset] for offset in offsets)
        # Long contexts share rows; with 3,200 bases in 2^26 rows these do not.
        assert TABLES[number][rows[place]].tolist() == [seen[context, base] for base in "ACGT"]


def test_contexts_with_an_unknown_base_have_no_row() -> None:
    rows = context_numbers(BASES, (-2, 1), 0, len(SEQUENCE))
    unknown = [place for place in range(len(SEQUENCE)) if rows[place] < 0]
    assert unknown == [0, 1, 2999, 3002, len(SEQUENCE) - 1]


def test_any_stretch_gives_the_rows_of_the_whole() -> None:
    for offsets in CONTEXTS:
        whole = context_numbers(BASES, offsets, 0, len(SEQUENCE))
        assert (context_numbers(BASES, offsets, 1000, 1100) == whole[1000:1100]).all()
        assert whole.max() < 1 << HASH_BITS


def test_counts_do_not_overflow() -> None:
    assert int(count(np.zeros(70_000, dtype=np.int8), (-1, 1))[0, 0]) == 65_535


def test_features_do_not_tell_their_own_base() -> None:
    place = 1500
    rows = []
    for base in range(4):
        changed = BASES.copy()
        changed[place] = base
        rows.append(features(changed, TABLES, place, place + 1))
    assert rows[0].shape == (1, FEATURES)
    for row in rows[1:]:
        np.testing.assert_array_equal(row, rows[0])


def test_features_of_a_stretch_are_those_of_the_whole() -> None:
    whole = features(BASES, TABLES, 0, len(SEQUENCE))
    np.testing.assert_allclose(features(BASES, TABLES, 2000, 2100), whole[2000:2100], atol=2e-3)


def test_features_of_a_repeat_name_its_bases() -> None:
    inside = features(BASES, TABLES, 3100, 3104)
    left_of_16 = 5 * (len(CONTEXTS) - 2)  # the context of the 16 bases before
    assert inside[:, left_of_16 : left_of_16 + 4].argmax(axis=1).tolist() == BASES[3100:3104].tolist()
