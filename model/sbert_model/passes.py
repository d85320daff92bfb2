"""Forward passes on one device: windows in, logits at the places that were asked for out, whatever goes wrong there."""

import copy
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sbert_model.errors import DeviceError
from sbert_model.graphs import Forward, Graphs
from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.precision import Precision
from sbert_model.side_by_side import side_by_side
from sbert_model.tokenizer import Ids, with_specials

if TYPE_CHECKING:
    from sbert_model.split import SplitNetwork

Logits = npt.NDArray[np.float32]
Collect = Callable[[], list[Logits]]
"""Waits for the logits (groups · n, S, classes) of each pass that was submitted, in the order of its places."""
Say = Callable[[str], None]
LOGGER = logging.getLogger(__name__)
_PLACES_PER_WINDOW = 2
"""Of a group of places, for each window of a pass of several; KL-context asks for 4 or 5 blocks of a window."""


class Pass(NamedTuple):
    """One forward pass: windows (B, W), and places (groups, n, 2) int64 in them with [CLS] and [SEP] (Encoder.at).

    whole: it is not to be halved where the device has no memory for it.
    """

    windows: Ids
    places: npt.NDArray[np.int64]
    whole: bool = False


class Runner(Protocol):
    """Where passes are run."""

    width: int
    """How many processes share the passes."""

    def submit(self, passes: Sequence[Pass]) -> Collect:
        """Let passes be run. What comes back is to be called once, in the order of submission, by any one thread.

        A pass that the device has no memory for is run in halves, and so are those that follow. Logits that are not
        finite in half precision are computed again in float32; those that are not finite then either become NaN.
        Raises DeviceError for a window that does not fit the device by itself, and torch.OutOfMemoryError for a pass
        that has to stay whole.
        """


def warn_once() -> Say:
    """A function that warns, of every text once."""
    return cache(LOGGER.warning)


def grouped(places: npt.NDArray[np.int64], windows: int) -> npt.NDArray[np.int64]:
    """Places (places, 2) of a pass of so many windows as (groups, n, 2): n depends on the number of windows alone.

    The last group is filled up with repeats of the first place.
    """
    together = 1 if windows == 1 else _PLACES_PER_WINDOW * windows
    filling = places[:1].repeat(-len(places) % together, axis=0)
    return np.concatenate([places, filling]).reshape(-1, together, 2)


class _Part(NamedTuple):
    """The numbers of some places of a pass, and their logits (places or more, S, classes), maybe not there yet."""

    places: npt.NDArray[np.intp]
    logits: Tensor


