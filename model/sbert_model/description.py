"""What a model folder says of itself: shape, size and digest, read without loading the network."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from sbert_model.errors import ModelError
from sbert_model.registry import CONFIG_FILE, missing_part, weights_file

_SPECIALS = 2  # [CLS] and [SEP] take a position each
_CHUNK_BYTES = 1 << 20


class Description(NamedTuple):
    """The network of a model folder and its weights file."""

    architecture: str
    layers: int
    heads: int
    hidden_size: int
    parameters: int
    max_nucleotides: int
    weights: Path
    weights_bytes: int


def describe(folder: Path) -> Description:
    """Describe the model in `folder` from its configuration.

    Raises ModelError for a missing file and for a configuration that is not a BERT model's.
    """
    weights = weights_file(folder)
    if weights is None or missing_part(folder):
        raise ModelError(f"{folder}: not a model folder: {missing_part(folder)} is missing")
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        architecture = str(config["architectures"][0])
        return Description(
            architecture=architecture,
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            hidden_size=int(config["hidden_size"]),
            parameters=_encoder_parameters(config) + _head_parameters(config, architecture),
            max_nucleotides=int(config["max_position_embeddings"]) - _SPECIALS,
            weights=weights,
            weights_bytes=weights.stat().st_size,
        )
    except KeyError as error:
        raise ModelError(f"{path}: not the configuration of a BERT model: no {error.args[0]!r} in it") from error
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise ModelError(f"{path}: not the configuration of a BERT model: {error}") from error


def _encoder_parameters(config: dict[str, Any]) -> int:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    norm = 2 * hidden
    embeddings = config["vocab_size"] + config["max_position_embeddings"] + config.get("type_vocab_size", 2)
    attention = 4 * (hidden * hidden + hidden) + norm
    feed_forward = (hidden * inner + inner) + (inner * hidden + hidden) + norm
    return int(embeddings * hidden + norm + config["num_hidden_layers"] * (attention + feed_forward))


def _head_parameters(config: dict[str, Any], architecture: str) -> int:
    hidden, vocab = config["hidden_size"], config["vocab_size"]
    if architecture == "BertForMaskedLM":  # the decoder's matrix is that of the token embeddings
        return int(hidden * hidden + hidden + 2 * hidden + vocab)
    labels = len(config.get("id2label", "01"))  # two where the file does not say
    return int(hidden * labels + labels)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
