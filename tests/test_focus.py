"""Crops drawn at splice sites, and what their soft targets know of them."""

from typing import Any

import numpy as np
import pytest

from sbert_model.errors import InputError
from sbert_train.batches import CropBatches, Crops
from sbert_train.focus import boundaries
from sbert_train.masking import IGNORED
from sbert_train.splice_sites import STRETCH, SiteFrequencies, Sites, site_frequencies, sites_of
from tests.memory_corpus import MemoryPieces, piece
from tests.tiny_pretraining import tiny_config

HALF = STRETCH // 2
# Introns are A, exons C, so that a crop shows what it lies on.
REGIONS = ["exon"] * 300 + ["intron"] * 400 + ["cds"] * 100 + ["unknown"] * 50 + ["intron"] * 150


def _piece(regions: list[str]) -> Any:
    letters = {"exon": "C", "cds": "C", "intron": "A", "unknown": "G"}
    return piece("".join(letters[region] for region in regions), region=regions)


def test_sites_are_the_boundaries_of_introns_and_exons() -> None:
    sites = sites_of(_piece(REGIONS))
    assert (sites.starts + HALF).tolist() == [300, 700]  # nothing where the region is unknown
    assert sites.donors.tolist() == [True, False]
    assert sites_of(_piece(["intron"] * (HALF - 1) + ["exon"] * 200)).starts.size == 0  # too near the end


def test_focus_names_the_piece_of_each_site() -> None:
    found = boundaries(MemoryPieces([_piece(["intron"] * 90), _piece(REGIONS)], ("human",)), 0.5)
    assert found.pieces.tolist() == [1, 1]
    assert (found.starts + HALF).tolist() == [300, 700]


def test_a_corpus_without_sites_is_an_error() -> None:
    with pytest.raises(InputError, match="knows no boundary of intron and exon"):
        boundaries(MemoryPieces([_piece(["intron"] * 500)], ("human",)), 0.5)


def test_the_wanted_share_of_the_crops_lies_there() -> None:
    pieces = MemoryPieces([_piece(["intron"] * 100_000), _piece(REGIONS)], ("human",))
    batches = CropBatches(pieces, (1.0,), Crops(64, 100, 60_000), 0, focuses=[boundaries(pieces, 0.4)])
    ids = batches[0]["input_ids"].numpy()
    labels = batches[0]["labels"].numpy()
    letters: np.ndarray = np.where(labels == IGNORED, ids, labels)
    both = (letters == 6).any(axis=1) & (letters == 7).any(axis=1)
    assert 0.3 < both.mean() < 0.5
    inner = letters[both]  # of a crop with both, at least half a stretch of each
    assert ((inner == 6).sum(axis=1) >= HALF).all()
    assert ((inner == 7).sum(axis=1) >= HALF).all()


def test_shares_of_crops_do_not_exceed_one() -> None:
    with pytest.raises(InputError, match="together more than 1"):
        tiny_config(soft_targets="soft", soft_focus=0.6, site_focus=0.5)


def test_frequencies_count_the_chosen_pieces_by_place() -> None:
    donor_of_g = _piece(["exon"] * 60 + ["intron"] * 30)
    pieces = MemoryPieces([donor_of_g, donor_of_g, _piece(["intron"] * 500)], ("human",))
    found = site_frequencies(pieces, np.array([True, True, False]))
    # Each count begins at 1: two sites with C before and A after the boundary, no acceptor.
    np.testing.assert_allclose(found.at_sites[1, 0], np.array([1, 3, 1, 1]) / 6, rtol=1e-6)
    np.testing.assert_allclose(found.at_sites[1, HALF], np.array([3, 1, 1, 1]) / 6, rtol=1e-6)
    np.testing.assert_allclose(found.at_sites[0], 0.25, rtol=1e-6)
    np.testing.assert_allclose(found.anywhere, np.array([61, 121, 1, 1]) / 184, rtol=1e-6)


def test_targets_are_sharpened_at_sites_alone() -> None:
    at_sites = np.full((2, STRETCH, 4), 0.25, dtype=np.float32)
    at_sites[1, HALF] = (0.01, 0.01, 0.97, 0.01)
    frequencies = SiteFrequencies(at_sites, np.full(4, 0.25, dtype=np.float32))
    targets = np.tile(np.array([0.4, 0.3, 0.1, 0.2], dtype=np.float32), (200, 1))
    before = targets.copy()
    frequencies.sharpen(targets, Sites(np.array([30, 120]), np.array([True, False])))
    weights = before[0] * at_sites[1, HALF]
    np.testing.assert_allclose(targets[30 + HALF], weights / weights.sum(), rtol=1e-5)
    np.testing.assert_allclose(np.delete(targets, 30 + HALF, axis=0), np.delete(before, 30 + HALF, axis=0), rtol=1e-5)
