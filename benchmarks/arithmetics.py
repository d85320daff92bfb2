"""The arithmetics that a GPU is measured in.

`split float16` is no precision of sbert-vcf: linear layers multiply high and low float16 halves, three products in one,
summed in float32; all else, attention as well, is float32.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Mode(NamedTuple):
    """An arithmetic: the activations' type, PyTorch's float32 matrix precision, and whether operands are split."""

    name: str
    dtype: torch.dtype
    matrices: str = "highest"
    split: bool = False


MODES = (
    Mode("float32", torch.float32),
    Mode("TF32", torch.float32, "high"),
    Mode("split float16", torch.float32, split=True),
    Mode("float16", torch.float16),
    Mode("bfloat16", torch.bfloat16),
)


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """What float16 holds of x, and what it holds of the rest."""
    high = x.half()
    return high, (x - high.float()).half()


def multiply(x: Tensor, y: Tensor) -> Tensor:
    """The product of float16 matrices, in float32."""
    return torch.mm(x, y, out_dtype=torch.float32) if x.is_cuda else x.float() @ y.float()


@contextlib.contextmanager
def split_linear() -> Iterator[None]:
    """Let linear layers add up high · high, high · low and low · high, as one product of three times the length."""
    plain = functional.linear
    known: dict[tuple[int, tuple[int, ...]], Tensor] = {}

    def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        key = weight.data_ptr(), tuple(weight.shape)
        if key not in known:
            high, low = halves(weight)
            known[key] = torch.cat([high, low, high], dim=1).T  # (3 · inputs, outputs)
        high, low = halves(x.reshape(-1, x.shape[-1]))
        product = multiply(torch.cat([high, high, low], dim=1), known[key])
        return product.add_(bias).view(*x.shape[:-1], -1)

    functional.linear = linear  # type: ignore[assignment]
    try:
        yield
    finally:
        functional.linear = plain


@contextlib.contextmanager
def arithmetic(mode: Mode) -> Iterator[None]:
    """Let PyTorch multiply as the mode says."""
    torch.set_float32_matmul_precision(mode.matrices)
    try:
        with split_linear() if mode.split else contextlib.nullcontext():
            yield
    finally:
        torch.set_float32_matmul_precision("highest")
