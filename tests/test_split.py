"""Split precision: kernels and network against float64; without a GPU in Triton's interpreter."""

import copy
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sbert_model.encoder import BLOCK, number_of_blocks
from sbert_model.network import BertConfig, MaskedLM, TokenClassifier
from sbert_model.passes import DeviceRunner
from sbert_model.precision import Precision
from sbert_model.tokenizer import CLS, SEP
from tests.models import randomise, tiny_config

pytest.importorskip("triton", reason="Triton is for Linux on x86-64 and AArch64")
from sbert_model import split_kernels as kernels
from sbert_model.split import SplitNetwork, unsuitable

DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
EXACT = torch.linspace(-2, 2, 33)
"""Numbers that float16 holds."""


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale).to(DEVICE)


def whole(halves: Tensor) -> Tensor:
    assert halves.dtype == torch.float16
    return halves[0].double() + halves[1].double()


def test_halves_hold_22_bits() -> None:
    x = numbers(1000, scale=10)
    assert ((whole(kernels.halves(x)) - x).abs() <= x.abs() * 2**-22 + 2**-25).all()
    assert not kernels.halves(EXACT)[1].any()
    assert not torch.isfinite(whole(kernels.halves(torch.tensor([7e4, -7e4, math.inf])))).any()


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 16, 16), (130, 48, 80), (257, 128, 192)])
@pytest.mark.parametrize("exact", [False, True])
def test_linear(rows: int, inner: int, columns: int, exact: bool) -> None:
    x, bias, residual = numbers(rows, inner), numbers(columns, seed=1), numbers(rows, columns, seed=2)
    weight = numbers(columns, inner, seed=3, scale=inner**-0.5)
    if exact:
        weight = weight.half().float()
    halves = kernels.halves(x), kernels.halves(weight)
    wanted = functional.linear(x.double(), weight.double(), bias.double())
    rounded = functional.linear(x.half().double(), weight.half().double(), bias.double())
    found = whole(kernels.linear(*halves, bias, exact=exact))
    assert (found - wanted).abs().max() < min(3e-6, (rounded - wanted).abs().max().item() / 50)
    found = whole(kernels.linear(*halves, bias, exact=exact, gelu=True))
    torch.testing.assert_close(found, functional.gelu(wanted), rtol=0, atol=3e-6)
    summed = kernels.linear_add(*halves, bias, kernels.halves(residual), exact=exact)
    assert summed.dtype == torch.float32
    torch.testing.assert_close(summed.double(), wanted + residual.double(), rtol=0, atol=3e-6)


def test_a_low_half_of_weights_is_left_out_only_where_that_is_said() -> None:
    x, weight, bias = kernels.halves(numbers(8, 16)), kernels.halves(numbers(16, 16, seed=1)), numbers(16, seed=2)
    three, two = (whole(kernels.linear(x, weight, bias, exact=exact)) for exact in (False, True))
    difference = x[0].double() @ weight[1].double().T
    torch.testing.assert_close(three - two, difference, rtol=0, atol=4e-6)
    assert difference.abs().max() > 1e-4


@pytest.mark.parametrize(("rows", "size"), [(1, 16), (9, 48), (5, 512)])
def test_norm(rows: int, size: int) -> None:
    x, weight, bias = numbers(rows, size, scale=3), numbers(size, seed=1), numbers(size, seed=2)
    found = whole(kernels.norm(x, weight, bias, 1e-12))
    wanted = functional.layer_norm(x.double(), (size,), weight.double(), bias.double(), 1e-12)
    torch.testing.assert_close(found, wanted, rtol=0, atol=3e-6)


