"""What a run reports while it goes on: lines of JSON in a file, and a progress bar or lines for the eye."""

import json
import logging
import sys
from pathlib import Path
from typing import TextIO

import torch
from tqdm import tqdm

from sbert_train.batches import Size
from sbert_train.schedule import Budget

_LOG = logging.getLogger(__name__)


class Reporter:
    """Writes metrics.jsonl and shows how far the run is.

    A training line has step, seconds, tokens (so far), loss (mean since the line before, nats per masked base),
    learning_rate, grad_norm, tokens_per_second (since the line before, evaluations and checkpoints not counted),
    padding (share of the places) and, on a GPU, memory_gb (the most allocated so far); a validation line has step,
    seconds, tokens and validation_loss. Padding counts as no token, [CLS] and [SEP] do.
    """

    def __init__(self, path: Path, budget: Budget, step: int, tokens: int, stream: TextIO | None = None) -> None:
        self._file = path.open("a")
        self._budget = budget
        self.tokens = tokens
        self._window = Size(0, 0)
        self._window_start = budget.clock()
        stream = stream or sys.stderr
        self._terminal = stream.isatty()
        self._bar = tqdm(
            total=budget.max_steps, initial=step, unit="step", file=stream, disable=not self._terminal, smoothing=0.05
        )
        self._shown: dict[str, str] = {}

    def step(self, size: Size) -> None:
        """Count a step and what its batch held."""
        self.tokens += size.tokens
        self._window = Size(self._window.tokens + size.tokens, self._window.places + size.places)
        self._bar.update()

    def restart_window(self) -> None:
        """Leave the time up to now out of tokens per second."""
        self._window_start = self._budget.clock() if not self._window.tokens else self._window_start

    def training(self, step: int, loss: float, learning_rate: float, grad_norm: float | None) -> None:
        """Report the steps since the last call."""
        speed = self._window.tokens / max(self._budget.clock() - self._window_start, 1e-9)
        padding = 1 - self._window.tokens / max(self._window.places, 1)
        line = {
            "step": step,
            "seconds": round(self._budget.clock(), 3),
            "tokens": self.tokens,
            "loss": loss,
            "learning_rate": learning_rate,
            "grad_norm": grad_norm,
            "tokens_per_second": round(speed, 1),
            "padding": round(padding, 5),
        }
        if torch.cuda.is_available():
            line["memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 3)
        self._write(line)
        self._window = Size(0, 0)
        self.restart_window()
        self._show(step, loss=f"{loss:.4f}", lr=f"{learning_rate:.2g}", tok_s=f"{speed:,.0f}", pad=f"{padding:.1%}")
        if not self._terminal:
            _LOG.info("step %d: %s", step, ", ".join(f"{name} {value}" for name, value in self._shown.items()))

    def validation(self, step: int, loss: float) -> None:
        """Report an evaluation."""
        seconds = round(self._budget.clock(), 3)
        self._write({"step": step, "seconds": seconds, "tokens": self.tokens, "validation_loss": loss})
        self._show(step, val=f"{loss:.4f}")
        if not self._terminal:
            _LOG.info("step %d: validation loss %.4f", step, loss)

    def close(self) -> None:
        """Close the file and the bar."""
        self._bar.close()
        self._file.close()

    def _write(self, line: dict[str, float | None]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def _show(self, step: int, **values: str) -> None:
        self._shown |= {**values, "ETA": _time_left(self._budget, step)}
        self._bar.set_postfix(self._shown)


def _time_left(budget: Budget, step: int) -> str:
    progress = budget.progress(step)
    if not progress:
        return "?"
    return str(tqdm.format_interval(budget.clock() * (1 - progress) / progress))
