"""Windows in, log-probabilities per base out: batching, precision and a memory of the windows seen last."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from sbert_model.device import windows_per_pass
from sbert_model.errors import ModelError
from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.tokenizer import Ids, with_specials

LogProbs = npt.NDArray[np.float64]
_Logits = npt.NDArray[np.float32]


class Predictor:
    """Runs a network over windows. It takes the network over: moves it to `device` and `dtype`.

    The log-probabilities of a window do not depend on the windows that travel with it. Matrix kernels choose their
    blocking, and with it the order of float32 sums, by the shape of the whole batch: a network of two layers differs by
    up to 5e-5 in its logits between batches of 1 and 2 windows of 7 tokens. A sum of logarithms of divergences as small
    as 1e-6 shows that. So every pass on a device has the same number of windows, the last one filled up with repeats of
    its first window: one window on a CPU, where larger batches are no faster, several on a GPU.
    """

    def __init__(
        self,
        network: MaskedLM | TokenClassifier,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        remember: int = 256,
    ) -> None:
        """`remember`: how many of the windows seen last are kept with their result, about 16 KB for each 1,024 nt."""
        self.network = network.to(device=device, dtype=dtype)
        self.device = device
        self.dtype = dtype
        self.windows_per_pass = windows_per_pass(device)
        self.windows_served = 0
        self.windows_run = 0
        self.passes_run = 0
        self._remember = remember
        self._logits: OrderedDict[bytes, _Logits] = OrderedDict()

    def log_probs(self, windows: Sequence[Ids]) -> list[LogProbs]:
        """Log-probabilities (W, classes) at every base of each window of ids (W,), without [CLS] and [SEP].

        Classes are A, C, G, T for a masked language model (softmax over these four alone), all labels for a token
        classifier. Windows may differ in length. Equal windows run once and share one array, which is read-only.
        Raises ModelError for a window longer than the network reads.
        """
        keys = [window.tobytes() for window in windows]
        found = {key: self._logits[key] for key in keys if key in self._logits}
        missing = {key: window for key, window in zip(keys, windows, strict=True) if key not in found}
        for batch in self._batches(missing):
            found.update(zip(batch, self._run([missing[key] for key in batch]), strict=True))
        self._keep(found)
        self.windows_served += len(windows)
        results = {key: _log_softmax(logits) for key, logits in found.items()}
        return [results[key] for key in keys]

    def _batches(self, windows: dict[bytes, Ids]) -> Iterator[list[bytes]]:
        """Keys of windows of one length, as many as make one pass or fewer."""
        by_length: defaultdict[int, list[bytes]] = defaultdict(list)
        for key, window in windows.items():
            by_length[len(window)].append(key)
        longest = max(by_length, default=0)
        if longest > self.network.config.max_nucleotides:
            raise ModelError(
                f"a window of {longest} nucleotides does not fit a model that reads at most "
                f"{self.network.config.max_nucleotides}"
            )
        for keys in by_length.values():
            for start in range(0, len(keys), self.windows_per_pass):
                yield keys[start : start + self.windows_per_pass]

    def _run(self, windows: list[Ids]) -> list[_Logits]:
        """One forward pass: logits (W, classes) of each window."""
        filling = [windows[0]] * (self.windows_per_pass - len(windows))
        tokens = torch.from_numpy(with_specials(np.stack(windows + filling)))  # (B, W + 2)
        with torch.inference_mode():
            logits = self.network(tokens.to(self.device))[:, 1:-1, self.network.classes]  # (B, W, classes)
            # Copied row by row, for a view would keep the whole pass in memory for as long as one window is remembered.
            rows = [row.to("cpu", torch.float32, copy=True).numpy() for row in logits[: len(windows)]]
        self.passes_run += 1
        self.windows_run += len(windows)
        return rows

    def _keep(self, logits: dict[bytes, _Logits]) -> None:
        """Remember these windows as the ones used last, and forget the oldest."""
        for key, value in logits.items():
            self._logits[key] = value
            self._logits.move_to_end(key)
        while len(self._logits) > self._remember:
            self._logits.popitem(last=False)


def _log_softmax(logits: _Logits) -> LogProbs:
    """In float64, so that differences of log-probabilities carry no rounding beyond that of the logits."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    wide.setflags(write=False)
    return wide
