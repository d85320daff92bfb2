import numpy as np
import pytest

from sbert_train.classification_metrics import Ranking, average_precision, average_precision_interval, calls


def test_average_precision_by_hand() -> None:
    truth = np.array([True, False, True, False])
    # Positives at ranks 1 and 3: (1/1 + 2/3) / 2.
    assert average_precision(truth, np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx((1 + 2 / 3) / 2)
    # All equal is one step: precision is the share of positives.
    assert average_precision(truth, np.zeros(4)) == pytest.approx(0.5)
    assert average_precision(truth, np.array([0.9, 0.1, 0.8, 0.2])) == pytest.approx(1)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.random(60) < 0.4, rng.integers(0, 8, 60) / 8  # with ties
    pairs = [(p > n) + (p == n) / 2 for p in scores[truth] for n in scores[~truth]]
    assert Ranking(truth, scores).auroc() == pytest.approx(np.mean(pairs))


def test_curve_matches_the_definition_at_every_threshold() -> None:
    rng = np.random.default_rng(1)
    truth, scores = rng.random(50) < 0.3, rng.integers(0, 10, 50) / 10
    recall, precision = Ranking(truth, scores).curve()
    for step, threshold in enumerate(sorted(set(scores), reverse=True)):
        called = scores >= threshold
        assert recall[step] == pytest.approx((called & truth).sum() / truth.sum())
        assert precision[step] == pytest.approx((called & truth).sum() / called.sum())
    gained = np.diff(recall, prepend=0)
    assert average_precision(truth, scores) == pytest.approx((gained * precision).sum())


def test_resamples_equal_repeating_the_examples() -> None:
    rng = np.random.default_rng(2)
    truth, scores, units = rng.random(40) < 0.5, rng.integers(0, 9, 40) / 9, rng.integers(0, 12, 40)
    times = rng.integers(0, 4, (3, 12))
    found = Ranking(truth, scores).average_precision(units, times)
    for row, value in zip(times, found, strict=True):
        assert value == pytest.approx(average_precision(truth.repeat(row[units]), scores.repeat(row[units])))


def test_interval_holds_the_value_and_narrows_with_more_windows() -> None:
    rng = np.random.default_rng(3)
    widths = []
    for windows in (20, 500):
        units = np.repeat(np.arange(windows), 10)
        truth = rng.random(len(units)) < 0.2
        scores = truth + rng.normal(0, 1, len(units))
        interval = average_precision_interval(truth, scores, units, resamples=200)
        assert interval.low < interval.value == average_precision(truth, scores) < interval.high
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0] / 2
    # The same bases in one window: every resample is the whole.
    alone = average_precision_interval(truth, scores, np.zeros(len(truth), dtype=int), resamples=5)
    assert alone.low == pytest.approx(alone.high) == pytest.approx(alone.value)


def test_calls_at_one_half() -> None:
    truth = np.array([True, True, True, False, False])
    found = calls(truth, np.array([0.9, 0.6, 0.5, 0.7, 0.1]))
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(2 / 3)
    assert calls(truth, np.zeros(5)) == calls(~truth, np.zeros(5))
    assert calls(truth, np.zeros(5)).f1 == 0
