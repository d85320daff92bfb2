"""Worker processes answer as one device does, in order, and what becomes of them is said."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sbert_model import predict
from sbert_model.checkpoint import load_masked_lm, load_token_classifier
from sbert_model.compute import Compute
from sbert_model.errors import DeviceError
from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.passes import Logits
from sbert_model.precision import Precision
from sbert_model.predict import Predictor
from sbert_model.tokenizer import Ids
from sbert_model.workers import WorkerPool, _Failure, _outcome
from tests.models import write_random_masked_lm, write_random_token_classifier

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> MaskedLM:
    folder = tmp_path_factory.mktemp("models") / "mlm"
    return load_masked_lm(write_random_masked_lm(folder, hidden=256, heads=8, max_nt=300)).network


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> TokenClassifier:
    folder = tmp_path_factory.mktemp("models") / "classifier"
    return load_token_classifier(write_random_token_classifier(folder, max_nt=100)).network


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool([CPU, CPU], Precision.FLOAT32, threads=1)
    yield pool
    pool.close()


def random_windows(count: int, length: int, seed: int = 0) -> list[Ids]:
    return list(np.random.default_rng(seed).integers(5, 10, size=(count, length), dtype=np.uint8))


def test_two_workers_equal_one_bit_for_bit(network: MaskedLM, classifier: TokenClassifier, pool: WorkerPool) -> None:
    networks = ((network, random_windows(7, 300)), (classifier, random_windows(3, 100)))
    torch.set_num_threads(2)
    alone = [Predictor(network, CPU).log_probs(windows) for network, windows in networks]
    shared = [Predictor(network, CPU, runner=pool.runner(network)) for network, _ in networks]
    # Several questions at a time, to both networks.
    asked = [
        (which, number, shared[which].start([window]))
        for number in range(7)
        for which, (_, windows) in enumerate(networks)
        for window in windows[number : number + 1]
    ]
    for which, number, finish in asked:
        np.testing.assert_array_equal(finish()[0], alone[which][number])
    together = Predictor(network, CPU, runner=pool.runner(network))
    bases = [np.array([5, 150]), *[np.array([number]) for number in range(6)]]
    for got, full, wanted in zip(together.log_probs(networks[0][1], bases), alone[0], bases, strict=True):
        np.testing.assert_array_equal(got[wanted], full[wanted])
    assert together.default_batch_size == 2 * Predictor(network, CPU).default_batch_size
    assert together.log_probs([]) == []


class Failing(MaskedLM):
    """Fails in its own ways."""

    def forward(self, ids: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        if len(ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.\nAnd more.")
        if bool((ids == 4).any()):
            raise RuntimeError("an illegal memory access was encountered")
        return super().forward(ids, places)


def test_failures_of_a_worker_come_back(network: MaskedLM, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "windows_per_pass", lambda _: 8)
    failing = Failing(network.config)
    predictor = Predictor(failing, CPU, runner=pool.runner(failing))
    predictor.fit()
    assert predictor.windows_per_pass == 2
    predictor.log_probs(random_windows(3, 300))
    with pytest.raises(DeviceError, match=r"^cpu: an illegal memory access was encountered$"):
        predictor.log_probs([np.full(300, 4, dtype=np.uint8)])


@pytest.mark.parametrize(
    ("error", "reason", "out_of_memory"),
    [
        (DeviceError("cuda:0: a window does not fit"), "cuda:0: a window does not fit", False),
        (RuntimeError("an illegal memory access\nand more"), "cpu: an illegal memory access", False),
        (torch.OutOfMemoryError("CUDA out of memory."), "cpu: CUDA out of memory.", True),
    ],
)
def test_what_fails_only_when_the_answer_is_fetched(error: Exception, reason: str, out_of_memory: bool) -> None:
    def collect() -> list[Logits]:
        raise error

    assert _outcome(collect, [], CPU) == _Failure(reason, out_of_memory)


def test_a_worker_that_is_killed(network: MaskedLM, pool: WorkerPool) -> None:
    predictor = Predictor(network, CPU, remember=0, runner=pool.runner(network))
    windows = random_windows(4, 300)
    predictor.log_probs(windows)
    victim = pool._workers[1]._process.pid
    os.kill(victim, signal.SIGKILL)
    died = rf"cpu: the worker process {victim} died \(killed by SIGKILL\); the run stops"
    for _ in range(2):
        with pytest.raises(DeviceError, match=died):
            predictor.log_probs(windows)


def test_one_cpu_needs_no_process() -> None:
    compute = Compute([CPU], Precision.FLOAT32)
    assert compute.devices == "cpu"
    assert compute._pool is None
    compute.close()


def test_threads_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int]] = []

    class Pool:
        def __init__(self, devices: list[torch.device], precision: Precision, threads: int) -> None:
            told.append((",".join(map(str, devices)), threads))

    monkeypatch.setattr("sbert_model.compute.WorkerPool", Pool)
    Compute([CPU] * 3, Precision.FLOAT32, 8)
    Compute([CPU] * 3, Precision.FLOAT32, 2)
    gpus = Compute([torch.device("cuda", index) for index in (0, 2)], Precision.FLOAT32, 4)
    Compute([torch.device("cuda", 0)], Precision.FLOAT32, 4)
    assert told == [("cpu,cpu,cpu", 2), ("cpu,cpu,cpu", 1), ("cuda:0,cuda:2", 2), ("cuda:0", 4)]
    assert gpus.devices == "cuda:0,cuda:2"


def test_the_processes_end_with_the_pool(tmp_path: Path) -> None:
    pool = WorkerPool([CPU], Precision.FLOAT32, threads=1)
    pid = pool._workers[0]._process.pid
    pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    pool.close()
