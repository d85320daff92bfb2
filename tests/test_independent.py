"""Scores against a second computation: transformers' BERT in float64, strings, and DESIGN's formula written out.

Nothing of the annotator is used on that side. The trimmed alleles are worked out by hand and stand in the tables.
"""

import functools
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pysam
import pytest
import torch

from sbert_model.registry import resolve
from sbert_model.scoring import KL_CONTEXT_FLOOR
from sbert_vcf.annotator import Annotator
from sbert_vcf.options import ScoringOptions
from sbert_vcf.results import AlleleResult
from sbert_vcf.variant import Status, Variant
from tests.models import write_random_masked_lm

KL_TOLERANCE = 0.05
DELTA_TOLERANCE = 1e-4
TOKENS = {"N": 5, "A": 6, "C": 7, "G": 8, "T": 9}
MASK = 4
OPPOSITE = str.maketrans("ACGTN", "TGCAN")
Fetch = Callable[[str, int, int], str]


class Case(NamedTuple):
    """A variant as a VCF has it, the strand, and by hand: reference bases [start, end), 0-based, become `bases`."""

    name: str
    contig: str
    pos: int
    ref: str
    alt: str
    strand: str
    start: int
    end: int
    bases: str


# Literal stretches of the generated genome, at 0-based 99, 1000 and 2579 of a contig of 2,700 nt.
AT_START, MIDDLE, AT_END = "TGCAT", "GATTACACACACAGGTCCATTTTTGACGTAACC", "TTGACCGATTACAGGCATCAA"
SHORT = "G"  # the middle of a contig of 201 nt

