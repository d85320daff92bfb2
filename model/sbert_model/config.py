"""The part of a BERT `config.json` that decides the shape of the network."""

from collections.abc import Mapping
from dataclasses import dataclass

from sbert_model.errors import ModelError
from sbert_model.tokenizer import VOCAB

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
    def fewest_parameters(self) -> int:
        """How many parameters the embeddings and the matrices of the layers have; the network has some more."""
        embeddings = len(VOCAB) + self.max_position_embeddings + self.type_vocab_size
        layer = 4 * self.hidden_size + 2 * self.intermediate_size
        return self.hidden_size * (embeddings + self.num_hidden_layers * layer)

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
