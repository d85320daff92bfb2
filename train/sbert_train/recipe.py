"""What a pretraining run is asked for: the size of the network, how it is trained, and for how long."""

import math
import time
from dataclasses import dataclass, field

from sbert_model.errors import InputError


@dataclass(frozen=True, slots=True)
class Architecture:
    """The size of the network; max_nt: its longest sequence in nucleotides. The defaults are SpliceBERT's."""

    hidden_size: int = 512
    layers: int = 6
    heads: int = 16
    ffn: int = 2048
    max_nt: int = 1024
    dropout: float = 0.1
    initializer_range: float = 0.02


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained; at least one of max_steps and max_hours says when it ends.

    sequence_length: see `parse_stages`. batch_tokens: tokens per optimizer step.
    """

    sequence_length: str = "1024"
    batch_tokens: int = 16_384
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warmup_steps: int = 100
    max_steps: int | None = None
    max_hours: float | None = None
    checkpoint_steps: int = 500
    bfloat16: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the run: crops of `length` nucleotides until `until`, a fraction of the whole run."""

    length: int
    until: float


def parse_stages(text: str) -> list[Stage]:
    """Read "1024", or "128:0.6,1024:0.4": sequence lengths in nt, each with its share of the run.

    Raises InputError for anything else and for shares that do not add up to 1.
    """
    stages: list[Stage] = []
    until = 0.0
    for part in text.split(","):
        length, _, share = part.partition(":")
        try:
            until += float(share) if share else 1.0
            stages.append(Stage(int(length), until))
        except ValueError:
            raise InputError(f"sequence length {text!r}: give a number such as 1024, or 128:0.6,1024:0.4") from None
    if not math.isclose(until, 1.0, abs_tol=1e-6) or any(stage.length < 1 for stage in stages):
        raise InputError(f"sequence length {text!r}: give positive lengths whose shares add up to 1")
    return stages


@dataclass(slots=True)
class Budget:
    """A number of optimizer steps, or of hours, whichever ends first; what depends on how much of it is used up.

    spent: seconds that the earlier parts of a resumed run took.
    """

    max_steps: int | None
    max_hours: float | None
    spent: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """Return the seconds that the run has taken, earlier parts included."""
        return self.spent + time.monotonic() - self._started

    def progress(self, step: int) -> float:
        """Return how much of the run is done after `step` steps: 0 to 1."""
        by_steps = step / self.max_steps if self.max_steps else 0.0
        by_time = self.seconds() / (3600 * self.max_hours) if self.max_hours else 0.0
        return min(1.0, max(by_steps, by_time))

    def sequence_length(self, stages: list[Stage], step: int) -> int:
        """Return the crop length (nt) of batch number `step`."""
        done = self.progress(step)
        return next((stage.length for stage in stages if done < stage.until), stages[-1].length)

    def learning_rate_factor(self, step: int, warmup: int) -> float:
        """Return the factor of the learning rate: a linear warm-up, then half a cosine down to 0 at the run's end."""
        return min(1.0, (step + 1) / max(1, warmup)) * 0.5 * (1 + math.cos(math.pi * self.progress(step)))
