"""Forward passes on one device: windows in, logits at the places that were asked for out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.tokenizer import Ids, with_specials

Logits = npt.NDArray[np.float32]
Collect = Callable[[], list[Logits]]
"""Waits for the logits (groups · n, S, classes) of each pass that was submitted, in the order of its places."""


class Pass(NamedTuple):
    """One forward pass: windows (B, W), and places (groups, n, 2) int64 in them with [CLS] and [SEP] (Encoder.at)."""

    windows: Ids
    places: npt.NDArray[np.int64]


class Runner(Protocol):
    """Where passes are run."""

    width: int
    """How many processes share the passes."""

    def submit(self, passes: Sequence[Pass]) -> Collect:
        """Let passes be run. What comes back is to be called once, in the order of submission, by any one thread."""


class DeviceRunner:
    """Runs passes of a network on one device. It takes the network over: moves it to `device` and `dtype`."""

    width = 1

    def __init__(self, network: MaskedLM | TokenClassifier, device: torch.device, dtype: torch.dtype) -> None:
        self.network = network.to(device=device, dtype=dtype)
        self.network.bert.fuse()
        self.device = device

    def submit(self, passes: Sequence[Pass]) -> Collect:
        """Run passes; on a GPU queue them, so that copies, kernels and the work of the CPU overlap.

        Raises torch.OutOfMemoryError where a pass does not fit the device.
        """
        with torch.inference_mode():
            queued = [self._queue(with_specials(windows), places) for windows, places in passes]
        done = None
        if self.device.type == "cuda":
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(torch.cuda.current_stream(self.device))

        def collect() -> list[Logits]:
            if done is not None:
                done.synchronize()
            return [logits.numpy() for logits in queued]

        return collect

    def _queue(self, ids: npt.NDArray[np.int64], places: npt.NDArray[np.int64]) -> Tensor:
        ids_there, places_there = (self._there(torch.from_numpy(array)) for array in (ids, places))
        logits = self.network(ids_there, places_there)[..., self.network.classes]  # (groups, n, S, classes)
        # A copy of its own, for a view would keep all of the pass in memory.
        return self._back(logits.flatten(0, 1).to(torch.float32, copy=True))

    def _there(self, array: Tensor) -> Tensor:
        if self.device.type == "cuda":
            return array.pin_memory().to(self.device, non_blocking=True)
        return array.to(self.device)

    def _back(self, array: Tensor) -> Tensor:
        if self.device.type == "cuda":
            return torch.empty(array.shape, dtype=array.dtype, pin_memory=True).copy_(array, non_blocking=True)
        return array.cpu()
