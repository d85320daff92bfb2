"""SpliceBERT with its matrix products in an emulated low precision, pass by pass and as reference + δ.

A product takes operands that are rounded to the low precision and sums in float32, as tensor cores do; everything else
is float32. The passes are written out here, apart from sbert_model.network, because they need every product in hand.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Product = Callable[[Tensor, Tensor], Tensor]
"""(…, n, k), (…, k, m) to (…, n, m)."""
_ACGT = slice(6, 10)


class Change(NamedTuple):
    """A tensor of the reference pass, and what the alternate pass adds to it."""

    ref: Tensor
    delta: Tensor

    @property
    def alt(self) -> Tensor:
        """The tensor of the alternate pass."""
        return self.ref + self.delta


def to_tf32(x: Tensor) -> Tensor:
    """Round float32 to the nearest of 10 mantissa bits, ties to even."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)


def to_float16(x: Tensor) -> Tensor:
    """Round to float16: 10 mantissa bits between 6e-5 and 65504, fewer below, infinity above."""
    return x.half().float()


def to_bfloat16(x: Tensor) -> Tensor:
    """Round to bfloat16: 7 mantissa bits, the range of float32."""
    return x.bfloat16().float()


def exact(a: Tensor, b: Tensor) -> Tensor:
    """The product in the precision of its operands."""
    return a @ b


def rounded(to: Callable[[Tensor], Tensor]) -> Product:
    """A product of rounded operands."""
    return lambda a, b: to(a) @ to(b)


def split(to: Callable[[Tensor], Tensor]) -> Product:
    """Three products of high and low parts: what is left out is low times low."""

    def product(a: Tensor, b: Tensor) -> Tensor:
        a_high, b_high = to(a), to(b)
        return a_high @ b_high + (a_high @ to(b - b_high) + to(a - a_high) @ b_high)

    return product


def scaled_float16(a: Tensor, b: Tensor) -> Tensor:
    """A product in float16 whose operands are first scaled by powers of 2, row by row and column by column.

    A small δ would fall below the range of float16 otherwise. The scales are exact to take back.
    """
    return _scaled(a, -1) @ _scaled(b, -2)


def _scaled(x: Tensor, along: int) -> Tensor:
    exponent = torch.frexp(x.abs().amax(along, keepdim=True)).exponent
    scale = torch.exp2(exponent.float())
    return to_float16(x / scale) * scale


