"""One number per ALT from the scores of its genes."""

from sbert_vcf.results import AlleleResult, GeneScore
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


def test_without_scores_there_are_no_numbers() -> None:
    assert result().kl is None
    assert result().delta is None
    assert result((-1.0, None)).delta is None
