"""Scores have the values that the formulas give by hand."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_model import scoring
from sbert_model.scoring import FLANK, KL_CONTEXT_FLOOR, KL_FLOOR

UNIFORM = np.log([0.25, 0.25, 0.25, 0.25])


def test_constants() -> None:
    assert FLANK == 100
    assert KL_FLOOR == 1e-6
    assert pytest.approx(-1381.5510557964274) == KL_CONTEXT_FLOOR


def test_divergence_of_equal_predictions_is_zero() -> None:
    assert scoring.kl_divergence(UNIFORM, UNIFORM) == 0.0


def test_divergence_by_hand() -> None:
    alt = np.log([0.5, 0.25, 0.125, 0.125])
    # 0.5 ln 2 + 0.25 ln 1 + 2 · 0.125 ln 0.5
    assert scoring.kl_divergence(alt, UNIFORM) == pytest.approx(0.25 * math.log(2), abs=1e-15)
    # 0.25 (ln 0.5 + ln 1 + 2 ln 2): not the same the other way round
    assert scoring.kl_divergence(UNIFORM, alt) == pytest.approx(0.25 * math.log(2), abs=1e-15)
    third = np.log([0.7, 0.1, 0.1, 0.1])
    assert scoring.kl_divergence(third, UNIFORM) == pytest.approx(0.7 * math.log(2.8) + 0.3 * math.log(0.4), abs=1e-15)
    assert scoring.kl_divergence(UNIFORM, third) == pytest.approx(
        0.25 * math.log(0.25 / 0.7) + 0.75 * math.log(2.5), abs=1e-15
    )


def test_splice_site_is_the_mean_over_its_bases() -> None:
    alt = np.log([[0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25]])
    ref = np.tile(UNIFORM, (2, 1))
    assert scoring.splice_site_kl(alt, ref) == pytest.approx(0.125 * math.log(2), abs=1e-15)
    assert scoring.splice_site_kl(alt[:1], ref[:1]) == pytest.approx(0.25 * math.log(2), abs=1e-15)
    assert scoring.splice_site_kl(alt[:0], ref[:0]) is None


def test_branchpoint_change_by_hand() -> None:
    assert scoring.branchpoint_change([0.5, 0.75, 0.0], [0.5, 0.25, 0.125]) == (0.5, 0.125, 1)
    assert scoring.branchpoint_change([0.25, 0.0], [0.25, 0.5]) == (0.0, 0.5, None)
    assert scoring.branchpoint_change([0.75], [0.0]) == (0.75, 0.0, 0)
    assert scoring.branchpoint_change([0.5, 0.5], [0.25, 0.25]) == (0.25, 0.0, 0)  # of equals the first


def test_divergence_clips_probabilities() -> None:
    certain = np.array([0.0, -np.inf, -np.inf, -np.inf])
    # p_alt = (1, 1e-6, 1e-6, 1e-6) after clipping
    expected = math.log(4) + 3e-6 * math.log(4e-6)
    assert scoring.kl_divergence(certain, UNIFORM) == pytest.approx(expected, abs=1e-14)
    other = np.array([-np.inf, 0.0, -np.inf, -np.inf])
    assert scoring.kl_divergence(certain, other) == pytest.approx((1 - 1e-6) * math.log(1e6), abs=1e-9)


def test_divergence_of_float32_input_is_computed_in_float64() -> None:
    result = scoring.kl_divergence(UNIFORM.astype(np.float32)[None], UNIFORM.astype(np.float32)[None])
    assert result.dtype == np.float64
    assert result.shape == (1,)


def test_divergence_keeps_leading_axes() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    divergence = scoring.kl_divergence(logp[0], logp[1])
    assert divergence.shape == (3, 5)
    assert divergence[2, 4] == pytest.approx(
        sum(math.exp(a) * (a - r) for a, r in zip(logp[0, 2, 4], logp[1, 2, 4], strict=True)), abs=1e-14
    )


@given(st.lists(st.floats(-8, 8, allow_subnormal=False), min_size=8, max_size=8))
def test_divergence_is_not_negative_where_nothing_is_clipped(logits: list[float]) -> None:
    rows = np.array(logits).reshape(2, 4)
    rows = rows - np.log(np.exp(rows).sum(-1, keepdims=True))
    if rows.min() > math.log(1e-6):
        assert scoring.kl_divergence(rows[0], rows[1]) >= -1e-12


def flank(**values: float) -> npt.NDArray[np.float64]:
    """Divergences that are zero but at the distances named d1, d2, …."""
    divergences = np.zeros(FLANK)
    for distance, value in values.items():
        divergences[int(distance[1:]) - 1] = value
    return divergences


def test_kl_context_of_no_change_is_the_floor() -> None:
    assert scoring.kl_context(np.zeros(100), np.zeros(100)) == pytest.approx(KL_CONTEXT_FLOOR, abs=1e-9)


def test_kl_context_by_hand() -> None:
    # Every mean is 2e-3.
    assert scoring.kl_context(np.full(100, 1e-3), np.full(100, 3e-3)) == pytest.approx(100 * math.log(2e-3), abs=1e-9)
    # One mean of 0.5 lifts one of the hundred terms from ln 1e-6 to ln 0.5.
    lifted = KL_CONTEXT_FLOOR + math.log(0.5) - math.log(1e-6)
    assert scoring.kl_context(flank(d7=1.0), flank()) == pytest.approx(lifted, abs=1e-9)
    assert scoring.kl_context(flank(), flank(d7=1.0)) == pytest.approx(lifted, abs=1e-9)


def test_kl_context_pairs_the_flanks_by_distance() -> None:
    paired = scoring.kl_context(flank(d3=1e-2), flank(d3=1e-2))
    apart = scoring.kl_context(flank(d3=1e-2), flank(d4=1e-2))
    assert paired == pytest.approx(KL_CONTEXT_FLOOR + math.log(1e4), abs=1e-9)
    assert apart == pytest.approx(KL_CONTEXT_FLOOR + 2 * math.log(5e3), abs=1e-9)


def test_kl_context_floors_the_mean_not_the_sides() -> None:
    # 1.5e-6 and 0 have the mean 7.5e-7, below the floor; 2.5e-6 and −3e-7 have 1.1e-6, above it.
    assert scoring.kl_context(flank(d1=1.5e-6), flank()) == pytest.approx(KL_CONTEXT_FLOOR, abs=1e-9)
    assert scoring.kl_context(flank(d1=2.5e-6), flank(d1=-3e-7)) == pytest.approx(
        KL_CONTEXT_FLOOR + math.log(1.1), abs=1e-9
    )


@pytest.mark.parametrize(("left", "right"), [(99, 100), (100, 101), (1, 1)])
def test_kl_context_refuses_other_flanks(left: int, right: int) -> None:
    with pytest.raises(ValueError, match=r"expected \(100,\) each"):
        scoring.kl_context(np.zeros(left), np.zeros(right))


def test_delta_probability_by_hand() -> None:
    logp = np.log([0.1, 0.2, 0.3, 0.4])
    assert scoring.delta_probability(logp, ref_index=0, alt_index=3) == pytest.approx(0.3, abs=1e-15)
    assert scoring.delta_probability(logp, ref_index=3, alt_index=0) == pytest.approx(-0.3, abs=1e-15)
    assert scoring.delta_probability(logp, ref_index=2, alt_index=2) == 0.0
    with pytest.raises(ValueError, match=r"expected \(4,\)"):
        scoring.delta_probability(np.zeros((1, 4)), 0, 1)
