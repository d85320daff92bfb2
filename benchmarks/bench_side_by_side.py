"""Passes one after the other, each with all CPU threads, against passes side by side: time of a pass, by turns.

Windows are random, and every pass asks for what KL-context of a substitution does. The logits are compared.

Run: python benchmarks/bench_side_by_side.py [--threads N] [--passes 16] [--turns 4]
"""

import argparse
import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is imported

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model")]

from roofline import timed  # noqa: E402

from sbert_model.device import use_cpu_threads  # noqa: E402
from sbert_model.encoder import BLOCK  # noqa: E402
from sbert_model.network import MaskedLM  # noqa: E402
from sbert_model.passes import DeviceRunner, Pass, grouped  # noqa: E402
from sbert_model.precision import Precision  # noqa: E402
from tests.models import randomise, tiny_config  # noqa: E402

CPU = torch.device("cpu")
SHAPES = {
    "published configuration, 1,024 nt": (512, 16, 1024),
    "published configuration, 510 nt": (512, 16, 510),
    "bundled model's shape, 1,024 nt": (256, 8, 1024),
}
"""Hidden size, heads, window."""


def measure(hidden: int, heads: int, length: int, passes: int, turns: int) -> tuple[list[float], list[float]]:
    """Seconds of all passes, turn by turn: one after the other, and side by side."""
    network = MaskedLM(tiny_config(hidden=hidden, heads=heads, layers=6, max_nt=length))
    randomise(network)
    runner = DeviceRunner(network, CPU, Precision.FLOAT32)
    numbers = np.random.default_rng(0)
    blocks = np.arange(length // 2 // BLOCK - 2, length // 2 // BLOCK + 2)
    places = grouped(np.stack([np.zeros_like(blocks), blocks], axis=1), 1)
    asked = [Pass(numbers.integers(6, 10, size=(1, length), dtype=np.uint8), places) for _ in range(passes)]

    def all_at_once() -> object:
        return runner.submit(asked)()

    alone, together = [], []
    for _ in range(turns + 1):  # the first warms up
        seconds, one_by_one = timed(lambda: [runner.submit([one])()[0] for one in asked], CPU)
        alone.append(seconds)
        seconds, side_by_side = timed(all_at_once, CPU)
        together.append(seconds)
        np.testing.assert_array_equal(one_by_one, side_by_side)
    return alone[1:], together[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--passes", type=int, default=16)
    parser.add_argument("--turns", type=int, default=4)
    options = parser.parse_args()
    threads = use_cpu_threads(options.threads)
    for name, shape in SHAPES.items():
        alone, together = measure(*shape, options.passes, options.turns)
        ratios = [one / other for one, other in zip(alone, together, strict=True)]
        of_pass = (1e3 * statistics.median(times) / options.passes for times in (alone, together))
        print(
            f"{name}, {threads} threads: {' and '.join(f'{ms:.0f}' for ms in of_pass)} ms a pass, one after the other "
            f"and side by side; ratio {min(ratios):.2f} to {max(ratios):.2f}, the same bits",
            flush=True,
        )


if __name__ == "__main__":
    main()
