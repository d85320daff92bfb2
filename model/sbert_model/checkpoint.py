"""Model folders as transformers writes them: config.json, the weights and, where there, vocab.txt.

Loading never runs code from the folder: weights come from safetensors, or from a pickle that may hold tensors only.
"""

import hashlib
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from sbert_model.errors import ModelError
from sbert_model.network import BertConfig, MaskedLM, TokenClassifier
from sbert_model.registry import CONFIG_FILE, WEIGHTS_FILES
from sbert_model.tokenizer import VOCAB

Network = TypeVar("Network", MaskedLM, TokenClassifier)

_VOCABULARY_FILE = "vocab.txt"
_KINDS = {
    MaskedLM: ("BertForMaskedLM", "a masked language model", "cls."),
    TokenClassifier: ("BertForTokenClassification", "a token classifier", "classifier."),
}
# Tensors that no prediction reads: buffers of old releases, the pooler and the next-sentence head.
_UNUSED = ("bert.embeddings.position_ids", "bert.embeddings.token_type_ids", "bert.pooler.", "cls.seq_relationship.")
_HARMLESS_PARAMETERS = 100_000_000
_WORD_EMBEDDINGS = "bert.embeddings.word_embeddings.weight"
_DECODER_WEIGHT = "cls.predictions.decoder.weight"
_DECODER_BIAS = "cls.predictions.decoder.bias"
_HEAD_BIAS = "cls.predictions.bias"
# What unpickling raises on a damaged file.
_BROKEN_PICKLE = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    struct.error,
)


@dataclass(frozen=True)
class Checkpoint(Generic[Network]):
    """A loaded model: `network` is in eval mode, float32, on the CPU; `sha256` is that of the weights file."""

    name: str
    folder: Path
    config: BertConfig
    sha256: str
    network: Network


def load_masked_lm(folder: Path, name: str | None = None) -> Checkpoint[MaskedLM]:
    """Load a `BertForMaskedLM` folder; `name` is what the model is called, by default as the folder.

    Raises ModelError for a folder that is incomplete, broken or holds another kind of model.
    """
    return _load(folder, name, MaskedLM)


def load_token_classifier(folder: Path, name: str | None = None) -> Checkpoint[TokenClassifier]:
    """Load a `BertForTokenClassification` folder; `name` is what the model is called, by default as the folder.

    Raises ModelError for a folder that is incomplete, broken or holds another kind of model.
    """
    return _load(folder, name, TokenClassifier)


def _load(folder: Path, name: str | None, kind: type[Network]) -> Checkpoint[Network]:
    config = _read_config(folder, kind)
    _check_vocabulary(folder / _VOCABULARY_FILE)
    path = _weights_file(folder)
    # Read once, so that the digest is that of the very bytes in use.
    data = _read(path)
    tensors = _parse_safetensors(path, data) if path.suffix == ".safetensors" else _parse_pickle(path, data)
    _check_size(path, config, len(data))
    network = _fill(path, kind, config, _with_current_names(tensors))
    return Checkpoint(name or folder.resolve().name, folder, config, hashlib.sha256(data).hexdigest(), network)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error


def _read_config(folder: Path, kind: type[MaskedLM] | type[TokenClassifier]) -> BertConfig:
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise ModelError(f"{folder}: not a model folder, it has no {CONFIG_FILE}")
    try:
        values = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path}: expected a JSON object")
    expected, what, _ = _KINDS[kind]
    architectures = values.get("architectures")
    if isinstance(architectures, list) and architectures and expected not in architectures:
        raise ModelError(f"{path}: the model is {', '.join(map(str, architectures))}, expected {what} ({expected})")
    try:
        return BertConfig.from_dict(values)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _check_vocabulary(path: Path) -> None:
    if path.is_file() and (found := tuple(_read(path).decode("utf-8", "replace").split())) != VOCAB:
        raise ModelError(
            f"{path}: not SpliceBERT's vocabulary: {len(found)} tokens beginning {' '.join(found[:10])!r}, "
            f"expected {' '.join(VOCAB)!r}"
        )


