"""Windows in, log-probabilities per base out: which blocks of which windows run, and a memory of those seen last."""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sbert_model.device import default_batch_size, windows_per_pass
from sbert_model.encoder import BLOCK, block_start, number_of_blocks
from sbert_model.errors import DeviceError, ModelError
from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.passes import DeviceRunner, Logits, Pass, Runner, grouped, no_room
from sbert_model.precision import Precision
from sbert_model.tokenizer import Ids, N

LogProbs = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Finish = Callable[[], list[LogProbs]]
FinishAt = Callable[[], LogProbs]
LOGGER = logging.getLogger(__name__)
REMEMBERED = 4096
"""Windows that a Predictor remembers: 64 MiB of logits at 1,024 nt."""
_CLS, _SPECIALS = 1, 2


class Predictor:
    """Runs a network over windows. It takes the network over: moves it to `device`.

    The log-probabilities of a base depend neither on the windows that travel with its own nor on what else is asked of
    it. Matrix kernels choose their blocking, and with it the order of float32 sums, by the shape of the whole batch: a
    network of two layers differs by up to 5e-5 in its logits between batches of 1 and 2 windows of 7 tokens. A sum of
    logarithms of divergences as small as 1e-6 shows that. So every pass on a device has the same number of windows, the
    last one filled up with repeats of its first window: one window on a CPU, where larger batches are no faster,
    several on a GPU. The same holds of the blocks in which the last layer is computed.
    """

    def __init__(
        self,
        network: MaskedLM | TokenClassifier,
        device: torch.device,
        precision: Precision = Precision.FLOAT32,
        remember: int = REMEMBERED,
        runner: Runner | None = None,
    ) -> None:
        """`remember`: how many of the windows seen last are kept with their result, about 16 KB for each 1,024 nt.

        runner: where the passes run, by default in this process.
        """
        self._runner = runner or DeviceRunner(network, device, precision)
        self.network = network
        self.device = device
        self.precision = precision
        self.windows_per_pass = windows_per_pass(device)
        self.windows_served = 0
        self.windows_run = 0
        self.passes_run = 0
        self._remember = remember
        self._logits: OrderedDict[bytes, Logits] = OrderedDict()
        self._blocks: dict[bytes, int] = {}

    @property
    def default_batch_size(self) -> int:
        """How many alleles to gather for all devices."""
        return default_batch_size(self.device, self._runner.width)

    def fit(self) -> None:
        """Halve the windows of a pass, where it has several, until the longest fit the device's memory.

        To be called before the first pass: results of passes of different sizes differ in their last bits. Raises
        DeviceError for a device that is too small for one window.
        """
        window = np.full(self.network.config.max_nucleotides, N, dtype=np.uint8)
        every_block = (1 << number_of_blocks(len(window) + _SPECIALS)) - 1
        wanted = self.windows_per_pass
        while wanted > 1:
            trial = self._pass([window] * self.windows_per_pass, [every_block] * self.windows_per_pass, whole=True)
            try:
                self._runner.submit([trial] * self._runner.width)()
                break
            except torch.OutOfMemoryError as error:
                if self.windows_per_pass == 1:
                    raise DeviceError(no_room(self.device, len(window))) from error
                self.windows_per_pass //= 2
        if self.windows_per_pass < wanted:
            LOGGER.warning(
                "%s: little memory: %d windows in a pass instead of %d", self.device, self.windows_per_pass, wanted
            )

    def log_probs(self, windows: Sequence[Ids], positions: Sequence[Indices] | None = None) -> list[LogProbs]:
        """Log-probabilities (W, classes) at the bases of each window of ids (W,), without [CLS] and [SEP].

        positions: for each window the bases that are wanted, by default all; the rows of others are NaN. Classes are
        A, C, G, T for a masked language model (softmax over these four alone), all labels for a token classifier.
        Windows may differ in length. Equal windows run once and share one array, which is read-only.
        Raises ModelError for a window longer than the network reads.
        """
        return self.start(windows, positions)()

    def start(self, windows: Sequence[Ids], positions: Sequence[Indices] | None = None) -> Finish:
        """Let windows be read; the function that comes back waits for what `log_probs` returns.

        Functions are to be called in the order in which they came, each once; a thread other than the one that starts
        may do it.
        """
        keys = [window.tobytes() for window in windows]
        asked = _merged(keys, windows, positions)
        finish_at = self.start_at([one.window for one in asked.values()], [one.bases for one in asked.values()])
        self.windows_served += len(windows) - len(asked)

        def finish() -> list[LogProbs]:
            found, first = finish_at(), 0
            results: dict[bytes, LogProbs] = {}
            for key, (window, bases) in asked.items():
                of_window = results[key] = np.full((len(window), found.shape[1]), np.nan)  # (W, classes)
                of_window[bases] = found[first : first + len(bases)]
                of_window.setflags(write=False)
                first += len(bases)
            return [results[key] for key in keys]

        return finish

    def start_at(self, windows: Sequence[Ids], positions: Sequence[Indices]) -> FinishAt:
        """Let windows be read at some of their bases; what comes back waits for their log-probabilities, all in one.

        That is (bases, classes), those of the first window first, in the order of its positions. For the rest as
        `start`.
        """
        keys = [window.tobytes() for window in windows]
        wanted: dict[bytes, int] = {}
        for key, bases in zip(keys, positions, strict=True):
            wanted[key] = wanted.get(key, 0) | _blocks_of(bases.tobytes())
        distinct = dict(zip(keys, windows, strict=True))
        missing = {key: blocks & ~self._blocks.get(key, 0) for key, blocks in wanted.items()}
        missing = {key: blocks for key, blocks in missing.items() if blocks}
        batches = list(self._batches(missing))
        passes = [self._pass([distinct[key] for key in batch], [missing[key] for key in batch]) for batch in batches]
        logits = {key: self._logits[key] if key in self._logits else self._empty(len(key)) for key in wanted}
        self._keep(logits, missing)
        collect = self._runner.submit(passes)
        self.windows_served += len(windows)
        self.windows_run += len(missing)
        self.passes_run += len(passes)

        def finish() -> LogProbs:
            for batch, of_pass in zip(batches, collect(), strict=True):
                first = 0
                for key in batch:
                    first += _write_blocks(logits[key], missing[key], of_pass[first:])
            return _log_softmax([logits[key] for key in keys], positions, self.network.num_classes)

        return finish

    def _empty(self, length: int) -> Logits:
        return np.empty((length, self.network.num_classes), dtype=np.float32)

    def _batches(self, keys: Iterable[bytes]) -> Iterator[list[bytes]]:
        """Keys of windows of one length, as many as make one pass or fewer."""
        by_length: defaultdict[int, list[bytes]] = defaultdict(list)
        for key in keys:
            by_length[len(key)].append(key)
        longest = max(by_length, default=0)
        if longest > self.network.config.max_nucleotides:
            raise ModelError(
                f"a window of {longest} nucleotides does not fit a model that reads at most "
                f"{self.network.config.max_nucleotides}"
            )
        for of_length in by_length.values():
            for start in range(0, len(of_length), self.windows_per_pass):
                yield of_length[start : start + self.windows_per_pass]

    def _pass(self, windows: list[Ids], blocks: list[int], *, whole: bool = False) -> Pass:
        """A pass of the one shape, filled up with repeats."""
        places = [(row, block) for row, of_row in enumerate(blocks) for block in _numbers(of_row)]
        filling = [windows[0]] * (self.windows_per_pass - len(windows))
        ids = np.concatenate(windows + filling).reshape(self.windows_per_pass, -1)  # (B, W)
        return Pass(ids, grouped(np.array(places), self.windows_per_pass), whole)

    def _keep(self, logits: dict[bytes, Logits], blocks: dict[bytes, int]) -> None:
        """Remember these windows, with the blocks that are started now, as the ones used last; forget the oldest."""
        for key, value in logits.items():
            self._blocks[key] = self._blocks.get(key, 0) | blocks.get(key, 0)
            self._logits[key] = value
            self._logits.move_to_end(key)
        while len(self._logits) > self._remember:
            oldest, _ = self._logits.popitem(last=False)
            del self._blocks[oldest]


