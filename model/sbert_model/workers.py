"""Several devices: passes shared out among processes, one for each device.

The processes are started by hand and not by multiprocessing, which would import the user's own main module in each.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from typing import NamedTuple

import torch

from sbert_model.device import use_cpu_threads
from sbert_model.errors import DeviceError
from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.passes import Collect, DeviceRunner, Logits, Pass, Runner, warn_once
from sbert_model.precision import Precision

_QUEUED = 2  # requests that a worker starts before it answers the first: its device has something to do meanwhile
_MEMORY_BUDGET = 0.9
"""Share of a GPU's free memory that a worker may take."""
_PATIENCE = 2.0
"""Seconds that a dead worker may take to be one."""


class _Start(NamedTuple):
    """What a worker is told first."""

    device: torch.device
    precision: Precision
    threads: int


class _Request(NamedTuple):
    """Passes of one of the networks that the worker was given."""

    network: int
    passes: list[Pass]


class _Answer(NamedTuple):
    """What became of a request, and what there is to say of passes up to it."""

    logits: list[Logits]
    said: list[str]


class _Failure(NamedTuple):
    """Why a worker could not run passes."""

    reason: str
    out_of_memory: bool


class _Worker:
    """A process that runs passes on one device; requests are answered in their order."""

    def __init__(self, start: _Start) -> None:
        self._name = str(start.device)
        self._connection, theirs = Pipe()
        with theirs:
            # Not by the current folder, which Python would put first.
            code = "import sys; sys.path = list(filter(None, sys.path)); from sbert_model.workers import serve"
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"{code}; serve({theirs.fileno()})"],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self.send(start)

    def send(self, message: object) -> None:
        """Send anything; the process may still be busy with what it was sent before."""
        try:
            self._connection.send_bytes(pickle.dumps(message))
        except OSError as error:
            raise self._dead() from error

    def answer(self) -> _Answer | _Failure:
        """Wait for the answer to the oldest request."""
        try:
            answer = pickle.loads(self._connection.recv_bytes())  # noqa: S301 - from our own process
        except (EOFError, OSError) as error:
            raise self._dead() from error
        assert isinstance(answer, (_Answer, _Failure))
        return answer

    def close(self) -> None:
        """End the process; what it is doing is lost."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _dead(self) -> DeviceError:
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return DeviceError(f"{self._name}: the worker process {self._process.pid} does not answer")
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return DeviceError(
            f"{self._name}: the worker process {self._process.pid} died ({how}); the run stops: if memory was short, "
            "use fewer workers"
        )


class WorkerPool:
    """One process for each device, which share the passes of one or more networks; each gets every width-th pass.

    threads: CPU threads of each process. Raises DeviceError where a process dies. Use `close` in the end.
    """

    def __init__(self, devices: Sequence[torch.device], precision: Precision, threads: int) -> None:
        self.width = len(devices)
        self._networks = 0
        self._say = warn_once()
        self._workers: list[_Worker] = []
        try:
            for device in devices:
                self._workers.append(_Worker(_Start(device, precision, threads)))
        except BaseException:
            self.close()
            raise

    def runner(self, network: MaskedLM | TokenClassifier) -> Runner:
        """Give every process the network."""
        for worker in self._workers:
            worker.send(network)
        self._networks += 1
        return _PoolRunner(self, self._networks - 1)

    def submit(self, network: int, passes: Sequence[Pass]) -> Collect:
        """Let passes of the network with this number be run; see Runner."""
        shares = [list(passes[first :: self.width]) for first in range(self.width)]
        asked = [(worker, share) for worker, share in zip(self._workers, shares, strict=True) if share]
        for worker, share in asked:
            worker.send(_Request(network, share))

        def collect() -> list[Logits]:
            # All of them before one fails, so that the next request meets its own answers.
            answers = [worker.answer() for worker, _ in asked]
            results = [iter(self._checked(answer)) for answer in answers]
            return [next(results[number % self.width]) for number in range(len(passes))]

        return collect

    def _checked(self, answer: _Answer | _Failure) -> list[Logits]:
        if isinstance(answer, _Failure):
            raise (torch.OutOfMemoryError if answer.out_of_memory else DeviceError)(answer.reason)
        for text in answer.said:
            self._say(text)
        return answer.logits

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.close()
        self._workers = []


class _PoolRunner:
    """The Runner of one network of a pool."""

    def __init__(self, pool: WorkerPool, network: int) -> None:
        self.width = pool.width
        self._pool = pool
        self._network = network

    def submit(self, passes: Sequence[Pass]) -> Collect:
        return self._pool.submit(self._network, passes)


def serve(descriptor: int) -> None:
    """Be a worker: answer the requests that come through a socket until its other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    with Connection(descriptor) as connection, contextlib.suppress(EOFError, ConnectionError):
        start = _received(connection)
        assert isinstance(start, _Start)
        use_cpu_threads(start.threads)
        if start.device.type == "cuda":
            free, total = torch.cuda.mem_get_info(start.device)
            torch.cuda.set_per_process_memory_fraction(_MEMORY_BUDGET * free / total, start.device)
        _answer(connection, start)


def _answer(connection: Connection, start: _Start) -> None:
    runners: list[DeviceRunner] = []
    said: list[str] = []
    started: deque[Callable[[], list[Logits]]] = deque()
    while True:
        if started and not (len(started) < _QUEUED and connection.poll()):
            connection.send_bytes(pickle.dumps(_outcome(started.popleft(), said, start.device)))
            said.clear()
            continue
        message = _received(connection)
        if isinstance(message, _Request):
            started.append(_started(runners[message.network], message.passes))
        else:
            assert isinstance(message, (MaskedLM, TokenClassifier))
            runners.append(DeviceRunner(message, start.device, start.precision, said.append))


def _started(runner: DeviceRunner, passes: list[Pass]) -> Collect:
    """Run passes; whatever is wrong is raised by what comes back, when it is this request's turn."""
    try:
        return runner.submit(passes)
    except (RuntimeError, DeviceError) as error:
        failed = error.with_traceback(None)  # which holds the memory of the attempt

    def fail() -> list[Logits]:
        raise failed

    return fail


def _outcome(collect: Collect, said: list[str], device: torch.device) -> _Answer | _Failure:
    try:
        return _Answer(collect(), said)
    except DeviceError as error:
        return _Failure(str(error), out_of_memory=False)
    except RuntimeError as error:
        reason = f"{device}: {str(error).splitlines()[0]}"
        return _Failure(reason, isinstance(error, torch.OutOfMemoryError))


def _received(connection: Connection) -> object:
    message: object = pickle.loads(connection.recv_bytes())  # noqa: S301 - from our own process
    return message
