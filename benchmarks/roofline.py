"""The matrix products that passes of a network consist of, and how long each takes by itself."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sbert_model.config import BertConfig
from sbert_model.encoder import BLOCK
from sbert_model.network import MaskedLM
from sbert_model.passes import Collect, DeviceRunner, Pass
from sbert_model.precision import Precision


class Product(NamedTuple):
    """`count` independent products of (rows, inner) by (inner, columns)."""

    count: int
    rows: int
    inner: int
    columns: int

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        return 2 * self.count * self.rows * self.inner * self.columns


class CountingRunner(DeviceRunner):
    """Counts the passes and the blocks of the last layer by the tokens of a window."""

    def __init__(self, network: MaskedLM, device: torch.device, precision: Precision = Precision.FLOAT32) -> None:
        super().__init__(network, device, precision)
        self.passes: Counter[int] = Counter()
        self.places: Counter[int] = Counter()

    def submit(self, passes: Sequence[Pass]) -> Collect:
        """Run passes as usual."""
        for windows, places, _ in passes:
            tokens = windows.shape[1] + 2
            self.passes[tokens] += len(windows)
            self.places[tokens] += places[..., 0].size
        return super().submit(passes)


def products(config: BertConfig, runner: CountingRunner) -> Counter[Product]:
    """Every matrix product that the runner's passes consist of, with how often it was done.

    The first layer's queries, keys and values are looked up, unless it is the last layer too.
    """
    size, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
    done: Counter[Product] = Counter()
    for tokens, passes in runner.passes.items():
        block = min(BLOCK, tokens)
        full = rest(tokens, tokens, size, inner, heads)
        at_block = [(1, block, size, size), *rest(block, tokens, size, inner, heads), (1, block, size, size)]
        for product in full:
            done[Product(*product)] += passes * (config.num_hidden_layers - 1)
        done[Product(1, tokens, size, 3 * size)] += passes * max(config.num_hidden_layers - 2, 0)
        done[Product(1, tokens, size, 2 * size)] += passes
        for product in at_block:
            done[Product(*product)] += runner.places[tokens]
    return done


def rest(rows: int, tokens: int, size: int, inner: int, heads: int) -> list[tuple[int, int, int, int]]:
    """A layer's products behind the projections, for some rows of a window."""
    return [
        (heads, rows, size // heads, tokens),
        (heads, rows, tokens, size // heads),
        (1, rows, size, size),
        (1, rows, size, inner),
        (1, rows, inner, size),
    ]


def alone(product: Product, device: torch.device) -> float:
    """Seconds of a product by itself, the best of a few."""
    left = torch.randn(product.count, product.rows, product.inner, device=device)
    right = torch.randn(product.count, product.inner, product.columns, device=device)
    multiply: Callable[[], Tensor] = lambda: torch.bmm(left, right)  # noqa: E731
    if product.count == 1:
        multiply = lambda: torch.mm(left[0], right[0])  # noqa: E731
    times = []
    for _ in range(5):
        times.append(timed(multiply, device)[0])
    return min(times)


def clock() -> float:
    """Seconds; with --cpu-time those that this process had a CPU for."""
    return time.process_time() if "--cpu-time" in sys.argv else time.perf_counter()


def timed(work: Callable[[], object], device: torch.device) -> tuple[float, object]:
    """Seconds that some work takes, and its result."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = clock()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started, result
