"""sbert_model.description: shape and size of a model, from its configuration."""

import json
from pathlib import Path
from typing import Any

import pytest

from sbert_model.description import describe, sha256_of
from sbert_model.errors import ModelError

SPLICEBERT: dict[str, Any] = {
    "architectures": ["BertForMaskedLM"],
    "hidden_size": 512,
    "intermediate_size": 2048,
    "max_position_embeddings": 1026,
    "num_attention_heads": 16,
    "num_hidden_layers": 6,
    "type_vocab_size": 2,
    "vocab_size": 10,
}


def write_model(folder: Path, config: object, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_the_published_shape(tmp_path: Path) -> None:
    shape = describe(write_model(tmp_path, SPLICEBERT))
    assert shape.parameters == 19_710_474  # the number its authors give
    assert shape.max_nucleotides == 1024
    assert (shape.architecture, shape.layers, shape.heads, shape.hidden_size) == ("BertForMaskedLM", 6, 16, 512)
    assert (shape.weights, shape.weights_bytes) == (tmp_path / "model.safetensors", 7)


def test_a_token_classifier_has_one_linear_layer_on_top(tmp_path: Path) -> None:
    masked = describe(write_model(tmp_path / "masked", SPLICEBERT)).parameters
    head = 512 * 512 + 512 + 2 * 512 + 10
    labels = {"0": "none", "1": "branchpoint", "2": "other"}
    config = {**SPLICEBERT, "architectures": ["BertForTokenClassification"]}
    two = describe(write_model(tmp_path / "two", config)).parameters
    three = describe(write_model(tmp_path / "three", {**config, "id2label": labels})).parameters
    assert two == masked - head + 2 * 512 + 2
    assert three == masked - head + 3 * 512 + 3


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({key: value for key, value in SPLICEBERT.items() if key != "hidden_size"}, "no 'hidden_size' in it"),
        ({**SPLICEBERT, "num_hidden_layers": "six"}, "six"),
        ({**SPLICEBERT, "architectures": None}, "NoneType"),
        ([], "list indices"),
    ],
)
def test_another_configuration_is_refused(tmp_path: Path, config: object, reason: str) -> None:
    with pytest.raises(ModelError, match=rf"config\.json: not the configuration of a BERT model: .*{reason}"):
        describe(write_model(tmp_path, config))


def test_a_configuration_that_is_no_json(tmp_path: Path) -> None:
    write_model(tmp_path, SPLICEBERT)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json: not the configuration"):
        describe(tmp_path)


def test_an_incomplete_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not a model folder: config\.json is missing"):
        describe(tmp_path)


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
