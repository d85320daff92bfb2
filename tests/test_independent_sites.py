"""SBERT_SS and SBERT_BP against a second computation: transformers' BERT in float64, the definitions, on lists."""

import functools
import math
import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch

from sbert_vcf.annotator import Annotator
from sbert_vcf.options import ScoringOptions
from sbert_vcf.results import AlleleResult, GeneScore
from sbert_vcf.variant import Status
from tests.changes import Change, change, haplotype, padded
from tests.models import write_random_masked_lm, write_random_token_classifier

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
            [(300, 420), (712, 850), (1400, 1600)],
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


# By their first exon bases, acceptors are 700, 712, 800, 1400, 1690 and 2300, on the minus strand 999, 1419 and 2099.
BRANCHPOINTS = [
    change(SEQUENCE, start, deleted, inserted)
    for start, deleted, inserted in [
        (1375, 1, 1),
        (1369, 1, 1),
        (1357, 1, 1),
        (1353, 1, 1),  # 47 nt upstream, 3 before the region
        (1352, 1, 1),
        (1385, 1, 1),  # 15 nt upstream, 3 behind the region
        (1386, 1, 1),
        (1368, 2, 2),
        (1371, 9, 0),  # removes bases of the region
        (1340, 60, 0),  # removes all of it
        (1372, 3, 7),
        (1374, 0, 1),
        (1390, 2, 0),  # shifts bases out of the region
        (1383, 16, 0),
        (1393, 0, 3),
        (1390, 0, 30),  # shifts all of them out
        (1395, 20, 0),  # goes across the acceptor
        (1355, 2, 0),
        (670, 1, 1),  # reaches two acceptors
        (671, 0, 4),
        (685, 6, 0),
        (2270, 1, 1),
        (1445, 1, 1),  # minus strand
        (1466, 1, 1),
        (1467, 1, 1),
        (1434, 1, 1),
        (1433, 1, 1),
        (1440, 4, 0),
        (1430, 3, 0),
        (1425, 0, 5),
        (1415, 12, 0),
        (1450, 2, 5),
        (1436, 40, 0),
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


class Disruption(NamedTuple):
    loss: float
    gain: float
    position: int
    acceptor: int


def offsets(origins: list[int | None], strand: str, acceptor: int) -> dict[int, int]:
    """How far from the first exon base each base lies, in sense direction; without it, from the next that is there."""
    in_order = origins if strand == "+" else origins[::-1]
    while acceptor not in in_order:
        acceptor += 1 if strand == "+" else -1
    zero = in_order.index(acceptor)
    return {index - zero: number for index, number in enumerate(range(len(in_order)))}


def expected_branchpoints(network: Network, made: Change, gene: str) -> list[Disruption]:
    """The disruption before each acceptor that the change reaches."""
    strand, transcripts = GENES[gene]
    found = []
    for acceptor in sorted(
        {exon[0] for exons in transcripts for exon in exons[1:]}
        if strand == "+"
        else {exon[1] - 1 for exons in transcripts for exon in exons[:-1]}
    ):
        if abs(acceptor - made.start) > 500:
            continue
        first = acceptor - 800
        ref_text, ref_origins = padded(SEQUENCE, first, first + 1600), list(range(first, first + 1600))
        alt_text, alt_origins = haplotype(SEQUENCE, made, first, 1600)
        ref_text, alt_text = sense(ref_text, strand), sense(alt_text, strand)
        ref, alt = offsets(list(ref_origins), strand, acceptor), offsets(alt_origins, strand, acceptor)
        if strand == "-":
            ref_origins, alt_origins = ref_origins[::-1], alt_origins[::-1]
        alt_offset = {alt_origins[index]: offset for offset, index in alt.items()}
        near = [(offset, ref_origins[ref[offset]]) for offset in range(-47, -14)]
        if all(alt_offset.get(base) == offset and not made.start <= base < made.end for offset, base in near):
            continue
        p_ref = network.probabilities(ref_text[ref[-285] : ref[-285] + 510])[241:268, 1]
        p_alt = network.probabilities(alt_text[alt[-285] : alt[-285] + 510])[241:268, 1]
        in_ref: dict[int | None, float] = {ref_origins[ref[offset]]: p_ref[offset + 44] for offset in range(-44, -17)}
        in_alt = [(alt_origins[alt[offset]], p_alt[offset + 44]) for offset in range(-44, -17)]
        left = dict(in_alt)
        losses = [p - left.get(base, 0.0) for base, p in in_ref.items()]
        gains = [p - in_ref.get(base, 0.0) for base, p in in_alt]
        position = losses.index(max(losses)) - 44
        found.append(Disruption(max(*losses, 0.0), max(*gains, 0.0), position, acceptor))
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sites")
    (folder / "genome.fa").write_text(f">c1\n{SEQUENCE}\n")
    (folder / "genes.gtf").write_text(gtf())
    write_random_masked_lm(folder / "wide", layers=3, seed=5, scale=2.5)
    write_random_token_classifier(folder / "branchpoints", layers=3, seed=6, scale=1.2)
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
    for made, result in zip(SPLICING, score(world, SPLICING, branchpoint_model="none"), strict=True):
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


def test_branchpoint_disruption_equals_the_independent_computation(world: Path) -> None:
    network = Network("BertForTokenClassification", world / "branchpoints", slice(None))
    reached = []
    results = score(world, BRANCHPOINTS, branchpoint_model=str(world / "branchpoints"))
    for made, result in zip(BRANCHPOINTS, results, strict=True):
        best = []
        for gene_score in result.scores:
            expected = expected_branchpoints(network, made, gene_score.placement.gene)
            reached.append((made.start, gene_score.placement.strand, len(expected)))
            if not expected:
                assert gene_score.branchpoint is None, made
                continue
            worst = max(expected)
            best.append(worst.loss)
            assert gene_score.branchpoint is not None, made
            assert gene_score.branchpoint[:2] == pytest.approx(worst[:2], rel=0, abs=1e-4), made
            if worst.loss > 1e-3:
                assert gene_score.branchpoint[2:] == worst[2:], made
        assert result.bp == (pytest.approx(max(best), rel=0, abs=1e-4) if best else None), made
    assert {start for start, _, count in reached if count == 2} == {670, 671, 685}
    assert {start for start, _, _ in reached} - {start for start, _, count in reached if count} == {
        1352,
        1386,
        1467,
        1433,
    }
    assert sum(count > 0 for _, strand, count in reached if strand == "-") == 9
    assert sum((result.bp or 0) > 0.05 for result in results) > 15  # the comparison is not one of nothing
