"""Windows in, log-probabilities per base out: which blocks of which windows run, and a memory of those seen last."""

import logging
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sbert_model.device import default_batch_size, windows_per_pass
from sbert_model.encoder import BLOCK, block_start, number_of_blocks
from sbert_model.errors import DeviceError, ModelError
from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.passes import DeviceRunner, Logits, Pass, Runner, grouped, no_room
from sbert_model.tokenizer import Ids, N

LogProbs = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Finish = Callable[[], list[LogProbs]]
LOGGER = logging.getLogger(__name__)
REMEMBERED = 4096
"""Windows that a Predictor remembers: 64 MiB of logits at 1,024 nt."""
_CLS, _SPECIALS = 1, 2


class Predictor:
    """Runs a network over windows. It takes the network over: moves it to `device` and `dtype`.

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
        dtype: torch.dtype = torch.float32,
        remember: int = REMEMBERED,
        runner: Runner | None = None,
    ) -> None:
        """`remember`: how many of the windows seen last are kept with their result, about 16 KB for each 1,024 nt.

        runner: where the passes run, by default in this process.
        """
        self._runner = runner or DeviceRunner(network, device, dtype)
        self.network = network
        self.device = device
        self.dtype = dtype
        self.windows_per_pass = windows_per_pass(device)
        self.windows_served = 0
        self.windows_run = 0
        self.passes_run = 0
        self._remember = remember
        self._logits: OrderedDict[bytes, Logits] = OrderedDict()
        self._blocks: dict[bytes, set[int]] = {}

    @property
    def default_batch_size(self) -> int:
        """How many alleles to gather, so that few passes run part-filled and every device has some."""
        return default_batch_size(self.device) * self._runner.width

    def fit(self) -> None:
        """Halve the windows of a pass, where it has several, until the longest fit the device's memory.

        To be called before the first pass: results of passes of different sizes differ in their last bits. Raises
        DeviceError for a device that is too small for one window.
        """
        window = np.full(self.network.config.max_nucleotides, N, dtype=np.uint8)
        every_block = list(range(number_of_blocks(len(window) + _SPECIALS)))
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
        missing = {key: blocks for key, one in asked.items() if (blocks := self._missing_blocks(key, one.wanted))}
        batches = list(self._batches(missing))
        passes = [
            self._pass([asked[key].window for key in batch], [missing[key] for key in batch]) for batch in batches
        ]
        logits = {key: self._logits[key] if key in self._logits else self._empty(len(key)) for key in asked}
        self._keep(logits, missing)
        collect = self._runner.submit(passes)
        self.windows_served += len(windows)
        self.windows_run += len(missing)
        self.passes_run += len(passes)

        def finish() -> list[LogProbs]:
            for batch, of_pass in zip(batches, collect(), strict=True):
                places = iter(of_pass)
                for key in batch:
                    for block, of_block in zip(missing[key], places, strict=False):
                        _write_block(logits[key], block, of_block)
            results = {key: _log_softmax(logits[key], one.wanted) for key, one in asked.items()}
            return [results[key] for key in keys]

        return finish

    def _missing_blocks(self, key: bytes, wanted: npt.NDArray[np.bool_]) -> list[int]:
        """Numbers of the blocks that hold wanted bases and were not started."""
        blocks = set(((np.flatnonzero(wanted) + _CLS) // BLOCK).tolist())
        return sorted(blocks - self._blocks[key] if key in self._logits else blocks)

    def _empty(self, length: int) -> Logits:
        return np.full((length, self.network.num_classes), np.nan, dtype=np.float32)

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

    def _pass(self, windows: list[Ids], blocks: list[list[int]], *, whole: bool = False) -> Pass:
        """A pass of the one shape, filled up with repeats."""
        places = [(row, block) for row, of_row in enumerate(blocks) for block in of_row]
        filling = [windows[0]] * (self.windows_per_pass - len(windows))
        return Pass(np.stack(windows + filling), grouped(np.array(places), self.windows_per_pass), whole)

    def _keep(self, logits: dict[bytes, Logits], blocks: dict[bytes, list[int]]) -> None:
        """Remember these windows, with the blocks that are started now, as the ones used last; forget the oldest."""
        for key, value in logits.items():
            started = self._blocks[key] if key in self._logits else set()
            self._blocks[key] = started | set(blocks.get(key, ()))
            self._logits[key] = value
            self._logits.move_to_end(key)
        while len(self._logits) > self._remember:
            oldest, _ = self._logits.popitem(last=False)
            del self._blocks[oldest]


class _Asked(NamedTuple):
    """A window, and which of its bases are wanted, (W,) bool."""

    window: Ids
    wanted: npt.NDArray[np.bool_]


def _merged(keys: list[bytes], windows: Sequence[Ids], positions: Sequence[Indices] | None) -> dict[bytes, _Asked]:
    """All that is asked of each distinct window."""
    asked: dict[bytes, _Asked] = {}
    for number, (key, window) in enumerate(zip(keys, windows, strict=True)):
        one = asked.setdefault(key, _Asked(window, np.zeros(len(window), dtype=np.bool_)))
        one.wanted[slice(None) if positions is None else positions[number]] = True
    return asked


def _write_block(logits: Logits, block: int, of_block: Logits) -> None:
    """Write a block's logits (S, classes) to the bases (W, classes) that are its own, for blocks may overlap."""
    start = block_start(block, len(logits) + _SPECIALS)
    first = max(block * BLOCK, _CLS)
    last = min((block + 1) * BLOCK, len(logits) + _CLS)
    logits[first - _CLS : last - _CLS] = of_block[first - start : last - start]


def _log_softmax(logits: Logits, wanted: npt.NDArray[np.bool_]) -> LogProbs:
    """In float64, so that differences of log-probabilities carry no rounding beyond that of the logits."""
    result = np.full(logits.shape, np.nan)  # (W, classes)
    wide = logits[wanted].astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    result[wanted] = wide
    result.setflags(write=False)
    return result
