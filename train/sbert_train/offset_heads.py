"""An initialisation that lets the first layers read their neighbours from the first step on.

A randomly initialised single-nucleotide BERT knows only the composition of the sequence for very long, because every
absolute position has to learn by itself where its neighbours are. Here the position embeddings start as sinusoids in
the first 32 dimensions, where word and token-type embeddings are zero, and the query and key projections of the first
two layers read those, the query rotated by a fixed offset, one offset per head. Their value and output projections are
scaled so that what a head reads arrives with the strength of the token's own embedding; it leaves the dimensions of the
sinusoids alone. The architecture is the published one, and every weight is trained afterwards.
"""

import math

import torch
from torch import Tensor
from transformers import BertForMaskedLM

from sbert_model.errors import ModelError

DIMENSIONS = 32  # of the embeddings, that hold the sinusoids
LAYER_OFFSETS = ((-1, 1, -2, 2, -3, 3, -4, 4), (-5, 5, -6, 6, -7, 7, -8, 8))
"""Where the heads of layers 1 and 2 look, in nucleotides relative to the token that asks."""

EMBEDDING_STD = 0.1  # well above one step of the optimizer, which would otherwise wipe the sinusoids out at once
COPY_GAIN = (
    0.35  # of each head, for an input of variance 1: eight of them together have about the variance of the input
)
SHARPNESS = 2.4  # scale of both projections: over 0.9 of the attention falls on the wanted neighbour, at every position


def initialise_offset_heads(model: BertForMaskedLM) -> None:
    """Write sinusoidal positions, and heads at offsets -1, +1, … -8, +8 in two layers, into a new model, in place.

    With more than eight heads a layer, the further ones repeat its offsets.
    Raises ModelError when a head has fewer than 32 dimensions.
    """
    config = model.config
    size = config.hidden_size // config.num_attention_heads
    if size < DIMENSIONS or config.hidden_size < 2 * DIMENSIONS:
        raise ModelError(
            f"offset heads need {DIMENSIONS} dimensions per head and {2 * DIMENSIONS} in all, the model has {size} and "
            f"{config.hidden_size}; use fewer heads or a larger hidden size"
        )
    weights = model.state_dict()  # its tensors are the model's own
    scale = EMBEDDING_STD / config.initializer_range
    for table in ("word", "token_type"):
        weights[f"bert.embeddings.{table}_embeddings.weight"].mul_(scale)[:, :DIMENSIONS] = 0
    positions = weights["bert.embeddings.position_embeddings.weight"]
    positions[:, :DIMENSIONS] = math.sqrt(2) * EMBEDDING_STD * sinusoids(config.max_position_embeddings)
    for layer, offsets in zip(range(config.num_hidden_layers), LAYER_OFFSETS, strict=False):
        query = weights[f"bert.encoder.layer.{layer}.attention.self.query.weight"]
        key = weights[f"bert.encoder.layer.{layer}.attention.self.key.weight"]
        for head in range(config.num_attention_heads):
            rows = slice(head * size, head * size + DIMENSIONS)
            query[rows] = 0
            key[rows] = 0
            query[rows, :DIMENSIONS] = SHARPNESS * rotation(offsets[head % len(offsets)])
            key[rows, :DIMENSIONS] = SHARPNESS * torch.eye(DIMENSIONS)
        _copy_with_gain(weights, f"bert.encoder.layer.{layer}.attention.", size)


def _copy_with_gain(weights: dict[str, Tensor], attention: str, size: int) -> None:
    """Let the heads, of `size` dimensions each, carry the embedding of the token that they look at."""
    value, output = weights[f"{attention}self.value.weight"], weights[f"{attention}output.dense.weight"]
    value.normal_(std=1 / math.sqrt(value.shape[1]))[:, :DIMENSIONS] = 0
    output.normal_(std=COPY_GAIN / math.sqrt(size))[:DIMENSIONS] = 0


def frequencies() -> Tensor:
    """Return the angular frequencies (16,) in radians per nucleotide.

    They crowd towards the highest, π, so that neighbours differ sharply, and have no common period below 1,026 nt.
    """
    pairs = DIMENSIONS // 2
    return math.pi * ((torch.arange(pairs, dtype=torch.float64) + 0.5) / pairs).sqrt()


def sinusoids(positions: int) -> Tensor:
    """Return the cosines and sines of each position: (P, 32)."""
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * frequencies()  # (P, 16)
    return torch.cat([angles.cos(), angles.sin()], dim=1).float()


def rotation(offset: int) -> Tensor:
    """Return the matrix (32, 32) that turns the sinusoids of position p into those of p + offset."""
    angle = offset * frequencies()
    cos, sin = torch.diag(angle.cos()), torch.diag(angle.sin())
    return torch.cat([torch.cat([cos, -sin], dim=1), torch.cat([sin, cos], dim=1)]).float()
