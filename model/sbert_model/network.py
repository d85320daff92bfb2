"""SpliceBERT's network: a BERT encoder with a masked-LM head or a per-token classifier, for inference.

Modules carry the names of transformers' `BertForMaskedLM` and `BertForTokenClassification`, so that a state dict
fits both. There is no dropout: nothing is trained here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from sbert_model.errors import ModelError
from sbert_model.tokenizer import PAD, VOCAB, A, T

_REQUIRED_VALUES: Mapping[str, object] = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "vocab_size": len(VOCAB),
    "is_decoder": False,
    "add_cross_attention": False,
}
_SPECIALS = 2


@dataclass(frozen=True)
class BertConfig:
    """The part of a BERT `config.json` that decides the shape of the network."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    num_labels: int = 2

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "BertConfig":
        """Read the dictionary of a `config.json`; keys that don't concern inference are ignored.

        Raises ModelError where the network would not be SpliceBERT's: another activation, vocabulary or position
        embedding, a missing size.
        """
        for key, required in _REQUIRED_VALUES.items():
            if (found := values.get(key, required)) != required:
                raise ModelError(f"{key} is {found!r}, a SpliceBERT model has {required!r}")
        labels = values.get("id2label")
        config = cls(
            hidden_size=_size(values, "hidden_size"),
            num_hidden_layers=_size(values, "num_hidden_layers"),
            num_attention_heads=_size(values, "num_attention_heads"),
            intermediate_size=_size(values, "intermediate_size"),
            max_position_embeddings=_size(values, "max_position_embeddings"),
            type_vocab_size=_size(values, "type_vocab_size", cls.type_vocab_size),
            layer_norm_eps=_positive(values, "layer_norm_eps", cls.layer_norm_eps),
            num_labels=len(labels) if isinstance(labels, Mapping) else _size(values, "num_labels", cls.num_labels),
        )
        if config.hidden_size % config.num_attention_heads:
            raise ModelError(
                f"hidden_size {config.hidden_size} is no multiple of its {config.num_attention_heads} heads"
            )
        if config.max_nucleotides < 1:
            raise ModelError(
                f"max_position_embeddings {config.max_position_embeddings} leaves no room for a nucleotide"
            )
        return config

    @property
    def max_nucleotides(self) -> int:
        """The longest sequence in nucleotides; [CLS] and [SEP] take two positions."""
        return self.max_position_embeddings - _SPECIALS


def _size(values: Mapping[str, object], key: str, default: int | None = None) -> int:
    value = values.get(key, default)
    if not isinstance(value, int) or value < 1:
        raise ModelError(f"{key} is {value!r}, expected a positive whole number")
    return value


def _positive(values: Mapping[str, object], key: str, default: float) -> float:
    value = values.get(key, default)
    if not isinstance(value, int | float) or not value > 0:
        raise ModelError(f"{key} is {value!r}, expected a positive number")
    return float(value)


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

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (
            projection(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, T, H / heads)
            for projection in (self.query, self.key, self.value)
        )
        context = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, heads, T, H / heads)
        return context.transpose(1, 2).flatten(2)  # (B, T, H)


class _AddAndNorm(nn.Module):
    """Project, add the residual, normalise."""

    def __init__(self, inputs: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, update: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(update) + residual)  # type: ignore[no-any-return]


class _Attention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.self = _SelfAttention(config)
        self.output = _AddAndNorm(config.hidden_size, config)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        return self.output(self.self(hidden, mask), hidden)  # type: ignore[no-any-return]


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
        hidden = self.attention(hidden, mask)  # (B, T, H)
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

    def forward(self, ids: Tensor) -> Tensor:
        """Hidden states (B, T, H) of ids (B, T) int64."""
        real = ids != PAD  # (B, T)
        # Without a mask attention takes a faster kernel, and full windows hold no [PAD].
        mask = None if bool(real.all()) else real[:, None, None, :]  # (B, 1, 1, T)
        hidden: Tensor = self.embeddings(ids)  # (B, T, H)
        for layer in self.encoder.layer:
            hidden = layer(hidden, mask)  # (B, T, H)
        return hidden


class _Transform(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.LayerNorm(functional.gelu(self.dense(hidden)))  # type: ignore[no-any-return]


class _Predictions(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = _Transform(config)
        self.decoder = nn.Linear(config.hidden_size, len(VOCAB))
        # One parameter under two names, as in transformers.
        self.bias = self.decoder.bias

    def forward(self, hidden: Tensor) -> Tensor:
        return self.decoder(self.transform(hidden))  # type: ignore[no-any-return]


class _MaskedLMHead(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.predictions = _Predictions(config)


class MaskedLM(nn.Module):
    """Encoder and masked-LM head: the network that SpliceBERT is pretrained as."""

    classes = slice(A, T + 1)
    """The logits that become probabilities: A, C, G, T."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = Encoder(config)
        self.cls = _MaskedLMHead(config)
        self.cls.predictions.decoder.weight = self.bert.embeddings.word_embeddings.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Logits over the vocabulary, (B, T, 10), of ids (B, T) int64."""
        return self.cls.predictions(self.bert(ids))  # type: ignore[no-any-return]


class TokenClassifier(nn.Module):
    """Encoder and one linear layer per token: the network that SpliceBERT is fine-tuned as."""

    classes = slice(None)
    """The logits that become probabilities: all of them."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = Encoder(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits over the classes, (B, T, num_labels), of ids (B, T) int64."""
        return self.classifier(self.bert(ids))  # type: ignore[no-any-return]
