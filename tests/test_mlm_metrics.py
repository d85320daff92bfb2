import math

import numpy as np
import pytest

from sbert_train.mlm_metrics import Estimate, Figures, Floats, figures, unit_sums


def _figures(truth: list[int], tables: list[Floats], units: list[int] | None = None) -> list[Figures]:
    """Figures of models that give tables (B, 4) of probabilities."""
    true = np.array(truth)
    losses = np.array([-np.log(np.maximum(table[np.arange(true.size), true], 1e-30)) for table in tables])
    calls = np.array([table.argmax(axis=1) for table in tables])
    return figures(unit_sums(true, calls, losses, np.array(units or range(true.size))))


def test_uniform_model_loses_ln_4_and_names_one_base_in_four() -> None:
    (found,) = _figures([0, 0, 0, 1, 2, 3], [np.full((6, 4), 0.25)])
    assert found.cross_entropy.value == pytest.approx(math.log(4))
    assert found.accuracy.value == pytest.approx(3 / 6)  # it names A, and half of them are
    assert found.balanced_accuracy.value == pytest.approx(1 / 4)
    assert (found.cross_entropy.low, found.cross_entropy.high) == pytest.approx((math.log(4), math.log(4)))


def test_perfect_model_loses_nothing() -> None:
    truth = [0, 1, 2, 3, 3, 3]
    (found,) = _figures(truth, [np.eye(4)[truth]])
    assert found == Figures(Estimate(0, 0, 0), Estimate(1, 1, 1), Estimate(1, 1, 1), Estimate(0, 0, 0))


def test_composition_loses_the_entropy() -> None:
    share = np.array([0.5, 0.25, 0.125, 0.125])
    truth = [0, 0, 0, 0, 1, 1, 2, 3]
    (found,) = _figures(truth, [np.tile(share, (8, 1))])
    assert found.cross_entropy.value == pytest.approx(-(share * np.log(share)).sum())


def test_balanced_accuracy_is_the_mean_recall_of_the_bases_that_occur() -> None:
    # A: 3 of 4 right; C: 1 of 2; G does not occur; T: 0 of 1.
    truth, calls = [0, 0, 0, 0, 1, 1, 3], [0, 0, 0, 2, 1, 0, 0]
    (found,) = _figures(truth, [np.eye(4)[calls]])
    assert found.balanced_accuracy.value == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)
    assert found.accuracy.value == pytest.approx(4 / 7)


def test_bases_of_a_unit_are_summed_whatever_its_number() -> None:
    sums = unit_sums(
        np.array([0, 3, 0]), np.array([[0, 0, 1]]), np.array([[1.0, 2.0, 4.0]], dtype=np.float32), np.array([70, 5, 70])
    )
    np.testing.assert_array_equal(sums.bases, [[0, 0, 0, 1], [2, 0, 0, 0]])
    np.testing.assert_array_equal(sums.hits, [[[0, 0, 0, 0]], [[1, 0, 0, 0]]])
    np.testing.assert_array_equal(sums.loss, [[2], [5]])


def test_interval_resamples_units_not_bases() -> None:
    # Two genes of 1,000 bases: all losses 1 in one, all 3 in the other. Half of the resamples hold both genes.
    loss = np.repeat([1.0, 3.0], 1000)
    sums = unit_sums(np.zeros(2000, dtype=int), np.zeros((1, 2000), dtype=int), loss[None], np.repeat([0, 1], 1000))
    (found,) = figures(sums)
    assert found.cross_entropy == Estimate(2, 1, 3)


def test_interval_has_the_width_of_the_standard_error() -> None:
    losses = np.random.default_rng(1).normal(1.2, 0.1, 400)
    sums = unit_sums(np.zeros(400, dtype=int), np.zeros((1, 400), dtype=int), losses[None], np.arange(400))
    (found,) = figures(sums, resamples=4000)
    error = losses.std() / 20
    assert found.cross_entropy.low == pytest.approx(losses.mean() - 1.96 * error, abs=0.15 * error)
    assert found.cross_entropy.high == pytest.approx(losses.mean() + 1.96 * error, abs=0.15 * error)


def test_gain_is_paired() -> None:
    # The models differ by 0.1 on every base, the bases by much more.
    losses = np.random.default_rng(0).normal(1.2, 0.5, 50)
    sums = unit_sums(
        np.zeros(50, dtype=int), np.zeros((2, 50), dtype=int), np.array([losses, losses + 0.1]), np.arange(50)
    )
    model, baseline = figures(sums)
    assert model.gain == Estimate(0, 0, 0)
    assert (baseline.gain.value, baseline.gain.low, baseline.gain.high) == pytest.approx((0.1, 0.1, 0.1))
    assert baseline.cross_entropy.high - baseline.cross_entropy.low > 0.2


def test_one_unit_has_no_interval() -> None:
    (found,) = _figures([0, 1], [np.full((2, 4), 0.25)], [7, 7])
    assert found.cross_entropy.value == pytest.approx(math.log(4))
    assert math.isnan(found.cross_entropy.low)
    assert math.isnan(found.balanced_accuracy.high)


def test_the_same_figures_every_time() -> None:
    losses = np.random.default_rng(0).normal(1.2, 0.5, (1, 30))
    sums = unit_sums(np.arange(30) % 4, np.zeros((1, 30), dtype=int), losses, np.arange(30) // 3)
    assert figures(sums) == figures(sums)
