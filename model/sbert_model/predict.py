"""Windows in, log-probabilities per base out: which blocks of which windows run, and a memory of those seen last."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sbert_model.device import windows_per_pass
from sbert_model.encoder import BLOCK, block_starts
from sbert_model.errors import ModelError
from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.passes import DeviceRunner, Logits, Pass
from sbert_model.tokenizer import Ids

LogProbs = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
REMEMBERED = 4096
"""Windows that a Predictor remembers: 64 MiB of logits at 1,024 nt."""
_PLACES_PER_WINDOW = 2
"""Of a group of places, for each window of a pass of several; KL-context asks for 4 or 5 blocks of a window."""
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
    ) -> None:
        """`remember`: how many of the windows seen last are kept with their result, about 16 KB for each 1,024 nt."""
        self._runner = DeviceRunner(network, device, dtype)
        self.network = network
        self.device = device
        self.dtype = dtype
        self.windows_per_pass = windows_per_pass(device)
        self.windows_served = 0
        self.windows_run = 0
        self.passes_run = 0
        self._remember = remember
        self._logits: OrderedDict[bytes, Logits] = OrderedDict()

    def log_probs(self, windows: Sequence[Ids], positions: Sequence[Indices] | None = None) -> list[LogProbs]:
        """Log-probabilities (W, classes) at the bases of each window of ids (W,), without [CLS] and [SEP].

        positions: for each window the bases that are wanted, by default all; the rows of others are NaN. Classes are
        A, C, G, T for a masked language model (softmax over these four alone), all labels for a token classifier.
        Windows may differ in length. Equal windows run once and share one array, which is read-only.
        Raises ModelError for a window longer than the network reads.
        """
        keys = [window.tobytes() for window in windows]
        asked = _merged(keys, windows, positions)
        known = {key: self._logits[key] for key in asked if key in self._logits}
        missing = {key: blocks for key, one in asked.items() if (blocks := _missing_blocks(one, known.get(key)))}
        self._run(missing, asked, known)
        self._keep(known)
        self.windows_served += len(windows)
        results = {key: _log_softmax(logits, asked[key].wanted) for key, logits in known.items()}
        return [results[key] for key in keys]

    def _run(self, missing: dict[bytes, list[int]], asked: dict[bytes, "_Asked"], known: dict[bytes, Logits]) -> None:
        """Run the blocks that are missing of windows, and write their logits into `known`."""
        batches = list(self._batches(missing))
        passes = [
            self._pass([asked[key].window for key in batch], [missing[key] for key in batch]) for batch in batches
        ]
        for batch, logits in zip(batches, self._runner.run(passes), strict=True):
            places = iter(logits)
            for key in batch:
                of_window = known.setdefault(key, np.full((len(key), logits.shape[-1]), np.nan, dtype=np.float32))
                for block, place in zip(missing[key], places, strict=False):
                    _write_block(of_window, block, place)
        self.passes_run += len(batches)
        self.windows_run += len(missing)

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

    def _pass(self, windows: list[Ids], blocks: list[list[int]]) -> Pass:
        """A pass of the one shape, filled up with repeats."""
        places = [(row, block) for row, of_row in enumerate(blocks) for block in of_row]
        together = 1 if self.windows_per_pass == 1 else _PLACES_PER_WINDOW * self.windows_per_pass
        places += places[:1] * (-len(places) % together)
        filling = [windows[0]] * (self.windows_per_pass - len(windows))
        return Pass(np.stack(windows + filling), np.array(places, dtype=np.int64).reshape(-1, together, 2))

    def _keep(self, logits: dict[bytes, Logits]) -> None:
        """Remember these windows as the ones used last, and forget the oldest."""
        for key, value in logits.items():
            self._logits[key] = value
            self._logits.move_to_end(key)
        while len(self._logits) > self._remember:
            self._logits.popitem(last=False)


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


def _missing_blocks(asked: _Asked, known: Logits | None) -> list[int]:
    """Numbers of the blocks that hold wanted bases whose logits are not known."""
    missing = asked.wanted if known is None else asked.wanted & np.isnan(known[:, 0])
    return sorted(set(((np.flatnonzero(missing) + _CLS) // BLOCK).tolist()))


def _write_block(logits: Logits, block: int, of_block: Logits) -> None:
    """Write a block's logits (S, classes) to the bases (W, classes) that are its own, for blocks may overlap."""
    start = block_starts(len(logits) + _SPECIALS)[block]
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
