"""Tiny models with random weights, written as the folders that transformers and `sbert_model.checkpoint` read.

The weights are drawn wide, so that predictions differ from base to base and change with their context.
"""

import json
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from sbert_model.network import BertConfig, MaskedLM, TokenClassifier
from sbert_model.tokenizer import VOCAB

TIED = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")
"""Names that transformers leaves out of a weights file, for they repeat another tensor."""


def write_random_masked_lm(
    folder: Path,
    *,
    hidden: int = 32,
    layers: int = 2,
    heads: int = 4,
    max_nt: int = 1024,
    seed: int = 0,
    scale: float = 2.0,
) -> Path:
    """Write a masked language model of random weights (config.json, model.safetensors, vocab.txt); returns the folder.

    `scale` widens the weights: at 2 a changed base moves most of the 100 bases on either side by more than KL_FLOOR.
    """
    config = tiny_config(hidden=hidden, layers=layers, heads=heads, max_nt=max_nt)
    return _write(folder, "BertForMaskedLM", MaskedLM(config), seed, scale)


def write_random_token_classifier(
    folder: Path,
    *,
    hidden: int = 32,
    layers: int = 2,
    heads: int = 4,
    max_nt: int = 510,
    labels: int = 2,
    seed: int = 0,
    scale: float = 2.0,
) -> Path:
    """Write a token classifier of random weights, a branchpoint model by default; returns the folder."""
    config = tiny_config(hidden=hidden, layers=layers, heads=heads, max_nt=max_nt, labels=labels)
    return _write(folder, "BertForTokenClassification", TokenClassifier(config), seed, scale)


def tiny_config(
    *, hidden: int = 32, layers: int = 2, heads: int = 4, max_nt: int = 1024, labels: int = 2
) -> BertConfig:
    """The configuration of the models above."""
    return BertConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=max_nt + 2,
        num_labels=labels,
    )


def randomise(network: MaskedLM | TokenClassifier, seed: int = 0, scale: float = 2.0) -> None:
    """Draw the weights anew; matrices have `scale` times the spread that keeps the size of activations."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(1.0 if name.endswith("LayerNorm.weight") else 0.0)
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
            elif "embeddings" in name:
                parameter.normal_(0, 1.0 if "word" in name else 0.5, generator=generator)
            else:
                parameter.normal_(0, scale / parameter.shape[1] ** 0.5, generator=generator)
        if isinstance(network, MaskedLM):
            # Logits of spread 2, for the word embeddings are the decoder too: no base is certain.
            network.cls.predictions.transform.LayerNorm.weight.mul_(2 / network.config.hidden_size**0.5)


def config_dict(config: BertConfig, architecture: str) -> dict[str, object]:
    """What stands in the `config.json` of a published model."""
    return {
        "architectures": [architecture],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "type_vocab_size": config.type_vocab_size,
        "layer_norm_eps": config.layer_norm_eps,
        "position_embedding_type": "absolute",
        "pad_token_id": 0,
        "vocab_size": len(VOCAB),
        "id2label": {str(label): f"LABEL_{label}" for label in range(config.num_labels)},
        "label2id": {f"LABEL_{label}": label for label in range(config.num_labels)},
    }


def untied_tensors(network: torch.nn.Module) -> dict[str, Tensor]:
    """The tensors of a network as a weights file holds them: each once."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items() if name not in TIED}


def _write(folder: Path, architecture: str, network: MaskedLM | TokenClassifier, seed: int, scale: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    randomise(network, seed, scale)
    (folder / "config.json").write_text(json.dumps(config_dict(network.config, architecture), indent=2))
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCAB))
    safetensors.torch.save_file(untied_tensors(network), folder / "model.safetensors", metadata={"format": "pt"})
    return folder