CASES = [
    Case("snv", "c1", 1002, "A", "G", "+", 1001, 1002, "G"),
    Case("snv, minus", "c1", 1015, "G", "C", "-", 1014, 1015, "C"),
    Case("snv written with a common base before it", "c1", 1014, "GG", "GA", "+", 1014, 1015, "A"),
    Case("snv written with common bases around it", "c1", 1025, "GACG", "GTCG", "-", 1025, 1026, "T"),
    Case("insertion", "c1", 1018, "C", "CTTG", "+", 1018, 1018, "TTG"),
    Case("insertion, minus", "c1", 1028, "G", "GCC", "-", 1028, 1028, "CC"),
    Case("insertion into a repeat at its right end", "c1", 1013, "A", "ACA", "+", 1004, 1004, "AC"),
    Case("insertion into a run at its right end", "c1", 1024, "T", "TT", "-", 1019, 1019, "T"),
    Case("deletion", "c1", 1016, "TCC", "T", "-", 1016, 1018, ""),
    Case("deletion in a repeat at its right end", "c1", 1010, "CACA", "CA", "+", 1004, 1006, ""),
    Case("deletion in a repeat at its left end", "c1", 1004, "TAC", "T", "-", 1004, 1006, ""),
    Case("deletion in a run, its middle", "c1", 1021, "TT", "T", "+", 1019, 1020, ""),
    Case("delins that shrinks", "c1", 1014, "GGTCC", "TA", "+", 1013, 1018, "TA"),
    Case("delins that grows", "c1", 1014, "GG", "CATTC", "-", 1013, 1015, "CATTC"),
    Case("substitution of two bases", "c1", 1026, "AC", "GT", "+", 1025, 1027, "GT"),
    Case("delins between common bases", "c1", 1017, "CCATT", "CGGGTT", "-", 1017, 1019, "GGG"),
    Case("snv at 100 nt from the start", "c1", 101, "G", "T", "-", 100, 101, "T"),
    Case("deletion at 100 nt from the start", "c1", 100, "TG", "T", "+", 100, 101, ""),
    Case("snv at 100 nt from the end", "c1", 2600, "A", "C", "+", 2599, 2600, "C"),
    Case("insertion at 100 nt from the end", "c1", 2600, "A", "AG", "-", 2600, 2600, "G"),
    Case("snv in the middle of a contig of 201 nt", "c2", 101, "G", "A", "+", 100, 101, "A"),
    Case("no change", "c1", 1002, "A", "A", "+", 1001, 1001, ""),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def generated_genome() -> dict[str, str]:
    numbers = random.Random(11)
    letters = numbers.choices("ACGT", k=2700)
    for place, text in ((99, AT_START), (1000, MIDDLE), (2579, AT_END)):
        letters[place : place + len(text)] = text
    short = numbers.choices("ACGT", k=201)
    short[100] = SHORT
    return {"c1": "".join(letters), "c2": "".join(short)}


def padded(genome: dict[str, str]) -> Fetch:
    """Bases of a genome in memory, N outside the contig."""

    def fetch(contig: str, start: int, end: int) -> str:
        text = "N" * 2000 + genome[contig] + "N" * 2000
        return text[start + 2000 : end + 2000]

    return fetch


class Independent:
    """transformers' BertForMaskedLM in float64 with the formulas of DESIGN."""

    def __init__(self, folder: Path, fetch: Fetch) -> None:
        transformers = pytest.importorskip("transformers")
        network = transformers.BertForMaskedLM.from_pretrained(str(folder), attn_implementation="sdpa")
        self.network: Any = network.double().eval()
        self.fetch = fetch
        self.log_probs = functools.cache(self._log_probs)

    def _log_probs(self, tokens: tuple[int, ...]) -> npt.NDArray[np.float64]:
        with torch.inference_mode():
            logits = self.network(input_ids=torch.tensor([[2, *tokens, 3]])).logits
        assert logits.dtype == torch.float64
        four = np.asarray(logits[0, 1:-1, 6:10].numpy(), dtype=np.float64)
        log_probs: npt.NDArray[np.float64] = four - np.log(np.exp(four).sum(axis=1, keepdims=True))
        return log_probs

    def windows(self, case: Case) -> tuple[str, str]:
        left = self.fetch(case.contig, case.start - 512, case.start)
        ref = left + self.fetch(case.contig, case.start, case.start + 512)
        alt = (left + case.bases + self.fetch(case.contig, case.end, case.end + 1024))[:1024]
        if case.strand == "-":
            ref, alt = (text.translate(OPPOSITE)[::-1] for text in (ref, alt))
        return ref, alt

    def divergences(self, case: Case) -> list[float]:
        """(KL(left d) + KL(right d)) / 2 for d = 1…100."""
        ref, alt = (self.log_probs(tuple(TOKENS[letter] for letter in text)) for text in self.windows(case))
        means = []
        for d in range(1, 101):
            total = 0.0
            for in_ref, in_alt in (
                (512 - d, 512 - d),
                (512 + case.end - case.start + d - 1, 512 + len(case.bases) + d - 1),
            ):
                if case.strand == "-":
                    in_ref, in_alt = 1023 - in_ref, 1023 - in_alt
                for x in range(4):
                    p_alt = min(max(math.exp(alt[in_alt, x]), 1e-6), 1.0)
                    p_ref = min(max(math.exp(ref[in_ref, x]), 1e-6), 1.0)
                    total += p_alt * math.log(p_alt / p_ref)
            means.append(total / 2)
        return means

    def kl_context(self, case: Case) -> float:
        return sum(math.log(max(mean, 1e-6)) for mean in self.divergences(case))

    def delta(self, case: Case) -> float:
        ref, alt = self.windows(case)
        place = 512 if case.strand == "+" else 511
        tokens = [TOKENS[letter] for letter in ref]
        tokens[place] = MASK
        p = np.exp(self.log_probs(tuple(tokens))[place])
        return float(p[TOKENS[alt[place]] - 6] - p[TOKENS[ref[place]] - 6])


def score(fasta: Path, model: str, cases: Sequence[Case]) -> list[AlleleResult]:
    results: dict[Case, AlleleResult] = {}
    for strand in "+-":
        chosen = [case for case in cases if case.strand == strand]
        options = ScoringOptions(reference=str(fasta), model=model, device="cpu", strand=strand, delta=True)
        with Annotator.open(options) as annotator:
            variants = [Variant(case.contig, case.pos - 1, case.ref, case.alt) for case in chosen]
            results.update(zip(chosen, annotator.score(variants), strict=True))
    return [results[case] for case in cases]


def is_snv(case: Case) -> bool:
    return case.end - case.start == len(case.bases) == 1


def compare(independent: Independent, results: Sequence[AlleleResult], cases: Sequence[Case]) -> None:
    for case, result in zip(cases, results, strict=True):
        assert result.status is Status.OK, case.name
        assert result.allele == (case.contig, case.start, case.end, case.bases), case.name
        assert result.kl == pytest.approx(independent.kl_context(case), rel=0, abs=KL_TOLERANCE), case.name
        if is_snv(case):
            assert result.delta == pytest.approx(independent.delta(case), rel=0, abs=DELTA_TOLERANCE), case.name
        else:
            assert result.delta is None, case.name


@pytest.fixture(scope="module")
def genome() -> dict[str, str]:
    return generated_genome()


@pytest.fixture(scope="module")
def fasta(genome: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in genome.items()))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_masked_lm(tmp_path_factory.mktemp("models") / "wide", layers=3, seed=5, scale=2.5)


