"""Which regions an allele reaches, the windows before an acceptor, and scores known by hand."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sbert_model.checkpoint import Checkpoint, load_token_classifier
from sbert_model.errors import ModelError
from sbert_model.network import TokenClassifier
from sbert_model.predict import FinishAt, Indices, LogProbs, Predictor
from sbert_model.tokenizer import Ids, decode
from sbert_vcf.acceptors import Acceptor
from sbert_vcf.branchpoints import BranchpointScorer, build_pair, reaches, score_pairs
from sbert_vcf.reference import Reference
from sbert_vcf.results import BranchpointScore
from sbert_vcf.variant import Allele
from tests.models import write_random_token_classifier

CPU = torch.device("cpu")
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")
ACCEPTOR = 1000
MOTIF = "TACTAAC"  # its second last base is the branchpoint
LETTERS = list("G" * 2000)
LETTERS[ACCEPTOR - 30 : ACCEPTOR - 23] = MOTIF
FORWARD = "".join(LETTERS)
BASE = FORWARD[ACCEPTOR - 25]
RANDOM = "".join(random.Random(9).choices("ACGT", k=2000))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">motif\n{FORWARD}\n>reverse\n{sense(FORWARD, '-')}\n>random\n{RANDOM}\n")
    with Reference(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint[TokenClassifier]:
    folder = tmp_path_factory.mktemp("models") / "bp"
    return load_token_classifier(write_random_token_classifier(folder, hidden=8, heads=1, layers=1))


class MotifPredictor(Predictor):
    """p(branchpoint) 0.9 at the A of TACTAAC that is the sixth base, 0.2 at the A of other TNA, else 0."""

    def start_at(self, windows: Sequence[Ids], positions: Sequence[Indices]) -> FinishAt:
        found = [self._one(decode(window))[bases] for window, bases in zip(windows, positions, strict=True)]
        return lambda: np.concatenate(found)

    def _one(self, text: str) -> LogProbs:
        p = np.zeros(len(text))
        for index in range(len(text)):
            if index >= 2 and text[index] == "A" and text[index - 2] == "T":
                p[index] = 0.2
            if text[max(index - 5, 0) : index + 2] == MOTIF:
                p[index] = 0.9
        with np.errstate(divide="ignore"):
            log_probs: LogProbs = np.log(np.stack([1 - p, p], axis=1))
        return log_probs


@pytest.fixture
def scorer(model: Checkpoint[TokenClassifier]) -> BranchpointScorer:
    return BranchpointScorer(model, MotifPredictor(model.network, CPU))


def sense(text: str, strand: str) -> str:
    return text if strand == "+" else text.translate(COMPLEMENT)[::-1]


def mirrored(allele: Allele) -> Allele:
    """The same change where the contig is the reverse complement."""
    return Allele("reverse", 2000 - allele.end, 2000 - allele.start, sense(allele.alt, "-"))


# What is reached. Offsets from the first exon base: the region is -44…-18.


@pytest.mark.parametrize(
    ("start", "end", "alt", "expected"),
    [
        (-48, -47, "A", False),
        (-47, -46, "A", True),
        (-15, -14, "A", True),
        (-14, -13, "A", False),
        (-60, -48, "", False),
        (-60, -46, "", True),
        (-47, -47, "A", False),  # insertions
        (-46, -46, "A", True),
        (-14, -14, "A", True),  # what lies between region and exon shifts the region
        (-1, -1, "A", True),
        (0, 0, "A", False),
        (-1, 0, "", True),
        (0, 1, "", False),
        (-5, 5, "", True),
        (-5, 5, "ACGTACGTAC", False),  # keeps the length
        (-5, -4, "AC", True),
        (-100, -99, "", False),  # shifts only what lies upstream of the region
    ],
)
def test_reaches(start: int, end: int, alt: str, expected: bool) -> None:
    allele = Allele("c", ACCEPTOR + start, ACCEPTOR + end, alt)
    assert reaches(Acceptor("c", ACCEPTOR, "+"), allele, 3) is expected
    assert reaches(Acceptor("reverse", 1999 - ACCEPTOR, "-"), mirrored(allele), 3) is expected


def test_distance_widens_the_reach(model: Checkpoint[TokenClassifier]) -> None:
    acceptor = Acceptor("c", ACCEPTOR, "+")
    for offset, distance in ((-64, 20), (2, 20)):
        snv = Allele("c", ACCEPTOR + offset, ACCEPTOR + offset + 1, "A")
        assert reaches(acceptor, snv, distance)
        assert not reaches(acceptor, snv, distance - 1)
    scorers = [BranchpointScorer(model, Predictor(model.network, CPU), distance) for distance in (0, 3, 4)]
    assert [scorer.distance for scorer in scorers] == [3, 3, 4]
    assert scorers[0].reach == 47


# Windows.


def test_windows_of_a_deletion_by_hand(reference: Reference) -> None:
    # Three bases between region and exon: the alternate region starts three bases further upstream.
    pair = build_pair(Acceptor("random", ACCEPTOR, "+"), Allele("random", 990, 993, ""), reference)
    assert decode(pair.reference) == RANDOM[715:1225]
    assert decode(pair.alternate) == (RANDOM[:990] + RANDOM[993:])[712 : 712 + 510]
    assert pair.in_reference == [*range(241, 268), 510, 510, 510]
    # The last three bases leave the region, the three upstream of it come in.
    assert pair.in_alternate == [*range(244, 268), 510, 510, 510, 241, 242, 243]


def test_windows_of_an_insertion_in_the_region_by_hand(reference: Reference) -> None:
    pair = build_pair(Acceptor("random", ACCEPTOR, "+"), Allele("random", 980, 980, "TT"), reference)
    assert decode(pair.alternate) == (RANDOM[:980] + "TT" + RANDOM[980:])[717 : 717 + 510]
    assert pair.in_reference == [*range(241, 268), 510, 510]
    assert pair.in_alternate == [510, 510, *range(241, 263), 265, 266, 267, 263, 264]


def test_windows_of_a_substitution_are_aligned_base_by_base(reference: Reference) -> None:
    pair = build_pair(Acceptor("random", ACCEPTOR, "+"), Allele("random", 975, 977, "NN"), reference)
    assert pair.in_reference == pair.in_alternate == list(range(241, 268))
    assert [at for at in range(510) if pair.reference[at] != pair.alternate[at]] == [260, 261]


@pytest.mark.parametrize(
    ("allele", "text"),
    [
        # The exon's first base is gone: the region lies before the first that is left.
        (Allele("random", 995, 1005, ""), RANDOM[:995] + RANDOM[1005:]),
        # Of four new bases for five of the intron and three of the exon, three count as exon.
        (Allele("random", 995, 1003, "ACGT"), RANDOM[:995] + "ACGT" + RANDOM[1003:]),
        # Two new bases for one intron base and five exon bases: both count as exon.
        (Allele("random", 999, 1005, "AC"), RANDOM[:999] + "AC" + RANDOM[1005:]),
    ],
)
def test_windows_of_an_allele_across_the_boundary(reference: Reference, allele: Allele, text: str) -> None:
    boundary = {1005: 995, 1003: 996}[allele.end] if allele.alt != "AC" else 999
    pair = build_pair(Acceptor("random", ACCEPTOR, "+"), allele, reference)
    assert decode(pair.alternate) == text[boundary - 285 : boundary + 225]


def test_beyond_the_contig_is_n(reference: Reference) -> None:
    pair = build_pair(Acceptor("random", 100, "+"), Allele("random", 75, 76, "N"), reference)
    assert decode(pair.reference) == "N" * 185 + RANDOM[:325]
    pair = build_pair(Acceptor("random", 1950, "-"), Allele("random", 1975, 1976, "N"), reference)
    assert decode(pair.reference) == "N" * 236 + sense(RANDOM[1726:], "-")


@given(st.integers(-330, 300), st.integers(0, 80), st.text("ACGT", max_size=80))
def test_strands_are_mirror_images(reference: Reference, start: int, deleted: int, alt: str) -> None:
    allele = Allele("motif", ACCEPTOR + start, ACCEPTOR + start + deleted, alt)
    plus, minus = Acceptor("motif", ACCEPTOR, "+"), Acceptor("reverse", 1999 - ACCEPTOR, "-")
    if not reaches(plus, allele, 241):
        return
    forward, backward = build_pair(plus, allele, reference), build_pair(minus, mirrored(allele), reference)
    assert forward.reference.tolist() == backward.reference.tolist()
    assert forward.alternate.tolist() == backward.alternate.tolist()
    assert (forward.in_reference, forward.in_alternate) == (backward.in_reference, backward.in_alternate)
    assert len(forward.reference) == len(forward.alternate) == 510
    # Every base of either region once.
    for indices in (forward.in_reference, forward.in_alternate):
        assert sorted(index for index in indices if index != 510) == list(range(241, 268))


# Scores known by hand: the branchpoint is the A 25 nt upstream.


@pytest.mark.parametrize(
    ("start", "end", "alt", "loss", "gain", "position"),
    [
        (-25, -24, "G", 0.9, 0.0, -25),  # another base
        (-27, -26, "C", 0.9, 0.0, -25),  # the T two bases before it
        (-28, -27, "T", 0.7, 0.2, -25),  # TATTAAC: it is only one of TNA now, as is the A before it
        (-25, -24, "", 0.9, 0.0, -25),  # gone
        (-26, -23, "", 0.9, 0.0, -25),
        (-60, -10, "", 0.9, 0.0, -25),  # the whole region gone
        (-10, -2, "", 0.9, 0.0, -25),  # 8 bases nearer: shifted out of the region
        (-10, -5, "", 0.0, 0.0, None),  # 5 bases nearer: still in it
        (-10, -10, "C" * 19, 0.0, 0.0, None),  # 19 bases farther: 44 upstream, still in it
        (-10, -10, "C" * 20, 0.9, 0.0, -25),
        (-20, -20, MOTIF, 0.0, 0.9, None),  # a second one
        (-47, -46, "A", 0.0, 0.0, None),
        (-38, -37, "A", 0.0, 0.0, None),
    ],
)
def test_disruption(
    reference: Reference,
    scorer: BranchpointScorer,
    start: int,
    end: int,
    alt: str,
    loss: float,
    gain: float,
    position: int | None,
) -> None:
    assert BASE == "A"
    allele = Allele("motif", ACCEPTOR + start, ACCEPTOR + end, alt)
    for changed, acceptor in (
        (allele, Acceptor("motif", ACCEPTOR, "+")),
        (mirrored(allele), Acceptor("reverse", 1999 - ACCEPTOR, "-")),
    ):
        pairs = scorer.pairs(changed, [acceptor, acceptor], reference)
        assert len(pairs) == 1
        score = score_pairs(pairs, scorer.changes(pairs))
        assert score is not None
        assert score[:2] == pytest.approx((loss, gain), abs=1e-6)
        assert score[2:] == (position, acceptor.position)


def test_of_two_acceptors_the_one_that_loses_most(reference: Reference, scorer: BranchpointScorer) -> None:
    # 25 nt before the one, 45 nt before the other, which only sees what is beside it.
    acceptors = [Acceptor("motif", ACCEPTOR + 20, "+"), Acceptor("motif", ACCEPTOR, "+")]
    pairs = scorer.pairs(Allele("motif", ACCEPTOR - 25, ACCEPTOR - 24, "G"), acceptors, reference)
    assert len(pairs) == 2
    score = score_pairs(pairs, scorer.changes(pairs))
    assert score is not None
    assert score == BranchpointScore(score.loss, 0.0, -25, ACCEPTOR)
    assert score.loss == pytest.approx(0.9)
    assert score_pairs([], {}) is None


def test_windows_are_read_once(reference: Reference, model: Checkpoint[TokenClassifier]) -> None:
    predictor = Predictor(model.network, CPU)
    scorer = BranchpointScorer(model, predictor)
    acceptor = Acceptor("random", ACCEPTOR, "+")
    pairs = [
        pair
        for alt in ("A", "C", "GG")
        for pair in scorer.pairs(Allele("random", 975, 976, alt), [acceptor], reference)
    ]
    changes = scorer.changes(pairs)
    assert predictor.windows_run == 1 + 3
    assert scorer.changes(pairs) == changes
    assert predictor.windows_run == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": 3}, "odd: has 3 classes; a branchpoint model has 2"),
        ({"max_nt": 509}, "odd: reads 509 nt; a branchpoint model reads 510"),
    ],
)
def test_models_that_are_none_for_branchpoints(tmp_path: Path, options: dict[str, int], message: str) -> None:
    odd = load_token_classifier(write_random_token_classifier(tmp_path / "odd", hidden=8, heads=1, layers=1, **options))
    with pytest.raises(ModelError, match=message):
        BranchpointScorer(odd, Predictor(odd.network, CPU))


def test_probabilities_that_are_not_finite_stop_the_run(
    reference: Reference, model: Checkpoint[TokenClassifier]
) -> None:
    class Overflowing(Predictor):
        def start_at(self, windows: Sequence[Ids], positions: Sequence[Indices]) -> FinishAt:
            return lambda: np.full((sum(map(len, positions)), 2), np.nan)

    scorer = BranchpointScorer(model, Overflowing(model.network, CPU))
    pairs = scorer.pairs(Allele("random", 975, 976, "N"), [Acceptor("random", ACCEPTOR, "+")], reference)
    with pytest.raises(ModelError, match=r"bp: no finite branchpoint probabilities: .*--precision float32$"):
        scorer.changes(pairs)
