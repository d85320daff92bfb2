"""Forward passes on one device: token ids in, logits at the places that were asked for out."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.tokenizer import Ids, with_specials

Logits = npt.NDArray[np.float32]


class Pass(NamedTuple):
    """One forward pass: windows (B, W), and places (groups, n, 2) int64 in them with [CLS] and [SEP] (Encoder.at)."""

    windows: Ids
    places: npt.NDArray[np.int64]


class Runner(Protocol):
    """Where passes are run."""

    def run(self, passes: Iterable[Pass]) -> list[Logits]:
        """Logits (groups · n, S, classes) of each pass, in the order of its places."""


class DeviceRunner:
    """Runs passes of a network on one device. It takes the network over: moves it to `device` and `dtype`."""

    def __init__(self, network: MaskedLM | TokenClassifier, device: torch.device, dtype: torch.dtype) -> None:
        self.network = network.to(device=device, dtype=dtype)
        self.network.bert.fuse()
        self.device = device

    def run(self, passes: Iterable[Pass]) -> list[Logits]:
        """Logits (groups · n, S, classes) of each pass, in the order of its places.

        On a GPU all passes are queued before the first result is waited for, so that copies and kernels overlap.
        Raises torch.OutOfMemoryError where a pass does not fit the device.
        """
        with torch.inference_mode():
            queued = [self._queue(with_specials(windows), places) for windows, places in passes]
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        return [logits.numpy() for logits in queued]

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
