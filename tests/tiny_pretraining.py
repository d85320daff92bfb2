"""Pretraining runs of a second or two: a tiny network, and what a run leaves behind."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from sbert_train.config import Config

TINY: dict[str, Any] = {
    "hidden_size": 16,
    "layers": 2,
    "heads": 2,
    "ffn": 32,
    "max_nt": 128,
    "dropout": 0.1,
    "shortest_crop": 64,
    "longest_crop": 128,
    "batch_tokens": 520,
    "learning_rate": 1e-3,
    "log_steps": 1,
    "evaluation_steps": 2,
    "checkpoint_steps": 3,
    "validation_tokens": 520,
    "max_steps": 8,
}
"""Fields of a config for CORPUS-sized tests."""


def tiny_config(**changes: Any) -> Config:
    """Return the config of a tiny run."""
    return Config(**{**TINY, **changes})


def options(**fields: object) -> list[str]:
    """Return command line options of a tiny config with `fields` changed."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in {**TINY, **fields}.items()]


def metrics(run: Path) -> list[dict[str, float]]:
    """Return the lines of metrics.jsonl without what depends on the clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in ("seconds", "tokens_per_second")} for line in lines
    ]


def losses(run: Path, name: str = "loss") -> list[float]:
    """Return the training losses of a run, or with "validation_loss" those."""
    return [line[name] for line in metrics(run) if name in line]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a model folder."""
    return load_file(folder / "model.safetensors")


def same_weights(left: Path, right: Path) -> bool:
    """Tell whether two model folders hold the very same numbers."""
    a, b = weights(left), weights(right)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
