"""Which transcripts an allele is judged by, and which bases are the splice sites of the exon nearest to it."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_model.annotation import Transcript
from sbert_vcf import splice_sites as splice_sites_module
from sbert_vcf.genes import Genes
from sbert_vcf.genes_columns import GeneColumns
from sbert_vcf.splice_sites import SitesAround, splice_sites, transcripts_of
from sbert_vcf.strand import Placement
from sbert_vcf.variant import Allele

EXONS = ((100, 120), (200, 220), (300, 320))


def transcript(
    name: str,
    gene: str,
    *exons: tuple[int, int],
    strand: str = "+",
    symbol: str = "",
) -> Transcript:
    return Transcript("chr1", exons[0][0], exons[-1][1], strand, name, gene, symbol or gene, exons)


GENES = Genes(
    Path("memory.gtf"),
    GeneColumns.from_transcripts(
        [
            transcript("ENST1.2", "ENSG1.4", *EXONS, symbol="ABC"),
            transcript("ENST2.1", "ENSG1.4", (150, 220), (300, 320), symbol="ABC"),
            transcript("ENST3.1", "ENSG2.1", (90, 400), symbol="LONG"),
            transcript("ENST4.1", "ENSG3.1", *EXONS, strand="-", symbol="ABC"),
        ]
    ),
)


# The interval, and donor and acceptor on the plus strand; on the minus strand they change places.
@pytest.mark.parametrize(
    ("start", "end", "donor", "acceptor"),
    [
        (210, 211, [220, 221], [198, 199]),  # in the exon
        (200, 201, [220, 221], [198, 199]),
        (219, 220, [220, 221], [198, 199]),
        (220, 221, [220, 221], [198, 199]),  # in the donor
        (198, 199, [220, 221], [198, 199]),  # in the acceptor
        (259, 260, [220, 221], [198, 199]),  # 39 bases between against 40
        (261, 262, [], [298, 299]),
        (110, 111, [120, 121], []),  # the first exon has no acceptor
        (310, 311, [], [298, 299]),  # the last exon has no donor
        (50, 51, [120, 121], []),
        (400, 401, [], [298, 299]),
        (210, 210, [220, 221], [198, 199]),  # insertions
        (220, 220, [220, 221], [198, 199]),
        (200, 200, [220, 221], [198, 199]),
        (215, 310, [], [298, 299]),  # 10 bases of the last exon against 5
        (205, 310, [220, 221], [198, 199]),  # 15 bases of the middle one against 10
        (90, 330, [], []),  # every exon whole: the first of the transcript, see below
    ],
)
def test_sites_of_the_nearest_exon(start: int, end: int, donor: list[int], acceptor: list[int]) -> None:
    plus = splice_sites(transcript("T", "G", *EXONS), start, end)
    minus = splice_sites(transcript("T", "G", *EXONS, strand="-"), start, end)
    if (start, end) == (90, 330):
        assert (list(plus.donor), list(plus.acceptor)) == ([120, 121], [])
        assert (list(minus.donor), list(minus.acceptor)) == ([298, 299], [])
        return
    assert (list(plus.donor), list(plus.acceptor)) == (donor, acceptor)
    assert (list(minus.donor), list(minus.acceptor)) == (acceptor, donor)


def test_of_two_exons_equally_near_the_first_of_the_transcript() -> None:
    for strand, donor in (("+", [120, 121]), ("-", [198, 199])):
        sites = splice_sites(transcript("T", "G", (100, 120), (200, 220), strand=strand), 159, 161)
        assert list(sites.donor) == donor
        assert list(sites.acceptor) == []


def test_one_exon_and_none_have_no_sites() -> None:
    for exons in (((100, 120),), ()):
        single = Transcript("chr1", 100, 120, "+", "T", "G", "G", exons)
        assert list(map(list, splice_sites(single, 110, 111))) == [[], []]


def test_sites_stay_inside_a_tiny_intron() -> None:
    tiny = transcript("T", "G", (100, 120), (121, 150), (151, 180))
    assert list(map(list, splice_sites(tiny, 130, 131))) == [[150], [120]]


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        (Placement("+", "GTF", "", "ABC", "ENSG1.4", "ENST1.2"), ["ENST1.2", "ENST2.1"]),
        (Placement("+", "CSQ", "", "XYZ", "ENSG1", "ENST1"), ["ENST1.2", "ENST2.1"]),  # versions differ
        (Placement("+", "CSQ", "", "ABC", "1234", "NM_1"), ["ENST1.2", "ENST2.1"]),  # by symbol
        (Placement("+", "CSQ", "", "", "", "ENST2"), ["ENST2.1"]),
        (Placement("-", "CSQ", "", "ABC", "", ""), ["ENST4.1"]),
        (Placement("+", "CSQ", "", "OTHER", "ENSG9", "ENST9"), []),
        (Placement("+", "option"), ["ENST3.1", "ENST1.2", "ENST2.1"]),
        (Placement("-", "both"), ["ENST4.1"]),
    ],
)
def test_transcripts_of_a_placement(placement: Placement, expected: list[str]) -> None:
    found = transcripts_of(GENES, placement, Allele("chr1", 210, 211, "A"))
    assert [transcript.transcript_id for transcript in found] == expected


def test_transcripts_that_the_allele_does_not_touch_have_no_say() -> None:
    placement = Placement("+", "GTF", "", "ABC", "ENSG1.4", "ENST1.2")
    assert [found.transcript_id for found in transcripts_of(GENES, placement, Allele("chr1", 110, 111, "A"))] == [
        "ENST1.2"
    ]
    assert transcripts_of(GENES, placement, Allele("chr1", 400, 401, "A")) == []


@st.composite
def crowded_genes(draw: st.DrawFn) -> Genes:
    """One to three genes on either strand, whose transcripts choose among the same few exon bounds."""
    transcripts = []
    for number in range(draw(st.integers(1, 6))):
        bounds = sorted(draw(st.sets(st.integers(1, 60), min_size=2, max_size=10)))
        exons = tuple(zip(bounds[::2], bounds[1::2], strict=False))
        gene = number % 3
        transcripts.append(transcript(f"T{number}", f"G{gene}", *exons, strand="+-"[gene % 2]))
    return Genes(Path("memory.gtf"), GeneColumns.from_transcripts(transcripts))


@given(crowded_genes(), st.lists(st.tuples(st.integers(0, 65), st.integers(0, 8)), min_size=1, max_size=40))
def test_sites_around_are_those_of_every_transcript_looked_up_anew(genes: Genes, spans: list[tuple[int, int]]) -> None:
    around = SitesAround(genes)
    for start, length in spans:
        allele = Allele("chr1", start, start + length, "ACGT")
        for gene in range(3):
            place = Placement("+-"[gene % 2], "GTF", gene=f"G{gene}")
            found = transcripts_of(genes, place, allele)
            expected = dict.fromkeys(splice_sites(one, start, start + length) for one in found)
            assert around.of(place, allele) == list(expected)


def test_the_sites_of_few_placements_are_remembered() -> None:
    around = SitesAround(GENES)
    for number in range(3 * splice_sites_module._REMEMBERED):
        around.of(Placement("+", "GTF", gene=f"G{number}"), Allele("chr1", 210, 211, "A"))
    assert len(around._last) == splice_sites_module._REMEMBERED


@given(crowded_genes(), st.integers(0, 65), st.integers(0, 10))
def test_whether_a_splice_site_lies_in_an_interval(genes: Genes, start: int, length: int) -> None:
    bounds = {
        bound
        for one in genes.transcripts_overlapping("chr1", 0, 100)
        for (_, left), (right, _) in pairwise(one.exons)
        for bound in (left, right)
    }
    assert genes.has_splice_site("chr1", start, start + length) == any(
        start <= bound <= start + length for bound in bounds
    )
    assert not genes.has_splice_site("chr2", start, start + length)
