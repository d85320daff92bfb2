"""Compile the kernels of split precision for GPUs that need not be there, and print what each takes.

One line for each: compute capability, kernel, bytes of shared memory, bytes that a block may have there.
"""

import math
from collections.abc import Iterator
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from sbert_model import split_kernels as kernels
from sbert_model import split_tiles as tiles

GPUS = {80: 163 << 10, 89: 99 << 10, 90: 227 << 10, 100: 227 << 10}
"""Compute capability: bytes of shared memory."""
TOKENS = 1026


def compiled(kernel: Any, capability: int, types: dict[str, str], constants: dict[str, Any]) -> int:
    """Shared memory of a kernel; arguments without a type are constants."""
    options = {name: constants.pop(name) for name in ("num_warps", "num_stages")}
    signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    aligned = {
        (number,): [["tt.divisibility", 16]]
        for number, name in enumerate(kernel.arg_names)
        if name in types and name not in ("rows", "wanted")
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
    return int(triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).metadata.shared)


def all_kernels(capability: int, memory: int) -> Iterator[tuple[str, int]]:
    """Every kernel in the shapes of the published configuration."""
    for_stages = tiles.for_stages(memory, capability // 10)
    constants: dict[str, Any]
    numbers = dict.fromkeys(("rows", "columns", "x_low", "weight_low", "out_low"), "i32")
    halves = dict.fromkeys(("x", "weight", "residual"), "*fp16")
    for exact in (False, True):
        constants = {"inner": 512, "exact_weight": exact, **tiles.linear_options(512, exact, for_stages)}
        types = {**numbers, **halves, "bias": "*fp32", "out": "*fp32"}
        shared = compiled(kernels._linear, capability, types, {**constants, "gelu": False, "add": True})
        yield f"linear, add, exact {exact}", shared
        del types["residual"]
        types["out"] = "*fp16"
        rest = {"gelu": True, "add": False, "residual": None}
        yield f"linear, GELU, exact {exact}", compiled(kernels._linear, capability, types, {**constants, **rest})
    types = {**dict.fromkeys(("x", "weight", "bias"), "*fp32"), "out": "*fp16", "rows": "i32", "out_low": "i32"}
    constants = {"size": 512, "eps": 1e-12, "num_stages": 3, **tiles.norm_options(512)}
    yield "norm", compiled(kernels._norm, capability, types, constants)
    for head_size in (32, 64):
        constants = {"tokens": TOKENS, "scale": 1 / math.sqrt(head_size), "heads": 16, "head_size": head_size}
        types = {
            **dict.fromkeys(("queries", "keys", "values", "out"), "*fp16"),
            **dict.fromkeys(("wanted", "q_row", "q_low", "kv_row", "kv_low", "out_low"), "i32"),
            "windows": "*i64",
        }
        options = tiles.attend_options(TOKENS, head_size, for_stages)
        yield f"attend, {head_size}", compiled(kernels._attend, capability, types, {**constants, **options})


if __name__ == "__main__":
    for capability, memory in GPUS.items():
        for name, shared in all_kernels(capability, memory):
            print(capability, name, shared, memory, sep="\t", flush=True)
