"""From a run to a model folder that is small enough to ship, and that transformers reads as well."""

import json
import shutil
from pathlib import Path

import torch
from transformers import BertForMaskedLM, BertForTokenClassification, BertTokenizer
from transformers.utils import logging

from sbert_model.errors import InputError, OutputError
from sbert_model.tokenizer import VOCAB

MAX_BYTES = 25_000_000
_KINDS = {kind.__name__: kind for kind in (BertForMaskedLM, BertForTokenClassification)}
_OF_A_RUN = ("best", "final", "last")
"""Folders of a run that hold a model, the first that is there: of pretraining (best, last), of branchpoints (final)."""


def export(source: Path, out: Path, max_bytes: int = MAX_BYTES) -> int:
    """Write the masked language model or token classifier of `source` (a run or a model folder) to `out` as float16.

    Of a pretraining run the best model counts, of a branchpoint run the final one. Returns the size of the weights in
    bytes. A decoder's matrix, which is the table of word embeddings, is left out, as transformers does. config.json
    says float32, so that whoever loads the model computes in float32. Raises InputError for a folder without a model
    or with one of another kind, OutputError when the weights exceed the limit or for an `out` that is there.
    """
    model_folder = _model_folder(source)
    kind = _kind(model_folder)
    if out.exists():
        raise OutputError(f"{out}: is there already; choose another name, or remove it")
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = kind.from_pretrained(model_folder, dtype=torch.float32)
    size = 2 * sum(parameter.numel() for parameter in model.parameters())
    if size > max_bytes:
        raise OutputError(f"{out}: the weights would take {size} bytes, the limit is {max_bytes}; ship a smaller model")
    new = out.with_name(f".{out.name}.new")
    try:
        model.half().save_pretrained(new)  # type: ignore[no-untyped-call]
        config = json.loads((new / "config.json").read_text())
        config["dtype"] = "float32"
        (new / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        complete_model_folder(new, int(config["max_position_embeddings"]) - 2)
        new.rename(out)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return (out / "model.safetensors").stat().st_size


def _model_folder(source: Path) -> Path:
    for folder in (*(source / name for name in _OF_A_RUN), source):
        if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
            return folder
    hint = "; a branchpoint run has a model to ship with --final" if (source / "folds").is_dir() else ""
    raise InputError(f"{source}: no config.json and model.safetensors; give the folder of a run or of a model{hint}")


def _kind(folder: Path) -> type[BertForMaskedLM] | type[BertForTokenClassification]:
    path = folder / "config.json"
    try:
        (name,) = json.loads(path.read_text())["architectures"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: names no architecture; expected {' or '.join(_KINDS)}") from error
    if name not in _KINDS:
        raise InputError(f"{path}: the model is {name}; only {' and '.join(_KINDS)} can be exported")
    return _KINDS[name]


def complete_model_folder(folder: Path, max_nt: int) -> None:
    """Add vocab.txt and the files of transformers' tokenizer, which wants spaces between the nucleotides."""
    (folder / "model.safetensors").chmod(0o644)  # safetensors makes files that only their owner reads
    vocabulary = {token: number for number, token in enumerate(VOCAB)}
    tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=False, model_max_length=max_nt + 2)
    tokenizer.save_pretrained(folder)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCAB))
