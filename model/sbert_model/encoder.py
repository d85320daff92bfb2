"""SpliceBERT's encoder, with the names of transformers' `BertModel`, so that a state dict fits both.

A score asks for a few hundred of a window's positions. All but the last layer need every token; the last one needs
every token's keys and values, but queries, and what follows on them, only where an answer is wanted. They are computed
by blocks of `BLOCK` tokens on fixed places: a block's matrix products have one shape whatever else is asked for, and so
its results have the same bits.
"""

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbert_model.config import BertConfig
from sbert_model.tokenizer import PAD, VOCAB

BLOCK = 64
"""Tokens whose states are computed together."""


def number_of_blocks(tokens: int) -> int:
    """How many blocks hold a row of `tokens` tokens."""
    return math.ceil(tokens / BLOCK)


def block_start(block: int, tokens: int) -> int:
    """The first token of a block of a row of `tokens` tokens; the last block may overlap the one before it."""
    return min(block * BLOCK, max(tokens - BLOCK, 0))


class _Embeddings(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(len(VOCAB), config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        hidden: Tensor = self.word_embeddings(ids)  # (B, T, H)
        hidden = hidden + self.token_type_embeddings.weight[0]  # (B, T, H)
        hidden = hidden + self.position_embeddings.weight[: ids.shape[1]]  # (B, T, H)
        return self.LayerNorm(hidden)  # type: ignore[no-any-return]


class _SelfAttention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self._fused: tuple[Tensor, Tensor] | None = None

    @torch.no_grad()
    def fuse(self) -> None:
        """Lay the three projections side by side, once; their parameters become views of what they make together."""
        weight, bias = self._fused = self._concatenated()
        parts = zip((self.query, self.key, self.value), weight.chunk(3), bias.chunk(3), strict=True)
        for projection, its_weight, its_bias in parts:
            projection.weight = nn.Parameter(its_weight, requires_grad=False)
            projection.bias = nn.Parameter(its_bias, requires_grad=False)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        weight, bias = self._projection()
        q, k, v = self._heads(functional.linear(hidden, weight, bias), 3)
        return _attend(q, k, v, mask)  # (B, T, H)

    def keys_and_values(self, hidden: Tensor) -> Tensor:
        """Keys and values (2, B, heads, T, H / heads) of every token of hidden (B, T, H)."""
        weight, bias = self._projection()
        size = hidden.shape[-1]
        return self._heads(functional.linear(hidden, weight[size:], bias[size:]), 2)

    def at(self, hidden: Tensor, keys_and_values: Tensor, mask: Tensor | None) -> Tensor:
        """What tokens (n, S, H) see of the rows (2, n, heads, T, H / heads) to which they belong, (n, S, H)."""
        weight, bias = self._projection()
        size = hidden.shape[-1]
        (q,) = self._heads(functional.linear(hidden, weight[:size], bias[:size]), 1)
        k, v = keys_and_values
        return _attend(q, k, v, mask)

    def _heads(self, projected: Tensor, parts: int) -> Tensor:
        """(B, T, parts · H) to (parts, B, heads, T, H / heads)."""
        rows, tokens, size = projected.shape
        return projected.view(rows, tokens, parts, self.heads, size // (parts * self.heads)).permute(2, 0, 3, 1, 4)

    def _projection(self) -> tuple[Tensor, Tensor]:
        return self._concatenated() if self._fused is None else self._fused

    def _concatenated(self) -> tuple[Tensor, Tensor]:
        parts = (self.query, self.key, self.value)
        return torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])  # (3 H, H), (3 H,)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    context = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, heads, T, H / heads)
    return context.transpose(1, 2).flatten(2)  # (B, T, H)


class _AddAndNorm(nn.Module):
    """Project, add the residual, normalise."""

    def __init__(self, inputs: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, update: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(update).add_(residual))  # type: ignore[no-any-return]


class _Attention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.self = _SelfAttention(config)
        self.output = _AddAndNorm(config.hidden_size, config)


class _Intermediate(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return functional.gelu(self.dense(hidden))  # (B, T, intermediate)


class _Layer(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = _Attention(config)
        self.intermediate = _Intermediate(config)
        self.output = _AddAndNorm(config.intermediate_size, config)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        return self._finish(self.attention.self(hidden, mask), hidden)  # (B, T, H)

    def at(self, hidden: Tensor, keys_and_values: Tensor, mask: Tensor | None = None) -> Tensor:
        """The layer's output at some tokens of hidden, (n, S, H); see _SelfAttention.at."""
        return self._finish(self.attention.self.at(hidden, keys_and_values, mask), hidden)

    def _finish(self, context: Tensor, hidden: Tensor) -> Tensor:
        hidden = self.attention.output(context, hidden)
        return self.output(self.intermediate(hidden), hidden)  # type: ignore[no-any-return]


class _Layers(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))


class Encoder(nn.Module):
    """Token ids (B, T) to hidden states (B, T, H); [PAD] tokens are not attended to."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = _Layers(config)

    def fuse(self) -> None:
        """Lay the projections of every attention side by side; to be done when the weights are where they will be."""
        for layer in self._layers():
            layer.attention.self.fuse()

    def forward(self, ids: Tensor) -> Tensor:
        """Hidden states (B, T, H) of ids (B, T) int64."""
        real = ids != PAD  # (B, T)
        # Without a mask attention takes a faster kernel, and full windows hold no [PAD].
        mask = None if bool(real.all()) else real[:, None, None, :]  # (B, 1, 1, T)
        *layers, last = self._layers()
        hidden = self._through(layers, ids, mask)
        return last.at(hidden, last.attention.self.keys_and_values(hidden), mask)

    def at(self, ids: Tensor, places: Tensor) -> Iterator[Tensor]:
        """Hidden states (n, S, H) at each group of `places` (groups, n, 2) int64, for ids (B, T) without [PAD].

        A place is a row of ids and the number of one of its blocks, of S = min(BLOCK, T) tokens (see
        `block_start`). Groups are computed one by one, so that those of one size give the same bits whatever else is
        asked for.
        """
        *layers, last = self._layers()
        hidden = self._through(layers, ids, None)
        keys_and_values = last.attention.self.keys_and_values(hidden)  # (2, B, heads, T, H / heads)
        tokens = ids.shape[1]
        size = min(BLOCK, tokens)
        within = torch.arange(size, device=ids.device)
        for group in places:
            rows, blocks = group.unbind(-1)  # (n,)
            starts = (blocks * BLOCK).clamp(max=tokens - size)  # (n,)
            queries = hidden[rows[:, None], starts[:, None] + within]  # (n, S, H)
            # A batch of one row need not be copied.
            seen = keys_and_values if len(ids) == 1 == len(rows) else keys_and_values[:, rows]
            yield last.at(queries, seen)

    def _layers(self) -> list[_Layer]:
        return [cast(_Layer, layer) for layer in self.encoder.layer]

    def _through(self, layers: Sequence[_Layer], ids: Tensor, mask: Tensor | None) -> Tensor:
        hidden: Tensor = self.embeddings(ids)  # (B, T, H)
        for layer in layers:
            hidden = layer(hidden, mask)  # (B, T, H)
        return hidden
