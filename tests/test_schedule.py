import pytest
import torch

from sbert_train.schedule import Budget, cosine_factor, make_scheduler
from tests.tiny_pretraining import tiny_config


def _optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def test_cosine_warms_up_and_ends_at_zero() -> None:
    assert cosine_factor(0, warmup=10, progress=0) == pytest.approx(0.1)
    assert cosine_factor(4, warmup=10, progress=0) == pytest.approx(0.5)
    assert cosine_factor(500, warmup=10, progress=0.5) == pytest.approx(0.5)
    assert cosine_factor(1000, warmup=10, progress=1) == pytest.approx(0)
    assert cosine_factor(0, warmup=0, progress=0) == 1


def test_cosine_follows_the_steps() -> None:
    optimizer = _optimizer()
    scheduler = make_scheduler(optimizer, tiny_config(schedule="cosine", max_steps=4), Budget(4, None))
    rates = []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([1, 0.8536, 0.5, 0.1464, 0], abs=1e-4)


def test_plateau_halves_after_three_evaluations_without_improvement() -> None:
    optimizer = _optimizer()
    scheduler = make_scheduler(optimizer, tiny_config(plateau_evaluations=3), Budget(4, None))
    assert isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    rates = []
    for loss in (2.0, 1.0, 1.0, 1.5, 1.0, 1.0, 0.9999, 1.0, 1.0, 1.0):
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_progress_is_the_further_of_steps_and_hours() -> None:
    assert Budget(10, None).progress(5) == 0.5
    assert Budget(10, max_hours=1, seconds=360).progress(5) == 0.5
    assert Budget(10, max_hours=1, seconds=3240).progress(5) == 0.9
    assert Budget(None, max_hours=1, seconds=4000).progress(0) == 1


def test_the_clock_counts_what_earlier_parts_took() -> None:
    budget = Budget(None, 1.0, seconds=1800)
    assert budget.clock() == pytest.approx(1800, abs=5)
    assert budget.progress(10**6) == 0.5
