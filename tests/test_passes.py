"""What a device cannot do at once it does in halves, and what half precision cannot hold in float32, saying so once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sbert_model import predict
from sbert_model.checkpoint import load_masked_lm
from sbert_model.errors import DeviceError
from sbert_model.network import MaskedLM
from sbert_model.passes import grouped
from sbert_model.precision import Precision
from sbert_model.predict import Predictor
from sbert_model.tokenizer import A, C, Ids
from sbert_model.workers import WorkerPool
from tests.models import randomise, tiny_config, write_random_masked_lm

CPU = torch.device("cpu")
HALVED = "cpu: out of memory: from here on passes are halved until they fit; the run goes on"
AGAIN = "cpu: NaN or infinity in float16: where there is any, windows are read again in float32"
BASES = [np.array(chosen) for chosen in ([0, 299], [64], [1, 100, 200, 290], [150], [299], [7], [0], [130], [64])]
"""Of nine windows, those that are wanted."""


class Shrinking(MaskedLM):
    """Has memory for passes of two windows, once it has done two of more."""

    passes = 0

    def forward(self, ids: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        self.passes += len(ids) > 2
        if self.passes > 2 and len(ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().forward(ids, places)


class Full(MaskedLM):
    """Has no memory at all."""

    def forward(self, ids: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["in this process", "in a worker"])
def pool(request: pytest.FixtureRequest) -> Iterator[list[WorkerPool]]:
    """A pool of one worker in float16, or none."""
    pools = [WorkerPool([CPU], Precision.FLOAT16, threads=1)] if request.param == "in a worker" else []
    yield pools
    for one in pools:
        one.close()


def predictor(network: MaskedLM, pools: list[WorkerPool], precision: Precision = Precision.FLOAT16) -> Predictor:
    return Predictor(network, CPU, precision, remember=0, runner=pools[0].runner(network) if pools else None)


def random_windows(count: int) -> list[Ids]:
    return list(np.random.default_rng(1).integers(6, 10, size=(count, 300), dtype=np.uint8))


def test_groups_have_a_size_that_the_windows_decide() -> None:
    places = np.arange(18).reshape(9, 2)
    assert grouped(places, 1).shape == (9, 1, 2)
    of_four = grouped(places, 4)
    assert of_four.shape == (2, 8, 2)
    np.testing.assert_array_equal(of_four.reshape(-1, 2)[:9], places)
    assert (of_four.reshape(-1, 2)[9:] == places[0]).all()


def test_memory_that_runs_out_halves_the_passes(
    pool: list[WorkerPool], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    windows = random_windows(9)
    config = tiny_config(max_nt=300)
    steady, shrinking = MaskedLM(config), Shrinking(config)
    for network in (steady, shrinking):
        randomise(network)
    results = {}
    for per_pass in (2, 8):
        monkeypatch.setattr(predict, "windows_per_pass", lambda _, per_pass=per_pass: per_pass)
        results[per_pass] = predictor(steady, pool).log_probs(windows, BASES)
    assert not caplog.records
    asked = predictor(shrinking, pool)
    asked.fit()
    before = asked.log_probs(windows[:8], BASES[:8])  # its second pass of eight, and the last
    assert not caplog.records
    finish = [asked.start(windows, BASES), asked.start(windows[::-1], BASES[::-1])]
    after = [finish[0](), finish[1]()[::-1]]
    assert [record.getMessage() for record in caplog.records] == [HALVED]
    for number, wanted in enumerate(BASES):
        # Passes of two windows have the bits of a run that had two in a pass from the start.
        for of_run in after:
            np.testing.assert_array_equal(of_run[number][wanted], results[2][number][wanted])
        if number < 8:
            np.testing.assert_array_equal(before[number][wanted], results[8][number][wanted])
        np.testing.assert_allclose(results[2][number][wanted], results[8][number][wanted], rtol=0, atol=0.1)


def test_no_room_for_one_window(pool: list[WorkerPool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "windows_per_pass", lambda _: 4)
    asked = predictor(Full(tiny_config(hidden=8, heads=1, layers=1, max_nt=300)), pool)
    with pytest.raises(DeviceError, match=r"^cpu: has no memory for one window of 300 nt; choose --device cpu$"):
        asked.log_probs(random_windows(1))


def overflowing(folder: Path, weight: float) -> MaskedLM:
    """A network that multiplies some of its activations by a large weight and normalises them then."""
    network = load_masked_lm(write_random_masked_lm(folder, max_nt=300)).network
    with torch.no_grad():
        network.bert.get_submodule("encoder.layer.0.attention.output.dense").get_parameter("weight").mul_(weight)
    return network


def test_what_float16_cannot_hold_is_read_again_in_float32(
    pool: list[WorkerPool], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    windows, bases = random_windows(3), BASES[:3]
    exact = Predictor(overflowing(tmp_path, 1e6), CPU).log_probs(windows, bases)
    asked = predictor(overflowing(tmp_path, 1e6), pool)
    for _ in range(2):
        for found, expected in zip(asked.log_probs(windows, bases), exact, strict=True):
            np.testing.assert_array_equal(found, expected)
    assert np.isfinite(exact[0][bases[0]]).all()
    assert [record.getMessage() for record in caplog.records] == [AGAIN]


def test_what_float32_cannot_hold_is_no_number(pool: list[WorkerPool], tmp_path: Path) -> None:
    found = predictor(overflowing(tmp_path, 1e38), pool).log_probs(random_windows(3), BASES[:3])
    assert all(np.isnan(of_window).all() for of_window in found)


def test_one_infinite_logit_leaves_no_probabilities(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not even where the others would be finite, as they are when one class counts as impossible."""
    network = load_masked_lm(write_random_masked_lm(tmp_path, max_nt=300)).network
    with torch.no_grad():
        network.cls.predictions.decoder.bias[C] = -torch.inf
        assert network.cls.predictions.decoder.bias[A].isfinite()
    (found,) = Predictor(network, CPU).log_probs(random_windows(1))
    assert np.isnan(found).all()
    assert not caplog.records