class DeviceRunner:
    """Runs passes of a network on one device. It takes the network over: moves it to `device`.

    say: told, once each, what was run in another way than asked for.
    """

    width = 1

    def __init__(
        self,
        network: MaskedLM | TokenClassifier,
        device: torch.device,
        precision: Precision,
        say: Say | None = None,
    ) -> None:
        self.device = device
        self._say = say or warn_once()
        self._precision = precision
        # Weights that were rounded once would not give what float32 gives.
        in_halves = precision not in (Precision.FLOAT32, Precision.FLOAT64)
        self._unrounded = copy.deepcopy(network) if in_halves else None
        self._in_float32: DeviceRunner | None = None
        self._room: int | None = None
        self._queued: set[Future[list[_Part]]] = set()
        network.to(device=device, dtype=precision.dtype)
        network.bert.fuse()
        self.network = self._split(network) if precision is Precision.SPLIT else network
        self._classes = network.classes
        self._logits: Forward = Graphs(self._run) if device.type == "cuda" else self._run

    def submit(self, passes: Sequence[Pass]) -> Collect:
        """Queue passes: on a GPU so that kernels and the work of the CPU overlap, on a CPU side by side. See Runner."""
        if self.device.type == "cpu" and (threads := torch.get_num_threads()) > 1:
            return self._submit_to_threads(passes, threads)
        here = torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()
        with torch.inference_mode(), here:
            queued = [self._queue(one, np.arange(one.places[..., 0].size)) for one in passes]
        done = None
        if self.device.type == "cuda":
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(torch.cuda.current_stream(self.device))

        def collect() -> list[Logits]:
            if done is not None:
                done.synchronize()
            return [self._finite(_joined(parts), one) for parts, one in zip(queued, passes, strict=True)]

        return collect

    def close(self) -> None:
        """Drop what no thread has begun."""
        for future in self._queued:
            future.cancel()

    def _submit_to_threads(self, passes: Sequence[Pass], threads: int) -> Collect:
        pool = side_by_side(threads)
        futures = [pool.submit(partial(self._in_thread, one)) for one in passes]
        self._queued.update(futures)

        def collect() -> list[Logits]:
            done = [self._finite(_joined(future.result()), one) for future, one in zip(futures, passes, strict=True)]
            self._queued.difference_update(futures)
            return done

        return collect

    def _in_thread(self, one: Pass) -> list[_Part]:
        with torch.inference_mode():
            return self._queue(one, np.arange(one.places[..., 0].size))

    def _queue(self, one: Pass, places: npt.NDArray[np.intp]) -> list[_Part]:
        """Run a pass, in halves where the device has no memory for all of it; places: numbers of its first places."""
        count = len(one.windows)
        if self._room is None or count <= self._room:
            logits = self._attempt(one)
            if logits is not None:
                return [_Part(places, logits)]
            self._room = count // 2
            self._say(f"{self.device}: out of memory: from here on passes are halved until they fit; the run goes on")
        flat = one.places.reshape(-1, 2)[: len(places)]  # (places, 2)
        parts = []
        for first, stop in ((0, count // 2), (count // 2, count)):
            (mine,) = np.nonzero((flat[:, 0] >= first) & (flat[:, 0] < stop))
            if len(mine):
                its_places = grouped(flat[mine] - np.array([first, 0]), stop - first)
                parts += self._queue(Pass(one.windows[first:stop], its_places), places[mine])
        return parts

    def _attempt(self, one: Pass) -> Tensor | None:
        """Logits of a pass; None where the device has no memory for it and it may be halved."""
        try:
            return self._forward(one)
        except torch.OutOfMemoryError as error:
            if one.whole:
                raise
            if len(one.windows) == 1:
                raise DeviceError(no_room(self.device, one.windows.shape[1])) from error
            return None

    def _forward(self, one: Pass) -> Tensor:
        arrays = (with_specials(one.windows), one.places)
        ids, places = (self._there(torch.from_numpy(array)) for array in arrays)
        return self._back(self._logits(ids, places))

    def _run(self, ids: Tensor, places: Tensor) -> Tensor:
        logits = self.network(ids, places)[..., self._classes]  # (groups, n, S, classes)
        # A copy of its own, for a view would keep all of the pass in memory.
        return logits.flatten(0, 1).to(torch.float32, copy=True)

    def _finite(self, logits: Logits, one: Pass) -> Logits:
        """Logits (places, S, classes) of a pass, computed again in float32 if any is not finite; those at last NaN."""
        finite = np.isfinite(logits).all(axis=-1, keepdims=True)  # (places, S, 1)
        if finite.all():
            return logits
        if self._unrounded is not None:
            self._say(
                f"{self.device}: NaN or infinity in {self._precision.value}: where there is any, "
                "windows are read again in float32"
            )
            if self._in_float32 is None:
                self._in_float32 = DeviceRunner(self._unrounded, self.device, Precision.FLOAT32, self._say)
            return self._in_float32.submit([one])()[0]
        return np.where(finite, logits, np.float32(np.nan))

    def _split(self, network: MaskedLM | TokenClassifier) -> "MaskedLM | TokenClassifier | SplitNetwork":
        from sbert_model.split import SplitNetwork, unsuitable  # Triton is there on GPUs only

        reason = unsuitable(network.config)
        if reason is None:
            return SplitNetwork(network)
        self._say(f"{self.device}: {reason}: float32 instead of split")
        return network

    def _there(self, array: Tensor) -> Tensor:
        if self.device.type == "cuda":
            return array.pin_memory().to(self.device, non_blocking=True)
        return array.to(self.device)

    def _back(self, array: Tensor) -> Tensor:
        if self.device.type == "cuda":
            return torch.empty(array.shape, dtype=array.dtype, pin_memory=True).copy_(array, non_blocking=True)
        return array.cpu()


def _joined(parts: list[_Part]) -> Logits:
    """The logits of a pass, in the order of its places."""
    if len(parts) == 1:
        return parts[0].logits.numpy()
    order = np.concatenate([part.places for part in parts]).argsort()
    return np.concatenate([part.logits.numpy()[: len(part.places)] for part in parts])[order]


def no_room(device: torch.device, length: int) -> str:
    """Tell that a device is too small."""
    return f"{device}: has no memory for one window of {length} nt; choose --device cpu"
