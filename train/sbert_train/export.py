"""From a training folder to a model folder that is small enough to ship, and that transformers reads as well."""

import json
from pathlib import Path

import torch
from transformers import BertForMaskedLM, BertTokenizer
from transformers.utils import logging

from sbert_model.errors import InputError, OutputError
from sbert_model.tokenizer import VOCAB

MAX_BYTES = 25_000_000


def export(source: Path, out: Path) -> int:
    """Write the masked language model of `source` (a training folder or one of its checkpoints) to `out` as float16.

    Returns the size of the weights in bytes. The decoder's matrix, which is the table of word embeddings, is left
    out, as transformers does. config.json says float32, so that whoever loads the model computes in float32.
    Raises InputError for a folder without a model, OutputError when the weights exceed 25 MB.
    """
    if not (source / "config.json").is_file() or not (source / "model.safetensors").is_file():
        raise InputError(
            f"{source}: no config.json and model.safetensors; give a training folder or a checkpoint of it"
        )
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = BertForMaskedLM.from_pretrained(source, dtype=torch.float32)
    size = 2 * sum(parameter.numel() for parameter in model.parameters())
    if size > MAX_BYTES:
        raise OutputError(f"{out}: the weights would take {size} bytes, the limit is {MAX_BYTES}; ship a smaller model")
    model.half().save_pretrained(out)  # type: ignore[no-untyped-call]
    (out / "model.safetensors").chmod(0o644)  # safetensors makes files that only their owner reads
    config = json.loads((out / "config.json").read_text())
    config["dtype"] = "float32"
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    write_tokenizer(out, int(config["max_position_embeddings"]) - 2)
    return (out / "model.safetensors").stat().st_size


def write_tokenizer(folder: Path, max_nt: int) -> None:
    """Write vocab.txt and the files of transformers' tokenizer, which wants spaces between the nucleotides."""
    vocabulary = {token: number for number, token in enumerate(VOCAB)}
    tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=False, model_max_length=max_nt + 2)
    tokenizer.save_pretrained(folder)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCAB))
