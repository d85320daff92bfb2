"""Tokens per second of `train pretrain` on the CPU, beside a plain loop over transformers' model with its own loss.

Both train a model of the same size on batches of the same shape, a step of one after a step of the other. The plain
loop repeats one batch that is there already: it pays for nothing but the network. All that happens between two of its
steps, making batches and reporting included, counts for `train pretrain`. Then the padding of stage 2.

Run: python benchmarks/bench_pretrain.py [STEPS]     (default 40; the ratio of the median steps counts)
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model"), str(ROOT / "train")]
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from sbert_model.device import use_cpu_threads  # noqa: E402
from sbert_train.batches import Batch, CropBatches, Crops  # noqa: E402
from sbert_train.config import Config  # noqa: E402
from sbert_train.corpus import Corpus, open_corpus  # noqa: E402
from sbert_train.pretrain import build_model, pretrain  # noqa: E402
from sbert_train.trainer import Conductor  # noqa: E402
from tests.memory_corpus import memory_corpus, piece  # noqa: E402
from tests.tiny_corpus import write_tiny_corpus  # noqa: E402

WARM_UP = 3  # steps that do not count
SIZE: dict[str, Any] = {"hidden_size": 256, "layers": 4, "heads": 8, "ffn": 1024}
CROP, ROWS = 256, 8


class PlainLoop:
    """Forward with transformers' own loss, backward, clip, AdamW; always the same batch."""

    def __init__(self, config: Config, batch: Batch) -> None:
        self._model = build_model(config)
        self._model.train()
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=config.learning_rate, fused=True)
        self._max_grad_norm = config.max_grad_norm
        self._batch = batch

    def step(self) -> None:
        """Train one step."""
        self._model(**self._batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._max_grad_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()


def measure(corpus: Corpus, config: Config, run: Path) -> tuple[list[float], list[float]]:
    """Return the seconds of each step of a run, and of the step of the plain loop that follows it."""
    crops = Crops(CROP, CROP, config.batch_tokens)
    plain = PlainLoop(config, CropBatches(corpus.training, corpus.weights, crops, 0)[0])
    ours: list[float] = []
    theirs: list[float] = []
    ended = [time.perf_counter()]
    original = Conductor.on_step_end

    def on_step_end(conductor: Conductor, *arguments: Any, **more: Any) -> None:
        original(conductor, *arguments, **more)
        began = time.perf_counter()
        plain.step()
        ours.append(began - ended[-1])
        ended.append(time.perf_counter())
        theirs.append(ended[-1] - began)

    setattr(Conductor, "on_step_end", on_step_end)  # noqa: B010
    pretrain(corpus, config, run)
    return ours[WARM_UP:], theirs[WARM_UP:]


def padding(shortest: int, longest: int, batch_tokens: int) -> float:
    """Return the share of places that hold no token, over 256 batches of crops of genes of 20,000 nt."""
    bases = np.random.default_rng(0).choice(list("ACGT"), (40, 20_000))
    corpus = memory_corpus([piece("".join(gene)) for gene in bases], [])
    batches = CropBatches(corpus.training, corpus.weights, Crops(shortest, longest, batch_tokens), 0)
    sizes = [batches.size(number) for number in range(256)]
    return 1 - sum(size.tokens for size in sizes) / sum(size.places for size in sizes)


def main() -> None:
    """Measure and print."""
    steps = WARM_UP + (int(sys.argv[1]) if len(sys.argv) > 1 else 40)
    tokens = ROWS * (CROP + 2)
    config = Config(
        **SIZE,
        shortest_crop=CROP,
        longest_crop=CROP,
        batch_tokens=tokens,
        max_steps=steps,
        log_steps=10,
        evaluation_steps=10 * steps,
        checkpoint_steps=10 * steps,
        validation_tokens=300,
    )
    use_cpu_threads(None)
    with tempfile.TemporaryDirectory() as name:
        corpus = open_corpus(write_tiny_corpus(Path(name), pieces=600))
        ours, theirs = map(statistics.median, measure(corpus, config, Path(name) / "run"))
        print(f"train pretrain               {tokens / ours:10,.0f} tokens/s")
        print(f"plain loop over transformers {tokens / theirs:10,.0f} tokens/s")
        print(f"ratio                        {theirs / ours:10.3f}")
        for tokens in (16_384, 131_072):
            share = padding(64, 1024, tokens)
            print(f"padding of stage 2 (64 to 1,024 nt), batches of {tokens:,} tokens: {share:.2%}")


if __name__ == "__main__":
    main()
