"""Triton kernels for float32 in two halves: a number is the sum of a high and a low float16, 22 bits in all.

Tensor cores multiply float16 and sum in float32. The product of two such numbers is high · high + high · low +
low · high; what is left out, low · low, is below the last bit (Ootomo & Yokota, International Journal of High
Performance Computing Applications 2022). All else, softmax, GELU and LayerNorm, is computed in float32. A tensor of
halves has a first dimension of 2, high and low. Every row is computed by itself: its bits do not depend on how many
there are.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from sbert_model import split_tiles as tiles


@triton.jit
def _split(x):  # type: ignore[no-untyped-def]
    high = x.to(tl.float16)
    return high, (x - high.to(tl.float32)).to(tl.float16)


@triton.jit  # type: ignore[untyped-decorator]
def _linear(  # type: ignore[no-untyped-def]
    x,
    weight,
    bias,
    residual,
    out,
    rows,
    columns,
    x_low,
    weight_low,
    out_low,
    inner: tl.constexpr,
    exact_weight: tl.constexpr,
    gelu: tl.constexpr,
    add: tl.constexpr,
    block_rows: tl.constexpr,
    block_columns: tl.constexpr,
    block_inner: tl.constexpr,
):
    """x (2, rows, inner), weight (2, columns, inner): out (2, rows, columns) halves, or with a residual float32."""
    tiles = tl.cdiv(columns, block_columns)
    row = (tl.program_id(0) // tiles) * block_rows + tl.arange(0, block_rows)
    column = (tl.program_id(0) % tiles) * block_columns + tl.arange(0, block_columns)
    k = tl.arange(0, block_inner)
    x_at = x + (row % rows).to(tl.int64)[:, None] * inner + k[None, :]
    w_at = weight + (column % columns)[None, :] * inner + k[:, None]
    total = tl.zeros((block_rows, block_columns), dtype=tl.float32)
    for _ in range(0, inner, block_inner):
        x_high = tl.load(x_at)
        w_high = tl.load(w_at)
        total = tl.dot(tl.load(x_at + x_low), w_high, total)
        if not exact_weight:
            total = tl.dot(x_high, tl.load(w_at + weight_low), total)
        total = tl.dot(x_high, w_high, total)
        x_at += block_inner
        w_at += block_inner
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    total += tl.load(bias + column % columns)[None, :]
    at = row.to(tl.int64)[:, None] * columns + column[None, :]
    if gelu:
        total = 0.5 * total * (1 + tl.erf(total * 0.7071067811865476))
    if add:
        total += tl.load(residual + at, mask=inside).to(tl.float32)
        total += tl.load(residual + out_low + at, mask=inside).to(tl.float32)
        tl.store(out + at, total, mask=inside)
    else:
        of_high, of_low = _split(total)
        tl.store(out + at, of_high, mask=inside)
        tl.store(out + out_low + at, of_low, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _norm(  # type: ignore[no-untyped-def]
    x, weight, bias, out, rows, out_low, size: tl.constexpr, eps, block_rows: tl.constexpr, block_size: tl.constexpr
):
    """LayerNorm of x (rows, size) float32, as halves."""
    row = tl.program_id(0) * block_rows + tl.arange(0, block_rows)
    column = tl.arange(0, block_size)
    inside = (row < rows)[:, None] & (column < size)[None, :]
    at = row.to(tl.int64)[:, None] * size + column[None, :]
    value = tl.load(x + at, mask=inside, other=0)
    centred = tl.where(inside, value - tl.sum(value, 1)[:, None] / size, 0)
    spread = tl.sqrt(tl.sum(centred * centred, 1) / size + eps)
    scale = tl.load(weight + column, mask=column < size, other=0)
    shift = tl.load(bias + column, mask=column < size, other=0)
    high, low = _split(centred / spread[:, None] * scale[None, :] + shift[None, :])
    tl.store(out + at, high, mask=inside)
    tl.store(out + out_low + at, low, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _attend_block(  # type: ignore[no-untyped-def]
    q_high,
    q_low,
    keys,
    values,
    kv_row,
    kv_low,
    first,
    largest,
    total,
    context,
    tokens: tl.constexpr,
    scale: tl.constexpr,
    head_size: tl.constexpr,
    block_head: tl.constexpr,
    block_keys: tl.constexpr,
    masked: tl.constexpr,
):
    """Take a block of keys and values into a running softmax, whose logarithms are to base 2."""
    token = first + tl.arange(0, block_keys)
    dim = tl.arange(0, block_head)
    at = token[:, None] * kv_row + dim[None, :]
    if masked:
        inside = (token < tokens)[:, None] & (dim < head_size)[None, :]
        k_high = tl.load(keys + at, mask=inside, other=0)
        k_low = tl.load(keys + kv_low + at, mask=inside, other=0)
        v_high = tl.load(values + at, mask=inside, other=0)
        v_low = tl.load(values + kv_low + at, mask=inside, other=0)
    else:
        k_high = tl.load(keys + at)
        k_low = tl.load(keys + kv_low + at)
        v_high = tl.load(values + at)
        v_low = tl.load(values + kv_low + at)
    scores = tl.dot(q_low, k_high.T)
    scores = tl.dot(q_high, k_low.T, scores)
    scores = tl.dot(q_high, k_high.T, scores)
    if masked:
        scores = tl.where((token < tokens)[None, :], scores, float("-inf"))
    new_largest = tl.maximum(largest, tl.max(scores, 1) * scale)
    p = tl.exp2(scores * scale - new_largest[:, None])
    shrunk = tl.exp2(largest - new_largest)
    total = total * shrunk + tl.sum(p, 1)
    p_high, p_low = _split(p)
    context = context * shrunk[:, None]
    context = tl.dot(p_low, v_high, context)
    context = tl.dot(p_high, v_low, context)
    context = tl.dot(p_high, v_high, context)
    return new_largest, total, context


@triton.jit  # type: ignore[untyped-decorator]
def _attend(  # type: ignore[no-untyped-def]
    queries,
    keys,
    values,
    windows,
    out,
    wanted,
    q_row,
    q_low,
    kv_row,
    kv_low,
    out_low,
    tokens: tl.constexpr,
    scale: tl.constexpr,
    heads: tl.constexpr,
    head_size: tl.constexpr,
    block_head: tl.constexpr,
    block_queries: tl.constexpr,
    block_keys: tl.constexpr,
    tail: tl.constexpr,
):
    """What `wanted` queries of each row see of the `tokens` keys and values of the window to which the row belongs."""
    part, head, row = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    query = part * block_queries + tl.arange(0, block_queries)
    dim = tl.arange(0, block_head)
    inside = (query < wanted)[:, None] & (dim < head_size)[None, :]
    place = (row * wanted + query).to(tl.int64)[:, None]
    q_at = queries + place * q_row + head * head_size + dim[None, :]
    q_high = tl.load(q_at, mask=inside, other=0)
    q_low_half = tl.load(q_at + q_low, mask=inside, other=0)
    start = (tl.load(windows + row) * tokens).to(tl.int64) * kv_row + head * head_size
    largest = tl.full((block_queries,), float("-inf"), dtype=tl.float32)
    total = tl.zeros((block_queries,), dtype=tl.float32)
    context = tl.zeros((block_queries, block_head), dtype=tl.float32)
    whole: tl.constexpr = tokens // block_keys * block_keys
    for first in range(0, whole, block_keys):
        largest, total, context = _attend_block(
            q_high, q_low_half, keys + start, values + start, kv_row, kv_low, first,
            largest, total, context, tokens, scale, head_size, block_head, block_keys, head_size != block_head,
        )  # fmt: skip
    if tail:
        largest, total, context = _attend_block(
            q_high, q_low_half, keys + start, values + start, kv_row, kv_low, whole,
            largest, total, context, tokens, scale, head_size, block_head, tail, True,
        )  # fmt: skip
    high, low = _split(context / total[:, None])
    to = out + place * (heads * head_size) + head * head_size + dim[None, :]
    tl.store(to, high, mask=inside)
    tl.store(to + out_low, low, mask=inside)


def halves(x: Tensor) -> Tensor:
    """x (…) float32 as its high and low halves (2, …) float16; infinity and NaN where x is beyond 65,504."""
    high = x.half()
    return torch.stack([high, (x - high.float()).half()])


def linear(x: Tensor, weight: Tensor, bias: Tensor, *, exact: bool, gelu: bool = False) -> Tensor:
    """x (2, rows, inner) times weight (2, columns, inner), plus bias (columns,) float32: (2, rows, columns).

    exact: the low half of the weights is 0 and not multiplied. gelu: of the sum, GELU.
    """
    out = torch.empty((2, x.shape[1], weight.shape[1]), dtype=torch.float16, device=x.device)
    _launch_linear(x, weight, bias, None, out, exact, gelu)
    return out


def linear_add(x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor, *, exact: bool) -> Tensor:
    """As `linear`, plus a residual (2, rows, columns): (rows, columns) float32."""
    out = torch.empty(residual.shape[1:], dtype=torch.float32, device=x.device)
    _launch_linear(x, weight, bias, residual, out, exact, False)
    return out


def _launch_linear(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, out: Tensor, exact: bool, gelu: bool
) -> None:
    rows, inner = x.shape[1:]
    columns = weight.shape[1]
    options = tiles.linear_options(inner, exact, tiles.memory_for_stages(x.device))
    grid = (triton.cdiv(rows, options["block_rows"]) * triton.cdiv(columns, options["block_columns"]),)
    _linear[grid](
        x, weight, bias, residual, out, rows, columns, x.stride(0), weight.stride(0), rows * columns,
        inner=inner, exact_weight=exact, gelu=gelu, add=residual is not None,
        **options,
    )  # fmt: skip


def norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """LayerNorm of x (rows, size) float32: (2, rows, size)."""
    rows, size = x.shape
    out = torch.empty((2, rows, size), dtype=torch.float16, device=x.device)
    options = tiles.norm_options(size)
    grid = (triton.cdiv(rows, options["block_rows"]),)
    _norm[grid](x, weight, bias, out, rows, rows * size, size=size, eps=eps, **options)
    return out


def attend(queries: Tensor, keys: Tensor, values: Tensor, windows: Tensor, tokens: int, heads: int) -> Tensor:
    """What rows of queries see of windows: (2, n · S, H).

    queries (2, n · S, H) of n rows; keys and values (2, windows · tokens, H), which may be parts of a wider tensor;
    windows (n,): to which of them a row belongs.
    """
    size = queries.shape[2]
    wanted, head_size = queries.shape[1] // len(windows), size // heads
    out = torch.empty((2, queries.shape[1], size), dtype=torch.float16, device=queries.device)
    options = tiles.attend_options(tokens, head_size, tiles.memory_for_stages(queries.device))
    grid = (triton.cdiv(wanted, options["block_queries"]), heads, len(windows))
    _attend[grid](
        queries, keys, values, windows.contiguous(), out, wanted,
        queries.stride(1), queries.stride(0), keys.stride(1), keys.stride(0), out.stride(0),
        tokens=tokens, scale=math.log2(math.e) / math.sqrt(head_size), heads=heads, head_size=head_size,
        **options,
    )  # fmt: skip
    return out


def take(x: Tensor, rows: Tensor) -> Tensor:
    """Some rows of halves (2, all, size): (2, rows, size)."""
    both = torch.cat([rows, rows + x.shape[1]])
    return x.flatten(0, 1).index_select(0, both).view(2, len(rows), -1)  # by whole rows, several times as fast
