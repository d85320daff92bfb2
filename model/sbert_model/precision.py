"""Number formats of the forward pass, and what each costs the scores."""

import importlib.metadata
import os
import shutil
import sysconfig
from enum import Enum
from pathlib import Path
from typing import Final

import torch

from sbert_model.errors import DeviceError


class Precision(Enum):
    """A number format of the forward pass. SPLIT is float32 in two halves of float16 (see sbert_model.split)."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    SPLIT = "split"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights and activations, where they are not in halves."""
        dtype = torch.float32 if self is Precision.SPLIT else getattr(torch, self.value)
        assert isinstance(dtype, torch.dtype)
        return dtype


CHOICES: Final = ("auto", "float32", "split", "float16", "bfloat16")
COSTS: Final = {
    Precision.FLOAT16: "with the bundled models errors of KL-context up to 12 nats, of splice-site KL 140 %, of "
    "branchpoint loss 0.001; float32 keeps it",
    Precision.BFLOAT16: "with the bundled models errors of KL-context up to 160 nats, of splice-site KL 3,700 %, of "
    "branchpoint loss 0.03; float32 keeps it",
}
"""What a precision outside the accuracy contract costs, measured on 200 alleles (docs/numerics.md)."""
_OLDEST_TRITON = (3, 6)
"""The kernels have been run with it."""
_COMPILERS = ("cc", "gcc", "clang")


def resolve_precision(name: str, *devices: torch.device) -> Precision:
    """The number format called `auto` or by its name, for one or more devices.

    auto is split on GPUs that have it, else float32: KL-context sums the logarithms of divergences of 1e-6…1e-5, which
    half precision does not resolve. For the same reason float32 is made to mean float32, not TF32.
    Raises DeviceError for a precision that is unknown or that a device lacks.
    """
    if name not in CHOICES:
        raise DeviceError(f"unknown precision {name!r}; choose one of {', '.join(CHOICES)}")
    torch.set_float32_matmul_precision("highest")
    if name == "auto":
        return Precision.FLOAT32 if any(map(why_not_split, devices)) else Precision.SPLIT
    precision = Precision(name)
    for device in devices:
        if precision is Precision.SPLIT and (reason := why_not_split(device)):
            raise DeviceError(f"precision split: {reason}; choose float32")
        native = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
        if precision is Precision.BFLOAT16 and not native:
            raise DeviceError(f"{torch.cuda.get_device_name(device)} has no bfloat16; choose float32")
    return precision


def why_not_split(device: torch.device) -> str | None:
    """What a device lacks for the kernels of split precision; None where nothing is missing."""
    if device.type != "cuda":
        return f"{device} is no NVIDIA GPU"
    if torch.version.hip:
        return f"{torch.cuda.get_device_name(device)} is no NVIDIA GPU"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return f"{torch.cuda.get_device_name(device)} is older than compute capability 8.0"
    version = _triton_version()
    if version is None:
        return "Triton is not installed"
    if tuple(map(int, version.split(".")[:2])) < _OLDEST_TRITON:
        return f"Triton {version} is older than {'.'.join(map(str, _OLDEST_TRITON))}"
    if not os.environ.get("CC") and not any(map(shutil.which, _COMPILERS)):
        return "no C compiler, which Triton needs, is found (cc, gcc, clang or $CC)"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "Python's C headers, which Triton needs, are not installed (python3-dev)"
    return None


def _triton_version() -> str | None:
    try:
        return importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return None