class _Asked(NamedTuple):
    """A window, and which of its bases are wanted, ascending."""

    window: Ids
    bases: Indices


def _merged(keys: list[bytes], windows: Sequence[Ids], positions: Sequence[Indices] | None) -> dict[bytes, _Asked]:
    """All that is asked of each distinct window."""
    windows_by_key = dict(zip(keys, windows, strict=True))
    if positions is None:
        return {key: _Asked(window, np.arange(len(window))) for key, window in windows_by_key.items()}
    wanted: defaultdict[bytes, list[Indices]] = defaultdict(list)
    for key, bases in zip(keys, positions, strict=True):
        wanted[key].append(bases)
    return {key: _Asked(window, np.unique(np.concatenate(wanted[key]))) for key, window in windows_by_key.items()}


@lru_cache(maxsize=1 << 14)
def _blocks_of(bases: bytes) -> int:
    """Return the blocks that hold bases, as the bits of a number.

    The bases are given as the bytes of their indices: most alleles have their flanks at the same ones.
    """
    blocks = set(((np.frombuffer(bases, dtype=np.intp) + _CLS) // BLOCK).tolist())
    return sum(1 << block for block in blocks)


@lru_cache(maxsize=1 << 14)
def _numbers(blocks: int) -> tuple[int, ...]:
    """Return the numbers of the blocks that are the bits of a number."""
    return tuple(number for number in range(blocks.bit_length()) if blocks >> number & 1)


def _write_blocks(logits: Logits, blocks: int, of_blocks: Logits) -> int:
    """Write logits (n, S, classes), the first of a pass, to the bases (W, classes) of blocks; returns their number."""
    tokens = of_blocks.reshape(-1, of_blocks.shape[2])  # (n · S, classes)
    for first, last, of_first in _runs(blocks, len(logits)):
        logits[first:last] = tokens[of_first : of_first + last - first]
    return blocks.bit_count()


@lru_cache(maxsize=1 << 14)
def _runs(blocks: int, length: int) -> list[tuple[int, int, int]]:
    """Where the bases that are the blocks' own lie: [first, last) in a window, and the first of them in the blocks.

    Blocks may overlap. Neighbours that do not are one run.
    """
    runs: list[tuple[int, int, int]] = []
    size = min(BLOCK, length + _SPECIALS)
    for number, block in enumerate(_numbers(blocks)):
        own = max(block * BLOCK, _CLS)
        first, last = own - _CLS, min((block + 1) * BLOCK, length + _CLS) - _CLS
        of_first = number * size + own - block_start(block, length + _SPECIALS)
        if runs and runs[-1][1] == first and runs[-1][2] + first - runs[-1][0] == of_first:
            first, _, of_first = runs.pop()
        runs.append((first, last, of_first))
    return runs


def _log_softmax(logits: Sequence[Logits], positions: Sequence[Indices], classes: int) -> LogProbs:
    """Log-probabilities (bases, classes) at the positions of each window's logits (W, classes).

    In float64, so that differences of log-probabilities carry no rounding beyond that of the logits. Class by class in
    memory, for a sum over so few neighbours takes longer than all else.
    """
    narrow = np.empty((sum(map(len, positions)), classes), dtype=np.float32)  # (bases, classes)
    first = 0
    for of_window, bases in zip(logits, positions, strict=True):
        of_window.take(bases, axis=0, out=narrow[first : first + len(bases)], mode="clip")  # "raise" would buffer
        first += len(bases)
    wide: LogProbs = narrow.T.astype(np.float64, order="C")  # (classes, bases)
    wide -= wide.max(axis=0, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=0, keepdims=True))
    wide.setflags(write=False)
    log_probs: LogProbs = wide.T
    return log_probs