@pytest.fixture(scope="module")
def independent(folder: Path, genome: dict[str, str]) -> Independent:
    return Independent(folder, padded(genome))


def test_the_tables_alleles_are_the_same_haplotype(genome: dict[str, str]) -> None:
    for case in CASES:
        contig = genome[case.contig]
        assert contig[case.pos - 1 :].startswith(case.ref), case.name
        written = contig[: case.pos - 1] + case.alt + contig[case.pos - 1 + len(case.ref) :]
        assert contig[: case.start] + case.bases + contig[case.end :] == written, case.name


def test_scores_equal_the_independent_computation(independent: Independent, fasta: Path, folder: Path) -> None:
    compare(independent, score(fasta, str(folder), CASES), CASES)


def test_the_comparison_is_one_of_divergences_and_not_of_their_floor(independent: Independent) -> None:
    above = {case.name: sum(mean > 5e-6 for mean in independent.divergences(case)) for case in CASES}
    assert above.pop("no change") == 0
    assert min(above.values()) > 90


def test_no_change_has_the_floor(fasta: Path, folder: Path) -> None:
    (result,) = score(fasta, str(folder), [case for case in CASES if case.name == "no change"])
    assert result.kl == pytest.approx(KL_CONTEXT_FLOOR, rel=0, abs=1e-9)
    assert round(KL_CONTEXT_FLOOR, 2) == -1381.55


REAL_CASES = {
    "hg19/hg19.regions.fa.gz": [
        Case("deletion in a repeat", "chr6", 1005278, "TTCTC", "T", "-", 1005278, 1005282, ""),
        Case("the same at the repeat's right end", "chr6", 1005284, "CTCTG", "G", "-", 1005278, 1005282, ""),
        Case("insertion into a run", "chr6", 1007131, "T", "TA", "+", 1007131, 1007131, "A"),
        Case("insertion at a repeat's right end", "chr6", 1060930, "T", "TCTAT", "+", 1060916, 1060916, "ATCT"),
        Case("no change", "chr6", 1007131, "T", "T", "-", 1007130, 1007130, ""),
    ],
    "hg19/hg19.chr1_start.fa.gz": [
        Case("snv at 100 nt from a gap", "1", 10101, "C", "G", "+", 10100, 10101, "G"),
        Case("snv at 100 nt from the contig's end", "chr1", 935280, "G", "A", "-", 935279, 935280, "A"),
        Case("delins that shrinks", "1", 10623, "TGCAAAGGC", "CGCAAAG", "-", 10622, 10631, "CGCAAAG"),
        Case("substitution of two bases", "chr1", 28692, "CG", "AC", "+", 28691, 28693, "AC"),
        Case("substitution of nine bases", "1", 54708, "GTATTTTTC", "CTATTTTTT", "+", 54707, 54716, "CTATTTTTT"),
        Case("deletion in an exon of NOC2L", "chr1", 880639, "TC", "T", "-", 880639, 880640, ""),
    ],
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL_CASES)
def test_scores_of_the_bundled_model_on_real_sequence(data: Path, name: str) -> None:
    fasta, cases = data / name, REAL_CASES[name]
    with pysam.FastaFile(str(fasta)) as bases:

        def fetch(contig: str, start: int, end: int) -> str:
            contig = "chr" + contig.removeprefix("chr")
            beyond = max(0, end - bases.get_reference_length(contig))
            return bases.fetch(contig, start, end) + "N" * beyond

        independent = Independent(resolve("bundled"), fetch)
        named = [case._replace(contig="chr" + case.contig.removeprefix("chr")) for case in cases]
        compare(independent, score(fasta, "bundled", cases), named)
