"""Crops drawn at splice sites."""

from typing import Any

import numpy as np
import pytest

from sbert_model.errors import InputError
from sbert_train.batches import CropBatches, Crops
from sbert_train.focus import SITE_STRETCH, splice_sites
from sbert_train.masking import IGNORED
from sbert_train.soft_targets import SoftTargets
from tests.memory_corpus import MemoryPieces, piece
from tests.tiny_pretraining import tiny_config

# Introns are A, exons C, so that a crop shows what it lies on.
REGIONS = ["exon"] * 300 + ["intron"] * 400 + ["cds"] * 100 + ["unknown"] * 50 + ["intron"] * 150


def _piece(regions: list[str]) -> Any:
    letters = {"exon": "C", "cds": "C", "intron": "A", "unknown": "G"}
    return piece("".join(letters[region] for region in regions), region=regions)


def test_sites_are_the_boundaries_of_introns_and_exons() -> None:
    near_the_end = ["intron"] * (SITE_STRETCH // 2 - 1) + ["exon"] * 200
    found = splice_sites(MemoryPieces([_piece(near_the_end), _piece(REGIONS)], ("human",)), 0.5)
    assert found.pieces.tolist() == [1, 1]
    assert (found.starts + SITE_STRETCH // 2).tolist() == [300, 700]  # nothing where the region is unknown
    assert found.true_bases


def test_a_corpus_without_sites_is_an_error() -> None:
    with pytest.raises(InputError, match="knows no boundary of intron and exon"):
        splice_sites(MemoryPieces([_piece(["intron"] * 500)], ("human",)), 0.5)


def test_the_wanted_share_of_the_crops_lies_there() -> None:
    pieces = MemoryPieces([_piece(["intron"] * 100_000), _piece(REGIONS)], ("human",))
    batches = CropBatches(pieces, (1.0,), Crops(64, 100, 60_000), 0, focuses=[splice_sites(pieces, 0.4)])
    ids = batches[0]["input_ids"].numpy()
    labels = batches[0]["labels"].numpy()
    letters: np.ndarray = np.where(labels == IGNORED, ids, labels)
    both = (letters == 6).any(axis=1) & (letters == 7).any(axis=1)
    assert 0.3 < both.mean() < 0.5
    inner = np.sort(letters[both], axis=1)  # of a crop with both, at least half a stretch of each
    assert ((inner == 6).sum(axis=1) >= SITE_STRETCH // 2).all()
    assert ((inner == 7).sum(axis=1) >= SITE_STRETCH // 2).all()


def test_crops_there_learn_true_bases_alone() -> None:
    pieces = MemoryPieces([_piece(REGIONS)], ("human",))
    soft = SoftTargets(np.full((len(REGIONS), 4), 64, dtype=np.uint8), np.array([0]))
    batches = CropBatches(pieces, (1.0,), Crops(64, 64, 600), 0, soft=soft, focuses=[splice_sites(pieces, 1.0)])
    batch = batches[0]
    for base, token in enumerate((6, 7, 8, 9)):
        assert bool((batch["soft_labels"][..., base] == (batch["labels"] == token)).all())


def test_shares_of_crops_do_not_exceed_one() -> None:
    with pytest.raises(InputError, match="together more than 1"):
        tiny_config(soft_targets="soft", soft_focus=0.6, site_focus=0.5)