def _weights_file(folder: Path) -> Path:
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"{folder}: the model has no weights ({' or '.join(WEIGHTS_FILES)})")


def _parse_safetensors(path: Path, data: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{path}: broken or incomplete; fetch the file again") from error


def _parse_pickle(path: Path, data: bytes) -> dict[str, Tensor]:
    # A zip archive, or the bare pickle of releases before 1.6.
    if not data.startswith((b"PK", b"\x80")):
        raise ModelError(f"{path}: not a PyTorch file; fetch it again")
    if data.startswith(b"PK"):
        _check_zip(path, data)
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: not opened: it is broken or holds more than tensors, and loading that could run code; "
            "get the model as model.safetensors"
        ) from error
    except _BROKEN_PICKLE as error:
        raise ModelError(f"{path}: broken or incomplete; fetch the file again") from error
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise ModelError(f"{path}: holds something other than a table of named tensors")
    return dict(content)


def _check_zip(path: Path, data: bytes) -> None:
    """Refuse a zip archive that unpacks to more than itself: PyTorch stores tensors as they are."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ModelError(f"{path}: broken or incomplete; fetch the file again") from error
    if unpacked > len(data):
        raise ModelError(f"{path}: {len(data):,} bytes that unpack to {unpacked:,}, which no PyTorch file does")


def _check_size(path: Path, config: BertConfig, size: int) -> None:
    """Refuse a config.json that asks for more parameters than the file has bytes, before memory is taken for them."""
    if config.fewest_parameters > max(size, _HARMLESS_PARAMETERS):
        raise ModelError(
            f"{path}: has {size:,} bytes, config.json asks for a network of {config.fewest_parameters:,} parameters"
        )


def _with_current_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under today's names, the tied ones filled in from their twin where the file leaves them out."""
    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not name.startswith(_UNUSED):
            name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
            named[name] = tensor
    if any(name.startswith("cls.") for name in named):
        _fill_in(named, _DECODER_WEIGHT, _WORD_EMBEDDINGS)
        _fill_in(named, _HEAD_BIAS, _DECODER_BIAS)
        _fill_in(named, _DECODER_BIAS, _HEAD_BIAS)
    return named


def _fill_in(tensors: dict[str, Tensor], name: str, twin: str) -> None:
    if name not in tensors and twin in tensors:
        tensors[name] = tensors[twin]


def _fill(path: Path, kind: Callable[[BertConfig], Network], config: BertConfig, tensors: dict[str, Tensor]) -> Network:
    # On the CPU, though its weights are thrown away: PyTorch's meta device would import its compiler, for seconds.
    network = kind(config)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    _check_kind(path, type(network), tensors)
    if missing := [name for name in expected if name not in tensors]:
        raise ModelError(f"{path}: lacks {_first(missing)}")
    if surplus := [name for name in tensors if name not in expected]:
        raise ModelError(f"{path}: holds {_first(surplus)}, of which the network of config.json has no use")
    for name, shape in expected.items():
        if (found := tuple(tensors[name].shape)) != shape:
            raise ModelError(f"{path}: tensor {name} has shape {found}, config.json asks for {shape}")
        tensors[name] = tensors[name].to(torch.float32)
        if not bool(torch.isfinite(tensors[name]).all()):
            raise ModelError(f"{path}: tensor {name} holds values that are not finite; the model is broken")
    network.load_state_dict(tensors, assign=True)
    network.requires_grad_(False)
    return network.eval()


def _check_kind(path: Path, kind: type[MaskedLM] | type[TokenClassifier], tensors: Mapping[str, Tensor]) -> None:
    """Where config.json names no architecture, say which kind of model it is, not which tensor is missing."""
    for other, (_, what, prefix) in _KINDS.items():
        if other is not kind and any(name.startswith(prefix) for name in tensors):
            raise ModelError(f"{path}: holds {what}, expected {_KINDS[kind][1]}")


def _first(names: list[str]) -> str:
    return f"tensor {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
