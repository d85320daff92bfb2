"""Passes side by side: how threads are shared, what is cancelled, and the bits that come out."""

import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest
import torch

from sbert_model import side_by_side
from sbert_model.checkpoint import load_masked_lm
from sbert_model.compute import Compute
from sbert_model.errors import DeviceError
from sbert_model.network import MaskedLM
from sbert_model.passes import DeviceRunner, Pass, grouped
from sbert_model.precision import Precision
from sbert_model.predict import Predictor
from sbert_model.side_by_side import SideBySide
from tests.models import write_random_masked_lm

CPU = torch.device("cpu")
PATIENCE = 60


@pytest.fixture
def three_threads() -> None:
    torch.set_num_threads(3)


@pytest.fixture(autouse=True)
def threads_as_before() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> MaskedLM:
    folder = write_random_masked_lm(tmp_path_factory.mktemp("models") / "mlm", hidden=256, heads=8, max_nt=300)
    return load_masked_lm(folder).network


@pytest.mark.parametrize(("threads", "pieces", "share"), [(8, 1, 8), (8, 3, 2), (8, 20, 1), (40, 2, 20), (40, 30, 2)])
@pytest.mark.skipif(not side_by_side._SAME_BITS, reason="PyTorch without MKL: every pass has one thread")
def test_how_threads_are_shared(threads: int, pieces: int, share: int) -> None:
    pool = SideBySide(threads)
    pool._unfinished = pieces - 1
    assert pool.submit(torch.get_num_threads).result(PATIENCE) == share


def test_threads_of_others_stay_as_they_are() -> None:
    torch.set_num_threads(3)
    before = torch.__config__.parallel_info()
    pool = SideBySide(3)
    both = threading.Barrier(2)  # so that neither gets all threads
    for future in [pool.submit(lambda: both.wait(PATIENCE)) for _ in range(2)]:
        future.result(PATIENCE)
    pool._executor.shutdown()
    assert torch.get_num_threads() == 3
    assert torch.__config__.parallel_info() == before  # MKL's as well
    with ThreadPoolExecutor(1) as new:
        assert new.submit(torch.get_num_threads).result(PATIENCE) == 3


def test_without_mkl_every_pass_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "_SAME_BITS", False)
    assert SideBySide(8).submit(torch.get_num_threads).result(PATIENCE) == 1


def test_errors_and_cancelled_work_are_no_longer_counted() -> None:
    pool = SideBySide(2)
    go_on = threading.Event()
    running = [pool.submit(lambda: go_on.wait(PATIENCE)) for _ in range(2)]
    waiting = pool.submit(lambda: 1)
    failing = pool.submit(lambda: 1 // 0)
    assert waiting.cancel()
    go_on.set()
    assert all(future.result(PATIENCE) for future in running)
    with pytest.raises(CancelledError):
        waiting.result(PATIENCE)
    with pytest.raises(ZeroDivisionError):
        failing.result(PATIENCE)
    assert pool._unfinished == 0


@pytest.mark.usefixtures("three_threads")
def test_the_bits_of_one_thread(network: MaskedLM) -> None:
    windows = list(np.random.default_rng(0).integers(5, 10, size=(40, 300), dtype=np.uint8))
    predictor = Predictor(network, CPU, remember=0)
    finish = [predictor.start(windows[first : first + 7]) for first in range(0, 40, 7)]
    found = [result for one in finish for result in one()]
    torch.set_num_threads(1)
    for result, known in zip(found, Predictor(network, CPU).log_probs(windows), strict=True):
        np.testing.assert_array_equal(result, known)


@pytest.mark.usefixtures("three_threads")
def test_an_error_comes_when_answers_are_collected(network: MaskedLM, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DeviceError("broken")

    monkeypatch.setattr(MaskedLM, "forward", fail)
    one = Pass(np.full((1, 300), 6, dtype=np.uint8), grouped(np.array([[0, 0]]), 1))
    collect = DeviceRunner(network, CPU, Precision.FLOAT32).submit([one])
    with pytest.raises(DeviceError, match=r"^broken$"):
        collect()


@pytest.mark.usefixtures("three_threads")
def test_what_waits_is_dropped_at_the_end(network: MaskedLM, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    begun: list[object] = []
    forward = MaskedLM.forward

    def wait(network: MaskedLM, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        begun.append(ids)
        assert go_on.wait(PATIENCE)
        return forward(network, ids, places)

    monkeypatch.setattr(MaskedLM, "forward", wait)
    compute = Compute([CPU], Precision.FLOAT32)
    predictor = compute.predictor(network)
    finish = predictor.start(list(np.random.default_rng(0).integers(6, 10, size=(9, 300), dtype=np.uint8)))
    compute.close()
    go_on.set()
    with pytest.raises(CancelledError):
        finish()
    assert len(begun) <= 3
