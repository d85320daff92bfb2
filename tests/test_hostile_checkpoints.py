"""The checkpoint from which --resume goes on: what is read of it runs no code."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sbert_model.errors import ModelError
from sbert_train.corpus import open_corpus
from sbert_train.pretrain import pretrain
from tests.tiny_corpus import write_tiny_corpus
from tests.tiny_pretraining import tiny_config


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.made),)


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    corpus, run = open_corpus(write_tiny_corpus(tmp_path / "corpus")), tmp_path / "run"
    pretrain(corpus, tiny_config(max_steps=3), run)
    pickles = sorted(path for path in (run / "last").iterdir() if path.suffix in (".pt", ".pth", ".bin"))
    assert [path.name for path in pickles] == ["optimizer.pt", "rng_state.pth", "scheduler.pt"]
    for number, path in enumerate(pickles):
        content = path.read_bytes()
        torch.save(Payload(tmp_path / f"made {number}"), path)
        with pytest.raises(ModelError, match=r"run/last: .*holds more than tensors"):
            pretrain(corpus, tiny_config(), run, resume=True)
        path.write_bytes(content)
    assert not list(tmp_path.glob("made*"))
