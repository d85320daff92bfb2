"""Acceptors near an allele: from exons on both strands, and from HGVS intronic offsets."""

import random
from pathlib import Path

import pytest

from sbert_model.annotation import Transcript
from sbert_vcf.acceptors import Acceptor, acceptor_of_hgvs, acceptors_near, acceptors_of
from sbert_vcf.consequence import find_field
from sbert_vcf.genes import Genes
from sbert_vcf.genes_columns import GeneColumns
from sbert_vcf.notices import Notices
from sbert_vcf.reference import Reference
from sbert_vcf.strand import Placement, Site, StrandSource
from sbert_vcf.variant import Allele, left_align, trim
from sbert_vcf.vcf_input import VcfInput

EXONS = ((100, 120), (200, 220), (300, 320))
#           0123456789
SEQUENCE = "GATTACACAGGTAAGTCCTTA"


def fetch(contig: str, start: int, end: int) -> str:
    return SEQUENCE[start:end]


def transcript(strand: str, name: str = "T", exons: tuple[tuple[int, int], ...] = EXONS) -> Transcript:
    return Transcript("1", exons[0][0], exons[-1][1], strand, name, f"G{strand}", "", exons)


def test_offsets_count_from_the_first_exon_base() -> None:
    plus, minus = Acceptor("chr1", 200, "+"), Acceptor("chr1", 219, "-")
    assert plus.offsets(Allele("chr1", 175, 176, "A")) == (-25, -24)
    assert minus.offsets(Allele("chr1", 244, 245, "A")) == (-25, -24)
    assert plus.offsets(Allele("chr1", 200, 200, "A")) == (0, 0)
    assert minus.offsets(Allele("chr1", 220, 220, "A")) == (0, 0)
    assert plus.offsets(Allele("chr1", 180, 205, "")) == (-20, 5)
    assert minus.offsets(Allele("chr1", 215, 240, "")) == (-20, 5)


@pytest.mark.parametrize(
    ("strand", "start", "end", "positions"),
    [
        ("+", 0, 1000, [200, 300]),  # the first exon has no acceptor
        ("-", 0, 1000, [119, 219]),
        ("+", 200, 300, [200, 300]),
        ("+", 201, 299, []),
        ("-", 120, 220, [119, 219]),
        ("-", 121, 219, []),
        ("+", 150, 250, [200]),
        ("-", 150, 250, [219]),
    ],
)
def test_acceptors_near(strand: str, start: int, end: int, positions: list[int]) -> None:
    found = list(acceptors_near("chr1", transcript(strand), start, end))
    assert found == [Acceptor("chr1", position, strand) for position in positions]


def test_acceptors_near_agrees_with_brute_force() -> None:
    numbers = random.Random(1)
    for _ in range(200):
        edges = sorted(numbers.sample(range(1000), 2 * numbers.randint(1, 8)))
        exons = tuple(zip(edges[::2], edges[1::2], strict=True))
        start = numbers.randrange(1000)
        end = start + numbers.randrange(300)
        for strand in "+-":
            boundaries = [exon[0] for exon in exons[1:]] if strand == "+" else [exon[1] for exon in exons[:-1]]
            expected = [boundary - (strand == "-") for boundary in boundaries if start <= boundary <= end]
            found = acceptors_near("c", transcript(strand, exons=exons), start, end)
            assert [acceptor.position for acceptor in found] == expected


