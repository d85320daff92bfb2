"""SBERT_SS against a second computation: transformers' BERT in float64 and the definition, on strings and lists."""

import functools
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from sbert_vcf.annotator import Annotator
from sbert_vcf.options import ScoringOptions
from sbert_vcf.results import AlleleResult, GeneScore
from sbert_vcf.variant import Status
from tests.changes import Change, change, haplotype, padded
from tests.models import write_random_masked_lm

TOKENS = {"N": 5, "A": 6, "C": 7, "G": 8, "T": 9}
OPPOSITE = str.maketrans("ACGTN", "TGCAN")
SEQUENCE = "".join(random.Random(21).choices("ACGT", k=3400))
Exons = list[tuple[int, int]]
# By gene its strand and its transcripts' exons, 0-based half-open.
GENES: dict[str, tuple[str, list[Exons]]] = {
    "PLUS": (
        "+",
        [
            [(300, 420), (700, 850), (1400, 1500), (2300, 2500)],
            [(300, 420), (800, 850), (1400, 1600), (1690, 1800)],
        ],
    ),
    "MINUS": ("-", [[(900, 1000), (1300, 1420), (1900, 2100), (2210, 2300)], [(900, 1000), (1650, 1760)]]),
}


def gtf() -> str:
    return "".join(
        f'c1\ttest\texon\t{start + 1}\t{end}\t.\t{strand}\t.\tgene_id "{gene}"; transcript_id "{gene}.{number}";\n'
        for gene, (strand, transcripts) in GENES.items()
        for number, exons in enumerate(transcripts)
        for start, end in exons
    )


SPLICING = [
    change(SEQUENCE, start, deleted, inserted)
    for start, deleted, inserted in [
        (760, 1, 1),  # in an exon
        (850, 1, 1),  # first base of a donor of the plus strand
        (851, 1, 1),  # its second base
        (1398, 1, 1),  # in an acceptor
        (850, 2, 2),  # both bases of a donor
        (849, 1, 0),  # the last base of an exon
        (850, 1, 0),  # one base of a donor
        (849, 4, 0),  # a whole donor and what is around it
        (845, 12, 3),
        (851, 0, 4),  # between the bases of a donor
        (850, 0, 2),  # between exon and donor
        (1420, 1, 1),  # in an acceptor of the minus strand
        (1299, 1, 0),  # in a donor of the minus strand
        (1298, 0, 3),
        (1350, 30, 0),
        (1150, 1, 1),  # deep in an intron
        (1445, 0, 60),  # an insertion that pushes a site out of the window
        (1770, 1, 1),
        (1560, 5, 9),
        (2000, 1, 1),
        (2150, 7, 0),
        (1625, 1, 1),
        (310, 1, 1),  # a first exon
        (2400, 3, 0),  # a last exon
    ]
]


class Network:
    """One of transformers' BERT classes in float64."""

    def __init__(self, name: str, folder: Path, classes: slice) -> None:
        transformers = pytest.importorskip("transformers")
        network = getattr(transformers, name).from_pretrained(str(folder), attn_implementation="sdpa")
        self.network: Any = network.double().eval()
        self.classes = classes
        self.probabilities = functools.cache(self._probabilities)

    def _probabilities(self, text: str) -> npt.NDArray[np.float64]:
        with torch.inference_mode():
            logits = self.network(input_ids=torch.tensor([[2, *(TOKENS[letter] for letter in text), 3]])).logits
        chosen = np.asarray(logits[0, 1:-1, self.classes].numpy(), dtype=np.float64)
        odds = np.exp(chosen - chosen.max(axis=1, keepdims=True))
        probabilities: npt.NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
        return probabilities


def sense(text: str, strand: str) -> str:
    return text if strand == "+" else text.translate(OPPOSITE)[::-1]


