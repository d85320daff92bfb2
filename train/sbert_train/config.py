"""What a pretraining run is asked for: one flat set of named values, from a YAML or TOML file and the command line."""

import difflib
import sys
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml

from sbert_model.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RESUMABLE = ("max_steps", "max_hours", "early_stop", "accumulation", "gradient_checkpointing", "workers", "threads")
"""Fields that a resumed run may change: when it ends, and how its work is laid out on the machine."""


def _value(
    default: Any,
    meaning: str,
    *,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    limits = {"least": least, "above": above, "below": below, "most": most}
    return field(default=default, metadata={"help": meaning, "limits": limits, "choices": choices})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A pretraining run. The defaults are stage 1 of SpliceBERT as published (Chen et al. 2024), where it says.

    Raises InputError for values out of range and for values that do not go together.
    """

    hidden_size: int = _value(512, "Width of the network.", least=1)
    layers: int = _value(6, "Transformer layers.", least=1)
    heads: int = _value(16, "Attention heads per layer.", least=1)
    ffn: int = _value(2048, "Width of the feed-forward layers.", least=1)
    max_nt: int = _value(1024, "Longest sequence that the model reads, nt.", least=1)
    dropout: float = _value(0.1, "Dropout of hidden states and of attention.", least=0, below=1)
    init: str = _value(
        "random",
        "First weights; offset-heads: the first two layers copy fixed neighbours, for little compute.",
        choices=("random", "offset-heads"),
    )
    initializer_range: float = _value(0.02, "Standard deviation of the first weights.", above=0)

    shortest_crop: int = _value(510, "Shortest crop, nt; lengths are uniform from here to longest_crop.", least=1)
    longest_crop: int = _value(510, "Longest crop, nt.", least=1)
    random_positions: bool = _value(False, "Lay each crop at a random place on the model's positions.")
    batch_tokens: int = _value(16_384, "Tokens per optimizer step, over all processes.", least=3)
    mask_rate: float = _value(0.15, "Share of the nucleotides to be named.", above=0, most=1)
    repeat_weight: float = _value(
        1.0, "How often soft-masked repeats are drawn, relative to the rest.", least=0, most=1
    )

    soft_targets: str | None = _value(None, "Folder made by train soft-targets: learn from its probabilities as well.")
    soft_share: float = _value(
        0.8, "Share of the soft targets in the loss; the true bases have the rest.", least=0, most=1
    )
    soft_visible: float = _value(
        0.0, "Weight of the soft targets at bases that are not masked, relative to 1 at those that are.", least=0
    )
    soft_focus: float = _value(
        0.0, "Share of the crops that are drawn where soft targets are certain: at repeats.", least=0, most=1
    )
    site_focus: float = _value(0.0, "Share of the crops that are drawn at splice sites.", least=0, most=1)

    learning_rate: float = _value(1e-4, "Highest learning rate of AdamW.", above=0)
    beta2: float = _value(0.999, "AdamW's decay of squared gradients.", least=0, below=1)
    weight_decay: float = _value(0.01, "Weight decay of matrices.", least=0)
    max_grad_norm: float = _value(1.0, "Gradients are clipped to this norm.", above=0)
    schedule: str = _value(
        "plateau",
        "plateau: halve the learning rate when the validation loss stalls; cosine: down to 0 at the run's end.",
        choices=("plateau", "cosine"),
    )
    plateau_evaluations: int = _value(3, "plateau: halve after so many evaluations without improvement.", least=1)
    warmup_steps: int = _value(0, "cosine: steps of linear warm-up.", least=0)
    max_steps: int | None = _value(None, "End after so many optimizer steps.", least=1)
    max_hours: float | None = _value(None, "End after so many hours.", above=0)
    early_stop: int | None = _value(None, "End after so many evaluations without improvement.", least=1)
    seed: int = _value(0, "Of the first weights, crops, masks and dropout.", least=0)

    accumulation: int = _value(1, "Parts of a process's batch, computed one after the other.", least=1)
    gradient_checkpointing: bool = _value(False, "Compute activations twice instead of keeping them.")
    precision: str = _value(
        "auto",
        "auto: bfloat16 where the GPU has it, else float16 with loss scaling; float32 on a CPU. Weights stay float32.",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    compile: bool = _value(False, "Compile the network with torch.compile.")
    workers: int = _value(
        0, "Processes that make batches, per training process; 0: the training process itself.", least=0
    )
    threads: int | None = _value(None, "CPU threads; none given: all it may use.", least=1)

    log_steps: int = _value(50, "Steps between two lines of metrics.jsonl.", least=1)
    evaluation_steps: int = _value(500, "Steps between two evaluations on held-out pieces.", least=1)
    checkpoint_steps: int = _value(500, "Steps between two checkpoints.", least=1)
    validation_tokens: int = _value(262_144, "Tokens of the held-out sample; always the same ones.", least=3)

    def __post_init__(self) -> None:
        for item in fields(self):
            _check(item.name, item.metadata, getattr(self, item.name))
        if self.max_steps is None and self.max_hours is None:
            raise InputError("pretraining needs an end: give max_steps, max_hours or both")
        if self.hidden_size % self.heads:
            raise InputError(f"hidden_size {self.hidden_size} is no multiple of heads {self.heads}")
        if not self.shortest_crop <= self.longest_crop <= self.max_nt:
            raise InputError(
                f"shortest_crop {self.shortest_crop}, longest_crop {self.longest_crop} and max_nt {self.max_nt}: none "
                "may be greater than the next"
            )
        if self.batch_tokens < self.longest_crop + 2:
            raise InputError(f"batch_tokens {self.batch_tokens} has no room for a crop of {self.longest_crop} nt")
        for name in ("evaluation_steps", "checkpoint_steps"):
            if getattr(self, name) % self.log_steps:
                raise InputError(f"{name} {getattr(self, name)} is no multiple of log_steps {self.log_steps}")
        if self.soft_focus + self.site_focus > 1:
            raise InputError(f"soft_focus {self.soft_focus} and site_focus {self.site_focus}: together more than 1")
        for name in ("soft_focus", "soft_visible"):
            if getattr(self, name) and self.soft_targets is None:
                raise InputError(f"{name} goes with soft_targets: give the folder")
        if self.soft_visible and self.mask_rate == 1:
            raise InputError("soft_visible needs bases that are not masked: lower mask_rate")
        if self.schedule == "plateau" and self.warmup_steps:
            raise InputError(f"warmup_steps {self.warmup_steps} goes with schedule cosine, not plateau")


def _check(name: str, metadata: Mapping[str, Any], value: Any) -> None:
    if metadata["choices"] and value not in metadata["choices"]:
        raise InputError(f"{name}: {value!r} is none of {', '.join(metadata['choices'])}")
    limits = metadata["limits"]
    if value is None or isinstance(value, str):
        return
    wanted = {
        "at least": limits["least"] is None or value >= limits["least"],
        "above": limits["above"] is None or value > limits["above"],
        "below": limits["below"] is None or value < limits["below"],
        "at most": limits["most"] is None or value <= limits["most"],
    }
    for (words, holds), limit in zip(wanted.items(), limits.values(), strict=True):
        if not holds:
            raise InputError(f"{name}: {value} has to be {words} {limit}")


def bundled_configs() -> dict[str, Path]:
    """Return the config files that come with the package, by name."""
    folder = Path(str(resources.files("sbert_train"))) / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_config(source: str | None, changes: Mapping[str, object]) -> Config:
    """Read the config called `source`, a bundled name or a file (.yaml, .toml), with `changes` on top.

    Raises InputError for a file that cannot be read, an unknown field and a value of the wrong type or range.
    """
    values = _read(source) if source is not None else {}
    types_ = {item.name: item.type for item in fields(Config)}
    for origin, mapping in ((source, values), ("the command line", changes)):
        for name, value in mapping.items():
            if name not in types_:
                near = difflib.get_close_matches(str(name), types_, 1, 0)
                raise InputError(f"{origin}: unknown field {name!r}; the nearest known one is {near[0]}")
            values[name] = _typed(f"{origin}: {name}", types_[name], value)
    try:
        return Config(**values)
    except InputError as error:
        raise InputError(f"{source}: {error}" if source is not None else str(error)) from error


def write_config(config: Config, path: Path) -> None:
    """Write every field as YAML."""
    path.write_text(yaml.safe_dump(asdict(config), sort_keys=False))


def differences(config: Config, other: Config) -> list[str]:
    """Name the fields, of those that a resumed run has to keep, in which two configs differ, with both values."""
    return [
        f"{item.name} was {getattr(other, item.name)}, now {getattr(config, item.name)}"
        for item in fields(config)
        if item.name not in RESUMABLE and getattr(config, item.name) != getattr(other, item.name)
    ]


def _read(source: str) -> dict[str, Any]:
    bundled = bundled_configs()
    path = bundled.get(source, Path(source))
    try:
        text = path.read_text()
        values = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        raise InputError(
            f"{source}: cannot read the config ({error.strerror}); give a file or one of {', '.join(bundled)}"
        ) from error
    except (yaml.YAMLError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: not a config in YAML or TOML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{source}: expected lines of the form `field: value`")
    return values


def _typed(where: str, kind: Any, value: object) -> object:
    """Return `value` as the type of its field."""
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        kind = get_args(kind)[0]
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-4, without a dot, as text
        except ValueError:
            pass
    if type(value) is not kind:
        expected = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
        raise InputError(f"{where}: {value!r} is not {expected}")
    return value
