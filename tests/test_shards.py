from pathlib import Path

import numpy as np
import pytest

from sbert_train import shards
from sbert_train.build_corpus import HoldOut, build_corpus
from sbert_train.corpus import open_corpus
from tests.tiny_corpus import write_tiny_genome


def test_long_genes_are_read_by_blocks_with_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genome = write_tiny_genome(tmp_path / "s")
    build_corpus([genome], tmp_path / "whole", HoldOut())
    monkeypatch.setattr(shards, "BLOCK_NT", 7)
    build_corpus([genome], tmp_path / "blocks", HoldOut())
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "blocks" / path.name).read_bytes() == path.read_bytes()


def test_shards_end_before_they_grow_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genome = write_tiny_genome(tmp_path / "s")
    build_corpus([genome], tmp_path / "one", HoldOut())
    monkeypatch.setattr(shards, "SHARD_NT", 1500)
    build_corpus([genome], tmp_path / "many", HoldOut())
    one, many = (open_corpus(tmp_path / name) for name in ("one", "many"))
    sizes = [shard["size"] for shard in many.manifest["shards"]]
    assert len(sizes) > 3
    assert max(sizes) <= 1500
    assert [shard["size"] for shard in one.manifest["shards"]] == [sum(sizes)]
    for left, right in zip(one.training, many.training, strict=True):
        np.testing.assert_array_equal(left.codes, right.codes)


def test_a_gene_longer_than_a_shard_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genome = write_tiny_genome(tmp_path / "s")
    monkeypatch.setattr(shards, "SHARD_NT", 10)
    build_corpus([genome], tmp_path / "corpus", HoldOut())
    corpus = open_corpus(tmp_path / "corpus")
    assert [shard["size"] for shard in corpus.manifest["shards"]] == [len(piece) for piece in corpus.training]