def divergence(alt: npt.NDArray[np.float64], ref: npt.NDArray[np.float64]) -> float:
    pairs = zip(alt.clip(1e-6, 1).tolist(), ref.clip(1e-6, 1).tolist(), strict=True)
    return math.fsum(p_alt * math.log(p_alt / p_ref) for p_alt, p_ref in pairs)


def distance(made: Change, exon: tuple[int, int]) -> int:
    """Bases between the change and an exon; below 0: how many they share."""
    return max(made.start, exon[0]) - min(made.end, exon[1])


def sites(exons: Exons, strand: str, made: Change) -> tuple[list[int], list[int]]:
    """Donor and acceptor bases of the nearest exon."""
    in_order = exons if strand == "+" else exons[::-1]
    index = min(range(len(exons)), key=lambda number: distance(made, in_order[number]))
    start, end = in_order[index]
    left, right = [start - 2, start - 1], [end, end + 1]
    donor, acceptor = (right, left) if strand == "+" else (left, right)
    return donor if index < len(exons) - 1 else [], acceptor if index else []


def expected_splice_sites(network: Network, made: Change, gene: str) -> list[tuple[float | None, float | None]]:
    """Donor and acceptor divergence at the nearest exon of each transcript that the change touches."""
    strand, transcripts = GENES[gene]
    first = made.start - 512
    ref_text = padded(SEQUENCE, first, first + 1024)
    alt_text, origins = haplotype(SEQUENCE, made, first, 1024)
    ref, alt = (network.probabilities(sense(text, strand)) for text in (ref_text, alt_text))
    if strand == "-":
        ref, alt = ref[::-1], alt[::-1]
    found = []
    for exons in transcripts:
        if made.end <= exons[0][0] or made.start >= exons[-1][1]:
            continue
        values = []
        for bases in sites(exons, strand, made):
            there = [base for base in bases if base in origins and first <= base < first + 1024]
            kl = [divergence(alt[origins.index(base)], ref[base - first]) for base in there]
            values.append(sum(kl) / len(kl) if kl else None)
        found.append((values[0], values[1]))
    return found


def total(sites: tuple[float | None, float | None]) -> float:
    return sum(value or 0.0 for value in sites)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sites")
    (folder / "genome.fa").write_text(f">c1\n{SEQUENCE}\n")
    (folder / "genes.gtf").write_text(gtf())
    write_random_masked_lm(folder / "wide", layers=3, seed=5, scale=2.5)
    return folder


def score(world: Path, changes: list[Change], **options: Any) -> list[AlleleResult]:
    scoring = ScoringOptions(
        reference=str(world / "genome.fa"),
        genes=str(world / "genes.gtf"),
        model=str(world / "wide"),
        device="cpu",
        **options,
    )
    with Annotator.open(scoring) as annotator:
        results = list(annotator.score(made.variant("c1", SEQUENCE) for made in changes))
    for made, result in zip(changes, results, strict=True):
        assert result.status is Status.OK, made
        assert result.allele == ("c1", *made), made
    return results


def test_splice_site_kl_equals_the_independent_computation(world: Path) -> None:
    network = Network("BertForMaskedLM", world / "wide", slice(6, 10))
    seen = set()
    for made, result in zip(SPLICING, score(world, SPLICING), strict=True):
        best = []
        for gene_score in result.scores:
            expected = max(expected_splice_sites(network, made, gene_score.placement.gene), key=total)
            _compare(gene_score, expected, made)
            seen.add((gene_score.placement.strand, *(value is None for value in expected)))
            if expected != (None, None):
                best.append(total(expected))
        assert result.ss == pytest.approx(max(best), rel=1e-3, abs=1e-6), made
    assert seen >= {(strand, *missing) for strand in "+-" for missing in ((False, False), (True, False), (False, True))}


def _compare(gene_score: GeneScore, expected: tuple[float | None, float | None], made: Change) -> None:
    for found, value in zip(gene_score.splice_sites, expected, strict=True):
        assert found == (None if value is None else pytest.approx(value, rel=1e-3, abs=1e-6)), made