@pytest.mark.parametrize(
    ("description", "strand", "allele", "position"),
    [
        # base 9 is the G of CAG
        ("ENST1.2:c.123-25A>G", "+", Allele("c", 9, 10, "A"), 34),
        ("ENST1.2:c.123-25A>G", "-", Allele("c", 9, 10, "A"), -16),
        ("n.123-25A>G", "+", Allele("c", 9, 10, "A"), 34),
        ("c.*12-25A>G", "+", Allele("c", 9, 10, "A"), 34),
        ("c.-12-25A>G", "+", Allele("c", 9, 10, "A"), 34),
        ("c.123-1G>A", "+", Allele("c", 9, 10, "A"), 10),
        ("c.123-1G>A", "-", Allele("c", 9, 10, "A"), 8),
        ("c.123-25_123-24delinsTT", "+", Allele("c", 9, 11, "TT"), 34),
        ("c.123-25_123-24delinsTT", "-", Allele("c", 9, 11, "TT"), -15),
        # AC at 4-5 is followed by A: the deletion of C alone cannot be shifted
        ("c.123-25del", "+", Allele("c", 5, 6, ""), 30),
        ("c.123-25del", "-", Allele("c", 5, 6, ""), -20),
        ("c.123-26_123-25insG", "+", Allele("c", 5, 5, "G"), 30),
        ("c.123-26_123-25insG", "-", Allele("c", 5, 5, "G"), -21),
        ("c.100_123-25del", "+", Allele("c", 5, 6, ""), 30),
        ("c.123-25del", "+", Allele("c", 2, 3, ""), None),  # one T of two
        ("c.123-26_123-25del", "-", Allele("c", 4, 6, ""), None),  # one AC of two
        ("c.123-26_123-25dup", "+", Allele("c", 4, 4, "AC"), None),
        ("c.122+25A>G", "+", Allele("c", 9, 10, "A"), None),
        ("c.123A>G", "+", Allele("c", 9, 10, "A"), None),
        ("c.-25A>G", "+", Allele("c", 9, 10, "A"), None),
        ("c.123-25_130del", "+", Allele("c", 5, 6, ""), None),
        ("p.Arg123-25", "+", Allele("c", 9, 10, "A"), None),
        ("c.123-25=", "+", Allele("c", 9, 9, ""), None),
        ("", "+", Allele("c", 9, 10, "A"), None),
    ],
)
def test_acceptor_of_hgvs(description: str, strand: str, allele: Allele, position: int | None) -> None:
    found = acceptor_of_hgvs(description, strand, allele, fetch)
    assert found == (None if position is None else Acceptor("c", position, strand))


def test_offsets_of_hgvs_are_those_of_the_acceptor_found() -> None:
    for strand in "+-":
        found = acceptor_of_hgvs("c.123-25A>G", strand, Allele("c", 9, 10, "A"), fetch)
        assert found is not None
        assert found.offsets(Allele("c", 9, 10, "A")) == (-25, -24)


@pytest.mark.real_data
def test_acceptors_that_vep_tells_are_acceptors(data: Path) -> None:
    found = []
    with (
        VcfInput(str(data / "vcf/exac.vep_csq.hg19.vcf.gz"), Notices()) as vcf,
        Reference(data / "hg19/hg19.chr1_start.fa.gz") as reference,
    ):
        field = find_field(vcf.header.info)
        assert field is not None
        strands = StrandSource("csq", field, None, Notices())
        for record in vcf:
            site = Site(record.contig, record.start, record.ref, record.alts, record.info(field.id))
            contig = reference.contig(record.contig)
            assert contig is not None
            for number, alt in enumerate(record.alts):
                allele = left_align(trim(contig, record.start, record.ref, alt), reference.letters)
                for placement in strands.placements(site, number, allele):
                    found += acceptors_of(placement, allele, None, 0, reference.letters)
        assert len(found) == 117
        for acceptor in found:
            if acceptor.strand == "+":
                assert reference.letters(acceptor.contig, acceptor.position - 2, acceptor.position) == "AG"
            else:
                assert reference.letters(acceptor.contig, acceptor.position + 1, acceptor.position + 3) == "CT"


def test_exons_are_asked_before_hgvs() -> None:
    genes = Genes(Path("memory.gtf"), GeneColumns.from_transcripts([transcript("+"), transcript("-", "M")]))
    allele = Allele("1", 175, 176, "A")
    placement = Placement("+", "CSQ", gene="G+", hgvsc=("c.5-7A>G", "c.9-7A>G", "c.1A>G"))
    assert acceptors_of(placement, allele, genes, 30, fetch) == [Acceptor("1", 200, "+")]
    assert acceptors_of(placement._replace(strand="-", gene="G-"), allele, genes, 60, fetch) == [
        Acceptor("1", 119, "-"),
        Acceptor("1", 219, "-"),
    ]
    for known, genes_here in ((placement, None), (placement._replace(gene="NEW"), genes)):
        assert acceptors_of(known, allele, genes_here, 30, fetch) == [Acceptor("1", 182, "+")] * 2
