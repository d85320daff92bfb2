"""How the kernels of split precision cut their work: tiles, warps, stages of loads that fit a GPU's shared memory."""

import math
from functools import cache
from typing import NamedTuple

import torch
import triton

SMALLEST_DOT = 16
"""Below that tensor cores do not multiply."""


class _Tiles(NamedTuple):
    """Rows and columns of a tile, and warps that share it."""

    rows: int
    columns: int
    warps: int


# The fastest of those tried on an H100.
_LINEAR = {False: _Tiles(128, 128, 8), True: _Tiles(64, 128, 4)}
"""By whether float16 holds the weights."""
_ATTENTION = _Tiles(64, 64, 4)
_INNER = 64
_STAGES = 3
_RESERVED = 16 << 10
"""Bytes of a block's shared memory that are not for stages of loads; compute capability 10 takes four times as much."""


def linear_options(inner: int, exact: bool, memory: int) -> dict[str, int]:
    """How to cut a product of two matrices, with so many bytes for stages."""
    rows, columns, warps = _LINEAR[exact]
    in_halves = 2 * rows + (1 if exact else 2) * columns
    block_inner = math.gcd(inner, _INNER)
    if _stages(in_halves * block_inner, memory) < 2:
        block_inner = max(block_inner // 2, SMALLEST_DOT)
    stages = _stages(in_halves * block_inner, memory)
    blocks = {"block_rows": rows, "block_columns": columns, "block_inner": block_inner}
    return {**blocks, "num_warps": warps, "num_stages": stages}


def norm_options(size: int) -> dict[str, int]:
    """How to cut LayerNorm."""
    return {"block_rows": 4, "block_size": triton.next_power_of_2(size), "num_warps": 4}


def attend_options(tokens: int, head_size: int, memory: int) -> dict[str, int]:
    """How to cut attention, with so many bytes for stages."""
    queries, keys, warps = _ATTENTION
    block_head = max(triton.next_power_of_2(head_size), SMALLEST_DOT)
    rest = tokens % keys
    tail = max(triton.next_power_of_2(rest), SMALLEST_DOT) if rest else 0
    blocks = {"block_head": block_head, "block_queries": queries, "block_keys": keys, "tail": tail}
    return {**blocks, "num_warps": warps, "num_stages": _stages(4 * keys * block_head, memory)}


@cache
def memory_for_stages(device: torch.device) -> int:
    """Bytes of a block's shared memory for stages of loads; on a CPU, in Triton's interpreter, those of an H100."""
    if device.type != "cuda":
        return for_stages(227 << 10, 9)
    major, _ = torch.cuda.get_device_capability(device)
    has = triton.runtime.driver.active.utils.get_device_properties(device.index)["max_shared_mem"]
    return for_stages(int(has), major)


def for_stages(memory: int, major: int) -> int:
    """What of a block's shared memory is for stages, on a GPU of some major compute capability."""
    return memory - (4 * _RESERVED if major == 10 else _RESERVED)


def _stages(halves_of_stage: int, memory: int) -> int:
    """How many stages of so many float16 fit."""
    return min(max(memory // (2 * halves_of_stage), 1), _STAGES)
