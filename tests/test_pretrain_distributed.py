"""Two processes on this machine, as torchrun starts them on several."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sbert_train.corpus import open_corpus
from sbert_train.pretrain import pretrain
from tests.tiny_corpus import write_tiny_corpus
from tests.tiny_pretraining import losses, metrics, options, tiny_config, weights

ROOT = Path(__file__).resolve().parent.parent


def _two_processes(corpus: Path, run: Path, *more: str, **fields: object) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "sbert_vcf", "train", "pretrain", str(corpus), "-o", str(run), *options(**fields), *more]
    path = os.pathsep.join(str(ROOT / name) for name in (".", "model", "train"))
    return subprocess.run(
        [*launcher, *command],
        check=False,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_corpus(tmp_path_factory.mktemp("corpus"))


def test_two_processes_train_as_one(corpus: Path, tmp_path: Path) -> None:
    """The number of masked bases differs between the processes' parts of a batch, and between their steps."""
    fields: dict[str, Any] = {"dropout": 0, "accumulation": 2, "max_steps": 12}
    result = _two_processes(corpus, tmp_path / "two", **fields)
    assert result.returncode == 0, result.stderr
    pretrain(open_corpus(corpus), tiny_config(**{**fields, "accumulation": 1}), tmp_path / "one")
    for name in ("loss", "validation_loss"):
        assert losses(tmp_path / "two", name) == pytest.approx(losses(tmp_path / "one", name), abs=1e-4)
    one, two = weights(tmp_path / "one" / "last"), weights(tmp_path / "two" / "last")
    assert all(float((one[name] - two[name]).abs().max()) < 1e-4 for name in one)
    assert [line["tokens"] for line in metrics(tmp_path / "two")] == [
        line["tokens"] for line in metrics(tmp_path / "one")
    ]
    assert result.stderr.count("validation loss") == 6  # one process speaks


def test_two_processes_go_on_where_one_stopped(corpus: Path, tmp_path: Path) -> None:
    pretrain(open_corpus(corpus), tiny_config(dropout=0, max_steps=8), tmp_path / "whole")
    pretrain(open_corpus(corpus), tiny_config(dropout=0, max_steps=4), tmp_path / "parts")
    result = _two_processes(corpus, tmp_path / "parts", "--resume", dropout=0, max_steps=8)
    assert result.returncode == 0, result.stderr
    for name in ("loss", "validation_loss"):
        assert losses(tmp_path / "parts", name) == pytest.approx(losses(tmp_path / "whole", name), abs=1e-4)
