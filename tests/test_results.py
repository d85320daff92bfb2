"""One number per ALT from the scores of its genes."""

import pytest

from sbert_vcf.results import AlleleResult, BranchpointScore, GeneScore, SpliceSiteKL
from sbert_vcf.strand import Placement
from sbert_vcf.variant import Status


def result(*scores: tuple[float, float | None]) -> AlleleResult:
    return AlleleResult("T", 1, Status.OK, tuple(GeneScore(Placement("+", "both"), kl, delta) for kl, delta in scores))


def test_kl_is_the_maximum() -> None:
    assert result((-900.0, None), (-500.0, None), (-1381.55, None)).kl == -500.0
    assert result((0.0, None)).kl == 0.0


def test_delta_is_that_of_the_largest_magnitude() -> None:
    assert result((-1.0, 0.25), (-1.0, -0.75), (-1.0, 0.5)).delta == -0.75
    assert result((-1.0, None), (-1.0, 0.0)).delta == 0.0


def test_splice_sites_sum_and_the_maximum_is_that_of_the_allele() -> None:
    assert SpliceSiteKL(0.5, 0.25).total == 0.75
    assert SpliceSiteKL(None, 0.25).total == SpliceSiteKL(0.25, None).total == 0.25
    assert SpliceSiteKL(0.0, None).total == 0.0
    assert SpliceSiteKL().total is None
    place = Placement("+", "both")
    scores = tuple(GeneScore(place, -1.0, None, sites) for sites in (SpliceSiteKL(), SpliceSiteKL(0.1, 0.2)))
    assert AlleleResult("T", 1, Status.OK, scores).ss == pytest.approx(0.3)


def test_branchpoint_loss_is_the_maximum_over_genes() -> None:
    place = Placement("+", "both")
    found = [None, BranchpointScore(0.25, 0.5, -20, 9), BranchpointScore(0.0, 0.0, None, 9)]
    scores = tuple(GeneScore(place, -1.0, branchpoint=score) for score in found)
    assert AlleleResult("T", 1, Status.OK, scores).bp == 0.25
    assert AlleleResult("T", 1, Status.OK, scores[::2]).bp == 0.0
    assert AlleleResult("T", 1, Status.OK, scores[:1]).bp is None


def test_without_scores_there_are_no_numbers() -> None:
    assert result().kl is None
    assert result().delta is None
    assert result().ss is None
    assert result().bp is None
    assert result((-1.0, None)).delta is None