class Bert:
    """A masked language model for single windows, from the tensors of its state dict."""

    def __init__(self, weights: Mapping[str, Tensor], heads: int, eps: float, dtype: torch.dtype) -> None:
        self._weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
        self._heads = heads
        self._eps = eps
        self._layers = sum(name.endswith("attention.self.query.weight") for name in weights)

    def logits(self, ids: Tensor, product: Product) -> Tensor:
        """Logits of A, C, G, T (T, 4) at every token of ids (T,)."""
        x = self._embed(ids)  # (T, H)
        for layer in range(self._layers):
            name = f"bert.encoder.layer.{layer}."
            heads = zip(*(self._project(name, part, x, product) for part in ("query", "key", "value")), strict=True)
            context = torch.cat([_attend(q, k, v, product) for q, k, v in heads], dim=-1)  # (T, H)
            update = self._linear(f"{name}attention.output.dense", context, product)
            x = self._norm(f"{name}attention.output.LayerNorm", update + x)
            inner = functional.gelu(self._linear(f"{name}intermediate.dense", x, product))  # (T, intermediate)
            x = self._norm(f"{name}output.LayerNorm", self._linear(f"{name}output.dense", inner, product) + x)
        name = "cls.predictions."
        x = self._norm(
            f"{name}transform.LayerNorm", functional.gelu(self._linear(f"{name}transform.dense", x, product))
        )
        return self._linear(f"{name}decoder", x, product)[:, _ACGT]

    def paired(self, reference: Tensor, alternate: Tensor, product: Product) -> Change:
        """Logits (T, 4) of the reference ids (T,), and what the alternate ids of the same length add to them."""
        embedded = self._embed(reference)
        x = Change(embedded, self._embed(alternate) - embedded)  # (T, H)
        for layer in range(self._layers):
            name = f"bert.encoder.layer.{layer}."
            x = self._paired_layer(name, x, product)
        name = "cls.predictions."
        inner = _differenced(functional.gelu, self._paired_linear(f"{name}transform.dense", x, product))
        x = _differenced(lambda y: self._norm(f"{name}transform.LayerNorm", y), inner)
        logits = self._paired_linear(f"{name}decoder", x, product)
        return Change(logits.ref[:, _ACGT], logits.delta[:, _ACGT])

    def _paired_layer(self, name: str, x: Change, product: Product) -> Change:
        parts = ("query", "key", "value")
        of_ref = (self._project(name, part, x.ref, product) for part in parts)
        of_delta = (self._project(name, part, x.delta, product, bias=False) for part in parts)
        heads = zip(*of_ref, *of_delta, strict=True)
        contexts = [
            _paired_attend(Change(q, dq), Change(k, dk), Change(v, dv), product) for q, k, v, dq, dk, dv in heads
        ]
        context = Change(torch.cat([one.ref for one in contexts], -1), torch.cat([one.delta for one in contexts], -1))
        x = self._paired_add_and_norm(f"{name}attention.output", context, x, product)
        inner = _differenced(functional.gelu, self._paired_linear(f"{name}intermediate.dense", x, product))
        return self._paired_add_and_norm(f"{name}output", inner, x, product)

    def _paired_add_and_norm(self, name: str, update: Change, residual: Change, product: Product) -> Change:
        projected = self._paired_linear(f"{name}.dense", update, product)
        summed = Change(projected.ref + residual.ref, projected.delta + residual.delta)
        return _differenced(lambda y: self._norm(f"{name}.LayerNorm", y), summed)

    def _paired_linear(self, name: str, x: Change, product: Product) -> Change:
        return Change(self._linear(name, x.ref, product), self._linear(name, x.delta, product, bias=False))

    def _embed(self, ids: Tensor) -> Tensor:
        name, weights = "bert.embeddings.", self._weights
        x = weights[f"{name}word_embeddings.weight"][ids] + weights[f"{name}token_type_embeddings.weight"][0]
        return self._norm(f"{name}LayerNorm", x + weights[f"{name}position_embeddings.weight"][: len(ids)])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return functional.layer_norm(x, x.shape[-1:], weight, bias, self._eps)

    def _linear(self, name: str, x: Tensor, product: Product, *, bias: bool = True) -> Tensor:
        y = product(x, self._weights[f"{name}.weight"].T)
        return y + self._weights[f"{name}.bias"] if bias else y

    def _project(self, layer: str, part: str, x: Tensor, product: Product, *, bias: bool = True) -> tuple[Tensor, ...]:
        """Return the queries, keys or values (T, H / heads) of each head."""
        return self._linear(f"{layer}attention.self.{part}", x, product, bias=bias).chunk(self._heads, dim=-1)


def _attend(q: Tensor, k: Tensor, v: Tensor, product: Product) -> Tensor:
    return product(torch.softmax(product(q, k.T) / math.sqrt(q.shape[-1]), dim=-1), v)  # (T, H / heads)


def _paired_attend(q: Change, k: Change, v: Change, product: Product) -> Change:
    """ΔS = δq kᵀ + q_alt δkᵀ; P_alt − P = P expm1(ΔS − Δlse); ΔO = P_alt δv + (P_alt − P) v."""
    scale = 1 / math.sqrt(q.ref.shape[-1])
    scores = product(q.ref, k.ref.T) * scale  # (T, T)
    log_p = torch.log_softmax(scores, dim=-1)  # (T, T)
    change = (product(q.delta, k.ref.T) + product(q.alt, k.delta.T)) * scale  # (T, T)
    grown = _exp_difference(log_p, change).sum(-1, keepdim=True)  # (T, 1)
    # Where the row's sum changes much (it may overflow, or vanish), the logarithm of the new one is exact enough.
    new_sum = torch.logsumexp(log_p + change, dim=-1, keepdim=True)
    log_sum = torch.where(grown.abs() < 0.5, torch.log1p(grown), new_sum)
    p = log_p.exp()
    p_change = _exp_difference(log_p, change - log_sum)  # (T, T)
    return Change(product(p, v.ref), product(p + p_change, v.delta) + product(p_change, v.ref))


def _exp_difference(x: Tensor, change: Tensor) -> Tensor:
    """exp(x + change) − exp(x), also where exp(change) overflows, as it does where sharp attention moves."""
    return torch.where(change > 0, -(x + change).exp() * torch.expm1(-change), x.exp() * torch.expm1(change))


def _differenced(function: Callable[[Tensor], Tensor], x: Change) -> Change:
    ref = function(x.ref)
    return Change(ref, function(x.alt) - ref)
