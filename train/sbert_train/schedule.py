"""How long a run lasts, and the learning rate on its way."""

import math
import time
from dataclasses import dataclass, field

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from sbert_train.config import Config


@dataclass(slots=True)
class Budget:
    """A number of optimizer steps, or of hours, whichever ends first.

    seconds: what the run had taken, earlier parts included, when it was last noted. Only that counts, not the running
    clock, so that the processes of a run agree on it.
    """

    max_steps: int | None
    max_hours: float | None
    seconds: float = 0.0
    _start: float = field(init=False)

    def __post_init__(self) -> None:
        self._start = time.monotonic() - self.seconds

    def clock(self) -> float:
        """Return the seconds that the run has taken by now, earlier parts included."""
        return time.monotonic() - self._start

    def progress(self, step: int) -> float:
        """Return how much of the run is done after `step` steps: 0 to 1."""
        by_steps = step / self.max_steps if self.max_steps else 0.0
        by_time = self.seconds / (3600 * self.max_hours) if self.max_hours else 0.0
        return min(1.0, max(by_steps, by_time))


def cosine_factor(step: int, warmup: int, progress: float) -> float:
    """Return the factor of the learning rate: a linear warm-up, times half a cosine down to 0 at the run's end."""
    return min(1.0, (step + 1) / max(1, warmup)) * 0.5 * (1 + math.cos(math.pi * progress))


def make_scheduler(optimizer: Optimizer, config: Config, budget: Budget) -> LRScheduler:
    """Return the scheduler of `config`; the plateau one is stepped with each validation loss, the other each step."""
    if config.schedule == "plateau":
        # "Has not improved for n evaluations": PyTorch's patience is the number it still tolerates.
        return ReduceLROnPlateau(optimizer, factor=0.5, patience=config.plateau_evaluations - 1, threshold=0)
    return LambdaLR(optimizer, lambda step: cosine_factor(step, config.warmup_steps, budget.progress(step)))
