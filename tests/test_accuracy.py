"""The accuracy contract: figures known by hand, and checks of tiny models from end to end."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
import transformers

from sbert_model.checkpoint import load_masked_lm
from sbert_model.errors import InputError
from sbert_model.tokenizer import encode, with_specials
from sbert_vcf.accuracy import Figure, Float64Predictor, Scores, check, figures, spearman
from sbert_vcf.generated import generate
from sbert_vcf.options import ScoringOptions
from sbert_vcf.results import AlleleResult, BranchpointScore, GeneScore, SpliceSiteKL
from sbert_vcf.strand import Placement
from sbert_vcf.variant import Status
from tests.models import write_random_masked_lm, write_random_token_classifier


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_random_masked_lm(folder / "mlm", hidden=16, layers=2, heads=2, max_nt=402)
    write_random_token_classifier(folder / "bp", hidden=16, layers=1, heads=2, scale=1.2)
    return folder


def options(models: Path, precision: str = "auto", **more: str) -> ScoringOptions:
    return ScoringOptions(
        model=str(models / "mlm"),
        branchpoint_model=str(models / "bp"),
        bp_distance=30,
        device="cpu",
        precision=precision,
        threads=1,
        **more,  # type: ignore[arg-type]
    )


NO_SITES = SpliceSiteKL()


def result(kl: float, sites: SpliceSiteKL = NO_SITES, branchpoint: Sequence[float] = ()) -> AlleleResult:
    score = BranchpointScore(branchpoint[0], branchpoint[1], None, 7) if branchpoint else None
    return AlleleResult("A", 1, Status.OK, (GeneScore(Placement("+", "", ""), kl, None, sites, score),))


def by_name(found: list[Figure]) -> dict[str, tuple[int, float]]:
    return {f"{figure.score}: {figure.name}": (figure.values, figure.measured) for figure in found}


def test_figures_by_hand() -> None:
    scores: list[Scores] = [
        (result(-900.0, SpliceSiteKL(0.103, 1e-9)), result(-900.25, SpliceSiteKL(0.1, 0.0))),
        (result(-800.0, SpliceSiteKL(None, 2e-9)), result(-800.0, SpliceSiteKL(None, 0.0))),
        (result(-700.0, branchpoint=(0.3, 0.1)), result(-900.5, branchpoint=(0.3004, 0.1))),
    ]
    found = figures(scores)
    expected = {
        "KL-context: Spearman correlation": (3, -0.5),
        "KL-context: largest error, nats": (3, 200.5),
        "splice-site KL: largest relative error": (3, 0.03),
        "branchpoint loss, gain: largest error": (2, 0.0004),
    }
    assert by_name(found).keys() == expected.keys()
    for name, (count, measured) in by_name(found).items():
        assert count == expected[name][0]
        assert measured == pytest.approx(expected[name][1])
    assert [figure.kept for figure in found] == [False, False, False, True]


def test_figures_of_scores_that_there_are() -> None:
    assert figures([]) == []
    found = figures([(result(-900.0), result(-900.5)), (result(-800.0), result(-800.0))])
    assert [figure.name for figure in found] == ["Spearman correlation", "largest error, nats"]
    assert all(figure.kept for figure in found)


def test_what_is_not_a_number_is_not_kept() -> None:
    found = figures([(result(-900.0), result(-900.0))] * 3)
    assert math.isnan(found[0].measured)
    assert not found[0].kept
    assert not figures([(result(math.nan), result(-900.0))])[1].kept


def test_spearman_as_scipy_has_it() -> None:
    random = np.random.default_rng(5)
    one = random.integers(0, 30, 200).astype(float)
    other = one + random.integers(-9, 9, 200).astype(float)
    assert spearman(one, other) == pytest.approx(scipy.stats.spearmanr(one, other).statistic, abs=1e-12)


def test_float64_is_what_transformers_computes(models: Path) -> None:
    ids = encode("ACGTTGCANGT" * 30)
    network = transformers.BertForMaskedLM.from_pretrained(models / "mlm", dtype=torch.float64)
    network.train(False)
    with torch.inference_mode():
        logits = network(torch.from_numpy(with_specials(ids[None]))).logits[0, 1:-1, 6:10]
    (found, again) = Float64Predictor(load_masked_lm(models / "mlm").network, torch.device("cpu")).log_probs(
        [ids, ids.copy()]
    )
    assert found.dtype == np.float64
    assert found is again
    np.testing.assert_allclose(found, torch.log_softmax(logits, dim=-1).numpy(), rtol=0, atol=1e-12)


def test_float32_keeps_the_contract_on_generated_variants(models: Path) -> None:
    done = check(options(models), None, 40)
    assert done.kept
    assert (done.precision, done.device, done.alleles) == ("float32", "cpu", 40)
    assert [(figure.score, figure.values > 5) for figure in done.figures] == [
        ("KL-context", True),
        ("KL-context", True),
        ("splice-site KL", True),
        ("branchpoint loss, gain", True),
    ]
    # Not the same arithmetic twice.
    assert 0 < done.figures[1].measured < 0.1


def test_bfloat16_does_not(models: Path) -> None:
    done = check(options(models, "bfloat16"), None, 40)
    assert not done.kept
    assert done.figures[1].measured > 1


def test_a_vcf_of_the_users(models: Path, tmp_path: Path) -> None:
    made = generate(tmp_path, 30)
    rows = [f"{site.contig}\t{site.start + 1}\t.\t{site.ref}\t{site.alts[0]}\t.\t.\t.\n" for site in made.sites]
    rows.insert(3, rows[3].replace("\t.\t.\t.\n", "\t.\t.\tX=1\n").replace(made.sites[3].alts[0], "<DEL>"))
    vcf = tmp_path / "in.vcf"
    vcf.write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(rows))
    done = check(options(models, reference=str(made.fasta)), str(vcf), 12)
    assert (done.alleles, done.data) == (12, str(vcf))
    assert [figure.score for figure in done.figures] == ["KL-context", "KL-context"]
    assert done.figures[0].values == 24  # on both strands, for nothing tells which
    done = check(options(models, reference=str(made.fasta), genes=str(made.genes)), str(vcf), 100)
    assert done.alleles == 30
    vcf.write_text("".join(vcf.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(InputError, match=r"in\.vcf: 1 alleles can be scored; at least 2 are needed, better 200"):
        check(options(models, reference=str(made.fasta)), str(vcf))
