"""The devices of a run: networks on them, in this process or in workers."""

from collections.abc import Sequence

import torch

from sbert_model.device import available_cores
from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.passes import DeviceRunner
from sbert_model.precision import Precision
from sbert_model.predict import Predictor
from sbert_model.workers import WorkerPool


class Compute:
    """Makes predictors that share devices. One CPU or MPS device works in this process; use `close` in the end.

    A GPU has a worker process even when it is alone: there no other thread takes turns with the one that feeds it.
    threads: CPU threads of all workers together, by default all cores that may be used.
    """

    def __init__(self, devices: Sequence[torch.device], precision: Precision, threads: int | None = None) -> None:
        self.devices = ",".join(dict.fromkeys(map(str, devices)))
        self._device = devices[0]
        self._precision = precision
        self._runners: list[DeviceRunner] = []
        self._pool: WorkerPool | None = None
        if len(devices) > 1 or devices[0].type == "cuda":
            of_each = max((threads or available_cores()) // len(devices), 1)
            self._pool = WorkerPool(devices, precision, of_each)

    def predictor(self, network: MaskedLM | TokenClassifier) -> Predictor:
        """Put a network on the devices."""
        if self._pool is not None:
            return Predictor(network, self._device, self._precision, runner=self._pool.runner(network))
        runner = DeviceRunner(network, self._device, self._precision)
        self._runners.append(runner)
        return Predictor(network, self._device, self._precision, runner=runner)

    def close(self) -> None:
        """End the workers, or drop what waits in this process."""
        for runner in self._runners:
            runner.close()
        if self._pool is not None:
            self._pool.close()
