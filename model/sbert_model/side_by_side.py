"""Passes side by side on a CPU: two with a thread each are faster than one with both, which wait for each other.

Their bits are the same where PyTorch multiplies with MKL in the mode that `use_cpu_threads` sets. Elsewhere sums may
depend on the number of threads, so that every pass gets one and no more.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

_Result = TypeVar("_Result")
_MOST = 16
"""Passes at a time: each takes some 60 MB. With more threads, several share a pass."""
_SAME_BITS = bool(torch.backends.mkl.is_available())  # type: ignore[no-untyped-call]
"""Whether a pass may have any number of threads."""


class SideBySide:
    """Runs work in threads that share a number of CPU threads; fewer pieces of work get more of them each."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._width = min(threads, _MOST) if _SAME_BITS else threads
        self._executor = ThreadPoolExecutor(self._width, thread_name_prefix="pass")
        self._unfinished = 0
        self._lock = threading.Lock()

    def submit(self, work: Callable[[], _Result]) -> "Future[_Result]":
        """Let work be done; it may be cancelled until a thread begins it."""
        with self._lock:
            self._unfinished += 1
        future = self._executor.submit(self._run, work)
        future.add_done_callback(self._finished)
        return future

    def _run(self, work: Callable[[], _Result]) -> _Result:
        torch.set_num_threads(self._share())  # of this thread, and of threads that are still to come
        return work()

    def _share(self) -> int:
        if not _SAME_BITS:
            return 1
        with self._lock:
            return self._threads // min(self._unfinished, self._width)

    def _finished(self, _: "Future[_Result]") -> None:
        with self._lock:
            self._unfinished -= 1
            if self._unfinished == 0:
                torch.set_num_threads(self._threads)  # of those to come


@cache
def side_by_side(threads: int) -> SideBySide:
    """What all networks in this process share, for a number of CPU threads."""
    return SideBySide(threads)
