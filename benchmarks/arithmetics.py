"""The arithmetics that a GPU is measured in: the precisions of `--precision`, and float32 with TF32 products."""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch

from sbert_model.precision import Precision, why_not_split


class Mode(NamedTuple):
    """A precision, and how PyTorch multiplies float32 matrices."""

    name: str
    precision: Precision
    matrices: str = "highest"


_TF32 = Mode("TF32", Precision.FLOAT32, "high")
_BY_NAME = [
    Mode(precision.value, precision)
    for precision in (Precision.FLOAT32, Precision.SPLIT, Precision.FLOAT16, Precision.BFLOAT16)
]


def modes(device: torch.device) -> list[Mode]:
    """Those that the device has."""
    lacks_split = why_not_split(device) is not None
    has = [mode for mode in _BY_NAME if not (lacks_split and mode.precision is Precision.SPLIT)]
    return [has[0], _TF32, *has[1:]]


@contextlib.contextmanager
def arithmetic(mode: Mode) -> Iterator[None]:
    """Let PyTorch multiply as the mode says."""
    torch.set_float32_matmul_precision(mode.matrices)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
