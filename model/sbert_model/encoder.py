"""SpliceBERT's encoder, with the names of transformers' `BertModel`, so that a state dict fits both.

A score asks for a few hundred of a window's positions. All but the last layer need every token; the last one needs
every token's keys and values, but queries, and what follows on them, only where an answer is wanted. They are computed
by blocks of `BLOCK` tokens on fixed places: a block's matrix products have one shape whatever else is asked for, and so
its results have the same bits. Before the first attention a token knows nothing but itself and its position: what
comes before it is looked up.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbert_model.config import BertConfig
from sbert_model.tokenizer import CLS, MASK, PAD, SEP, VOCAB

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

    def forward(self, projected: Tensor, mask: Tensor | None) -> Tensor:
        """What every token of projections (B, T, 3 H) sees, (B, T, H)."""
        q, k, v = self._heads(projected, 3)
        return _attend(q, k, v, mask)

    def project(self, hidden: Tensor) -> Tensor:
        """Queries, keys and values of hidden (B, T, H), side by side (B, T, 3 H)."""
        weight, bias = self._projection()
        return functional.linear(hidden, weight, bias)

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


class Layer(nn.Module):
    """Attention and what follows it."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = _Attention(config)
        self.intermediate = _Intermediate(config)
        self.output = _AddAndNorm(config.intermediate_size, config)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """The layer's output (B, T, H), from its input."""
        return self.behind(self.attention.self.project(hidden), hidden, mask)  # (B, T, H)

    def behind(self, projected: Tensor, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """The layer's output (B, T, H), from its input hidden and what attention projects of it (B, T, 3 H)."""
        return self._finish(self.attention.self(projected, mask), hidden)

    def at(self, hidden: Tensor, keys_and_values: Tensor, mask: Tensor | None = None) -> Tensor:
        """The layer's output at some tokens of hidden, (n, S, H); see _SelfAttention.at."""
        return self._finish(self.attention.self.at(hidden, keys_and_values, mask), hidden)

    def _finish(self, context: Tensor, hidden: Tensor) -> Tensor:
        hidden = self.attention.output(context, hidden)
        return self.output(self.intermediate(hidden), hidden)  # type: ignore[no-any-return]


class _Layers(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))


class _Starts(NamedTuple):
    """What tokens become at every position before they attend to others; for each of [MASK], N, A, C, G, T one row.

    hidden (6 · T, H), and what the first attention projects of it (6 · T, 3 H). The first and the last position are
    those of [CLS] and [SEP] in every row.
    """

    hidden: Tensor
    projected: Tensor


class Encoder(nn.Module):
    """Token ids (B, T) to hidden states (B, T, H); [PAD] tokens are not attended to."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = _Layers(config)
        self._starts: dict[int, _Starts] = {}

    def fuse(self) -> None:
        """Lay the projections of every attention side by side; to be done when the weights are where they will be."""
        self._starts.clear()
        for layer in self.layers():
            layer.attention.self.fuse()

    def forward(self, ids: Tensor) -> Tensor:
        """Hidden states (B, T, H) of ids (B, T) int64."""
        real = ids != PAD  # (B, T)
        # Without a mask attention takes a faster kernel, and full windows hold no [PAD].
        mask = None if bool(real.all()) else real[:, None, None, :]  # (B, 1, 1, T)
        *layers, last = self.layers()
        hidden = self._through(layers, ids, mask)
        return last.at(hidden, last.attention.self.keys_and_values(hidden), mask)

    def at(self, ids: Tensor, places: Tensor) -> Iterator[Tensor]:
        """Hidden states (n, S, H) at each group of `places` (groups, n, 2) int64.

        ids (B, T): [CLS], then [MASK], N, A, C, G and T, then [SEP]. A place is a row of ids and the number of one of
        its blocks, of S = min(BLOCK, T) tokens (see `block_start`). Groups are computed one by one, so that those of
        one size give the same bits whatever else is asked for.
        """
        *layers, last = self.layers()
        hidden = self._from_start(layers, ids) if layers else self.embeddings(ids)  # (B, T, H)
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

    def layers(self) -> list[Layer]:
        """The layers, first to last."""
        return [cast(Layer, layer) for layer in self.encoder.layer]

    def _through(self, layers: Sequence[Layer], ids: Tensor, mask: Tensor | None) -> Tensor:
        hidden: Tensor = self.embeddings(ids)  # (B, T, H)
        for layer in layers:
            hidden = layer(hidden, mask)  # (B, T, H)
        return hidden

    def _from_start(self, layers: Sequence[Layer], ids: Tensor) -> Tensor:
        tokens = ids.shape[1]
        starts = self._starts.get(tokens)
        if starts is None:
            self._starts.clear()  # a run has windows of one length, and these take as much as twelve windows
            starts = self._starts[tokens] = self._compute_starts(layers[0], tokens)
        rows = (ids - MASK).clamp(min=0) * tokens + torch.arange(tokens, device=ids.device)  # (B, T)
        hidden, projected = (functional.embedding(rows, table) for table in starts)
        hidden = layers[0].behind(projected, hidden)  # (B, T, H)
        for layer in layers[1:]:
            hidden = layer(hidden, None)  # (B, T, H)
        return hidden

    def _compute_starts(self, first: Layer, tokens: int) -> _Starts:
        """One row at a time: in the shape that a pass of one window has, and so with its bits."""
        device = self.embeddings.word_embeddings.weight.device
        ids = torch.arange(MASK, len(VOCAB), device=device)[:, None].repeat(1, tokens)  # (6, T)
        ids[:, 0], ids[:, -1] = CLS, SEP
        hidden = [self.embeddings(row[None]) for row in ids]  # (1, T, H) each
        projected = [first.attention.self.project(row) for row in hidden]  # (1, T, 3 H) each
        return _Starts(torch.cat(hidden).flatten(0, 1), torch.cat(projected).flatten(0, 1))
