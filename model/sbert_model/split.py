"""A network whose activations and weights are float32 in two halves of float16, for tensor cores.

It computes what sbert_model.encoder does, layer by layer, with the kernels of split_kernels. Activations are halves
(2, rows, size); rows are the tokens of all windows. Embeddings, and the head behind the last layer, are float32.
"""

from subprocess import SubprocessError
from typing import NamedTuple

import torch
from torch import Tensor, nn
from triton.errors import TritonError

from sbert_model import split_kernels as kernels
from sbert_model.config import BertConfig
from sbert_model.encoder import BLOCK, Layer
from sbert_model.errors import DeviceError
from sbert_model.network import MaskedLM, TokenClassifier
from sbert_model.split_tiles import SMALLEST_DOT
from sbert_model.tokenizer import CLS, MASK, SEP, VOCAB


def unsuitable(config: BertConfig) -> str | None:
    """Why tensor cores do not multiply the matrices of a network; None where they do."""
    sizes = config.hidden_size, config.intermediate_size
    if any(size % SMALLEST_DOT for size in sizes):
        return f"sizes {sizes[0]} and {sizes[1]} of the model's layers are no multiples of {SMALLEST_DOT}"
    return None


class _Linear(NamedTuple):
    """Weight (2, outputs, inputs) and bias (outputs,) of a layer; exact: float16 holds the weights."""

    weight: Tensor
    bias: Tensor
    exact: bool

    @classmethod
    def of(cls, *layers: nn.Linear) -> "_Linear":
        """Layers of the same inputs, side by side."""
        weight = kernels.halves(torch.cat([layer.weight for layer in layers]))
        return cls(weight, torch.cat([layer.bias for layer in layers]), not bool(weight[1].any()))

    def __call__(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        return kernels.linear(x, self.weight, self.bias, exact=self.exact, gelu=gelu)


class _AddAndNorm(NamedTuple):
    """Project, add the residual, normalise."""

    linear: _Linear
    norm: nn.LayerNorm

    def __call__(self, update: Tensor, residual: Tensor) -> Tensor:
        weight, bias, exact = self.linear
        summed = kernels.linear_add(update, weight, bias, residual, exact=exact)  # (rows, H)
        return kernels.norm(summed, self.norm.weight, self.norm.bias, self.norm.eps)


class _SplitLayer:
    """One layer of the encoder."""

    def __init__(self, layer: Layer) -> None:
        attention = layer.attention.self
        self.heads = attention.heads
        self.query = _Linear.of(attention.query)
        self.key_value = _Linear.of(attention.key, attention.value)
        self.projection = _Linear.of(attention.query, attention.key, attention.value)
        self._add_context = _AddAndNorm(_Linear.of(layer.attention.output.dense), layer.attention.output.LayerNorm)
        self._inner = _Linear.of(layer.intermediate.dense)
        self._add_inner = _AddAndNorm(_Linear.of(layer.output.dense), layer.output.LayerNorm)

    def behind(self, projected: Tensor, hidden: Tensor, windows: Tensor, tokens: int) -> Tensor:
        """The layer's output, from its input hidden (2, rows, H) and what attention projects of it (2, rows, 3 H)."""
        queries, keys, values = projected.chunk(3, dim=2)
        return self.finish(kernels.attend(queries, keys, values, windows, tokens, self.heads), hidden)

    def finish(self, context: Tensor, hidden: Tensor) -> Tensor:
        """What follows attention, on any rows (2, rows, H) of its input hidden."""
        hidden = self._add_context(context, hidden)
        return self._add_inner(self._inner(hidden, gelu=True), hidden)


class SplitNetwork:
    """Gives the logits of a network that is in float32 on its GPU, at places of windows of one length.

    Two products for one where float16 holds a layer's weights, else three.
    """

    def __init__(self, network: MaskedLM | TokenClassifier) -> None:
        self._network = network
        with torch.no_grad():
            self._layers = [_SplitLayer(layer) for layer in network.bert.layers()]
        self._starts: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, ids: Tensor, places: Tensor) -> Tensor:
        """Logits (groups, n, S, classes) of ids (B, T) int64, [CLS] and [SEP] around A, C, G, T, N and [MASK].

        places (groups, n, 2): see Encoder.at. To be called in inference mode. Raises DeviceError where Triton cannot
        make its kernels.
        """
        try:
            return self._logits(ids, places)
        except (OSError, SubprocessError, TritonError) as error:
            reason = str(error).splitlines()[0]
            advice = "choose --precision float32"
            raise DeviceError(f"{ids.device}: Triton cannot make its kernels: {reason}; {advice}") from error

    def _logits(self, ids: Tensor, places: Tensor) -> Tensor:
        tokens = ids.shape[1]
        size = min(BLOCK, tokens)
        rows, blocks = places.flatten(0, 1).unbind(-1)  # (groups · n,)
        starts = (blocks * BLOCK).clamp(max=tokens - size)
        wanted = (rows * tokens + starts)[:, None] + torch.arange(size, device=ids.device)  # (groups · n, S)
        hidden = self._at(ids, rows, wanted.flatten()).float()
        groups = (hidden[0] + hidden[1]).view(*places.shape[:2], size, -1)  # (groups, n, S, H)
        # One by one, so that all have one shape.
        return torch.stack([self._network.head(group) for group in groups])

    def _at(self, ids: Tensor, rows: Tensor, wanted: Tensor) -> Tensor:
        """Last hidden states (2, rows · S, H) of S wanted tokens in each of some rows of ids."""
        windows, tokens = ids.shape
        every = torch.arange(windows, device=ids.device)
        *layers, last = self._layers
        for number, layer in enumerate(layers):
            if number == 0:
                hidden, projected = self._from_start(ids)
            else:
                projected = layer.projection(hidden)
            hidden = layer.behind(projected, hidden, every, tokens)  # (2, B · T, H)
        if not layers:
            hidden, _ = self._from_start(ids)
        keys, values = last.key_value(hidden).chunk(2, dim=2)
        at_wanted = kernels.take(hidden, wanted)  # (2, rows · S, H)
        context = kernels.attend(last.query(at_wanted), keys, values, rows, tokens, last.heads)
        return last.finish(context, at_wanted)

    def _from_start(self, ids: Tensor) -> list[Tensor]:
        """Hidden states (2, B · T, H) of ids, and what the first attention projects of them (2, B · T, 3 H)."""
        tokens = ids.shape[1]
        if tokens not in self._starts:
            self._starts.clear()
            self._starts[tokens] = self._compute_starts(tokens)
        rows = (ids - MASK).clamp(min=0) * tokens + torch.arange(tokens, device=ids.device)  # (B, T)
        return [kernels.take(table, rows.flatten()) for table in self._starts[tokens]]

    def _compute_starts(self, tokens: int) -> tuple[Tensor, Tensor]:
        """What tokens are before they attend to others, for [MASK], N, A, C, G, T at every position."""
        ids = torch.arange(MASK, len(VOCAB), device=self._layers[0].query.bias.device)[:, None].repeat(1, tokens)
        ids[:, 0], ids[:, -1] = CLS, SEP
        hidden = self._network.bert.embeddings(ids).flatten(0, 1)  # (6 · T, H)
        return kernels.halves(hidden), self._layers[0].projection(kernels.halves(hidden))