@pytest.mark.parametrize(("tokens", "heads", "head_size"), [(10, 1, 16), (64, 2, 24), (130, 2, 32), (200, 3, 64)])
def test_attention(tokens: int, heads: int, head_size: int) -> None:
    size = heads * head_size
    projected = numbers(3 * tokens, 3 * size, scale=2)
    q, k, v = (part.view(3, tokens, heads, head_size).transpose(1, 2) for part in projected.double().chunk(3, 1))
    wanted = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, size)  # (3 · T, H)
    queries, keys, values = kernels.halves(projected).chunk(3, 2)
    found = whole(kernels.attend(queries, keys, values, torch.arange(3, device=DEVICE), tokens, heads))
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)
    # Some queries, of windows in another order.
    windows = torch.tensor([[2, 0], [0, 0], [2, 0]], device=DEVICE)[:, 0]
    rows = (windows[:, None] * tokens + torch.arange(5, device=DEVICE) + 2).flatten()
    found = whole(kernels.attend(queries[:, rows].contiguous(), keys, values, windows, tokens, heads))
    torch.testing.assert_close(found, wanted[rows], rtol=0, atol=2e-5)


def test_kernels_compile_for_every_gpu_and_fit_it(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    path = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-m", "tests.split_compiled"]
    done = subprocess.run(command, env={**environment, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(lines) == 4 * 7
    assert all(int(shared) <= int(memory) for _, _, shared, memory in lines)


def windows_and_places(tokens: int) -> tuple[Tensor, Tensor]:
    ids = torch.randint(4, 10, (3, tokens), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1] = CLS, SEP
    last = number_of_blocks(tokens) - 1
    return ids.to(DEVICE), torch.tensor([[[0, 0], [2, last]], [[1, last], [2, 0]]], device=DEVICE)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("tokens", [130, 40])
@pytest.mark.parametrize("kind", [MaskedLM, TokenClassifier])
def test_network(kind: type[MaskedLM] | type[TokenClassifier], tokens: int, layers: int) -> None:
    network = kind(tiny_config(hidden=64, heads=2, layers=layers, max_nt=tokens - 2, labels=3))
    randomise(network)
    exact = copy.deepcopy(network).double().to(DEVICE)
    ids, places = windows_and_places(tokens)
    with torch.inference_mode():
        found = SplitNetwork(network.to(DEVICE))(ids, places)
        wanted = exact(ids, places)
        rounded = copy.deepcopy(network).half()(ids, places) if DEVICE.type == "cuda" else None
    assert found.shape == (2, 2, min(BLOCK, tokens), 10 if kind is MaskedLM else 3)
    errors = (found - wanted).abs().max()
    assert errors < 3e-5
    assert rounded is None or errors < (rounded - wanted).abs().max() / 50


def test_rows_have_the_same_bits_whatever_else_there_is() -> None:
    network = MaskedLM(tiny_config(hidden=32, heads=2, max_nt=128))
    randomise(network)
    ids, places = windows_and_places(130)
    with torch.inference_mode():
        split = SplitNetwork(network.to(DEVICE))
        together = split(ids, places)
        alone = split(ids[2:], torch.tensor([[[0, 2], [0, 0]]], device=DEVICE))
    assert torch.equal(alone[0, 0], together[0, 1])
    assert torch.equal(alone[0, 1], together[1, 1])


def test_weights_that_float16_holds_take_two_products() -> None:
    network = MaskedLM(tiny_config(max_nt=128))
    randomise(network)
    layer = network.bert.layers()[0]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(parameter.half())
    first, second = SplitNetwork(network.to(DEVICE))._layers
    assert (first.projection.exact, second.projection.exact) == (True, False)


def test_sizes_that_tensor_cores_do_not_multiply(caplog: pytest.LogCaptureFixture) -> None:
    assert unsuitable(tiny_config(hidden=32)) is None
    assert unsuitable(BertConfig(24, 1, 2, 96, 66)) == ("sizes 24 and 96 of the model's layers are no multiples of 16")
    network = MaskedLM(tiny_config(hidden=24, heads=2))
    said: list[str] = []
    runner = DeviceRunner(network, DEVICE, Precision.SPLIT, said.append)
    assert runner.network is network
    assert said == [f"{DEVICE}: sizes 24 and 96 of the model's layers are no multiples of 16: float32 instead of split"]
