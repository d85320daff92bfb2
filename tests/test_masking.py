import numpy as np
import pytest

from sbert_model.tokenizer import CLS, MASK, NUCLEOTIDES, PAD, SEP, UNK, N
from sbert_train.masking import IGNORED, mask_tokens


def test_statistics_over_a_million_tokens() -> None:
    rng = np.random.default_rng(0)
    ids = rng.choice(NUCLEOTIDES, (1000, 1000)).astype(np.int64)
    shown, labels = mask_tokens(ids, rng)
    chosen = labels != IGNORED
    assert chosen.mean() == pytest.approx(0.15, abs=0.001)
    np.testing.assert_array_equal(labels[chosen], ids[chosen])
    np.testing.assert_array_equal(shown[~chosen], ids[~chosen])
    # Of 150,000 chosen ones; a quarter of the 10 % random bases are the true one by chance.
    assert (shown[chosen] == MASK).mean() == pytest.approx(0.8, abs=0.003)
    assert (shown[chosen] == ids[chosen]).mean() == pytest.approx(0.1 + 0.1 / 4, abs=0.003)
    assert ((shown[chosen] != MASK) & (shown[chosen] != ids[chosen])).mean() == pytest.approx(0.1 * 3 / 4, abs=0.003)


@pytest.mark.parametrize("base", NUCLEOTIDES)
def test_random_replacements_are_uniform(base: int) -> None:
    ids = np.full((1000, 1000), base, dtype=np.int64)
    shown, labels = mask_tokens(ids, np.random.default_rng(1))
    shares = {other: (shown == other).sum() / (labels != IGNORED).sum() for other in NUCLEOTIDES if other != base}
    # Each 2.5 % of 150,000: a standard deviation of 0.04 %.
    np.testing.assert_allclose(list(shares.values()), 0.1 / 4, atol=0.0015)


def test_specials_and_n_are_never_chosen() -> None:
    rng = np.random.default_rng(2)
    ids = rng.choice([PAD, UNK, CLS, SEP, MASK, N, *NUCLEOTIDES], (1000, 1000)).astype(np.int64)
    shown, labels = mask_tokens(ids, rng)
    others = ~np.isin(ids, NUCLEOTIDES)
    np.testing.assert_array_equal(shown[others], ids[others])
    assert (labels[others] == IGNORED).all()
    assert (labels[~others] != IGNORED).mean() == pytest.approx(0.15, abs=0.001)


def test_the_rate_is_kept() -> None:
    ids = np.full((100, 1000), NUCLEOTIDES[0], dtype=np.int64)
    assert (mask_tokens(ids, np.random.default_rng(3), 0.4).labels != IGNORED).mean() == pytest.approx(0.4, abs=0.005)
    assert (mask_tokens(ids, np.random.default_rng(3), 1).labels != IGNORED).all()
