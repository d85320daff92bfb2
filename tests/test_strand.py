"""Genes and strands of an allele from CSQ, ANN, an annotation or neither, in the order that --strand auto has."""

import logging
from pathlib import Path

import pytest

from sbert_model.annotation import Transcript
from sbert_model.errors import InputError
from sbert_vcf.consequence import ConsequenceField
from sbert_vcf.genes import Genes
from sbert_vcf.genes_columns import GeneColumns
from sbert_vcf.notices import LOGGER, Notices
from sbert_vcf.strand import Placement, Site, StrandSource
from sbert_vcf.variant import Allele, trim

VEP = ConsequenceField("CSQ", ["Allele", "Consequence", "SYMBOL", "Gene", "Feature", "STRAND", "CANONICAL"])
NO_STRAND = ConsequenceField("CSQ", ["Allele", "Consequence", "SYMBOL", "Gene", "Feature"])
SNPEFF = ConsequenceField(
    "ANN", ["Allele", "Annotation", "Annotation_Impact", "Gene_Name", "Gene_ID", "Type", "Feature_ID"]
)
BOTH = [Placement("+", "both"), Placement("-", "both")]


@pytest.fixture(autouse=True)
def warnings_reach_caplog(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The command line, where an earlier test ran it, keeps them to itself."""
    monkeypatch.setattr(LOGGER, "propagate", True)
    caplog.set_level(logging.WARNING, logger=LOGGER.name)


def transcript(name: str, gene: str, start: int, end: int, strand: str, symbol: str = "") -> Transcript:
    return Transcript("1", start, end, strand, name, gene, symbol or gene, ((start, end),))


GENES = Genes(
    Path("toy.gtf"),
    GeneColumns.from_transcripts(
        (
            transcript("T1", "G1", 100, 200, "+", "ABC"),
            transcript("T2", "G2", 150, 300, "-", "XYZ"),
            transcript("T3", "G3", 600, 700, "+", "TWICE"),
            transcript("T4", "G4", 800, 900, "-", "TWICE"),
        )
    ),
)
PLUS = Placement("+", "GTF", "", "ABC", "G1", "T1")
MINUS = Placement("-", "GTF", "", "XYZ", "G2", "T2")


def source(mode: str = "auto", field: ConsequenceField | None = None, genes: Genes | None = None) -> StrandSource:
    return StrandSource(mode, field, genes, Notices())


def found(
    strands: StrandSource, consequences: str = "", start: int = 120, alts: str = "T", index: int = 0
) -> list[Placement]:
    site = Site("chr1", start, "A", tuple(alts.split(",")), consequences)
    return strands.placements(site, index, trim("chr1", start, "A", site.alts[index]))


def entry(
    symbol: str = "ABC", gene: str = "ENSG1", feature: str = "ENST1", strand: str = "1", *, allele: str = "T",
    consequence: str = "intron_variant", canonical: str = ""
) -> str:  # fmt: skip
    return "|".join((allele, consequence, symbol, gene, feature, strand, canonical))


@pytest.mark.parametrize("strand", ["+", "-"])
def test_a_strand_that_is_named_goes_before_everything(strand: str) -> None:
    assert found(source(strand, VEP, GENES), entry()) == [Placement(strand, "option")]


def test_both_strands_where_they_are_asked_for() -> None:
    assert found(source("both", VEP, GENES), entry()) == BOTH


def test_hgvs_descriptions_of_a_gene_are_those_of_all_its_transcripts() -> None:
    field = ConsequenceField("CSQ", ["Allele", "Consequence", "SYMBOL", "Feature", "STRAND", "CANONICAL", "HGVSc"])
    entries = ",".join(
        f"T|{consequence}|{symbol}|{feature}|{strand}|{canonical}|{hgvsc}"
        for consequence, symbol, feature, strand, canonical, hgvsc in [
            ("intron_variant", "ABC", "ENST1", 1, "", "ENST1:c.5-20A>T"),
            ("intron_variant", "ABC", "ENST2", 1, "YES", "ENST2:c.9-30A>T"),
            ("intron_variant", "ABC", "ENST3", 1, "", ""),
            ("intron_variant", "XYZ", "ENST4", -1, "", "ENST4:c.7+20A>T"),
            ("upstream_gene_variant", "ABC", "ENST5", 1, "", "ENST5:c.1-9A>T"),
        ]
    )
    strands = source(field=field)
    assert strands.has_hgvsc
    assert found(strands, entries) == [
        Placement("+", "CSQ", "intron_variant", "ABC", "", "ENST2", ("ENST1:c.5-20A>T", "ENST2:c.9-30A>T")),
        Placement("-", "CSQ", "intron_variant", "XYZ", "", "ENST4", ("ENST4:c.7+20A>T",)),
    ]
    assert not source("both", field).has_hgvsc
    assert not source(field=VEP).has_hgvsc
    assert not source().has_hgvsc


def test_csq_goes_before_genes() -> None:
    expected = [Placement("-", "CSQ", "intron_variant", "ABC", "ENSG1", "ENST1")]
    for mode, genes in [("auto", None), ("auto", GENES), ("csq", None), ("csq", GENES)]:
        assert found(source(mode, VEP, genes), entry(strand="-1")) == expected


def test_genes_alone_where_they_are_asked_for() -> None:
    assert found(source("genes", VEP, GENES), entry(strand="-1")) == [PLUS]


def test_genes_that_the_allele_overlaps() -> None:
    strands = source("auto", None, GENES)
    assert found(strands, start=99) == []
    assert found(strands, start=100) == [PLUS]
    assert found(strands, start=199) == [PLUS, MINUS]
    assert found(strands, start=200) == [MINUS]
    assert found(strands, start=300) == []


@pytest.mark.parametrize(
    ("start", "end", "alt", "expected"),
    [
        (90, 101, "", [PLUS]),
        (90, 100, "", []),
        (140, 310, "", [PLUS, MINUS]),
        (100, 100, "AC", []),  # an insertion in front of the gene
        (101, 101, "AC", [PLUS]),
        (200, 200, "AC", [MINUS]),
    ],
)
def test_genes_of_indels(start: int, end: int, alt: str, expected: list[Placement]) -> None:
    # The placement goes by the allele that is scored, not by how the record is written.
    site = Site("chr1", 0, "A", ("T",))
    assert source("auto", None, GENES).placements(site, 0, Allele("chr1", start, end, alt)) == expected


def test_one_placement_per_gene_and_strand() -> None:
    value = ",".join(
        [
            entry("ABC", "ENSG1", "ENST1", "1"),
            entry("ABC", "ENSG1", "ENST1", "1"),
            entry("ABC", "ENSG1", "ENST2", "1", consequence="missense_variant"),
            entry("XYZ", "ENSG2", "ENST3", "-1"),
            entry("UVW", "ENSG3", "ENST4", "1"),
        ]
    )
    assert [(place.symbol, place.feature, place.strand) for place in found(source("auto", VEP), value)] == [
        ("ABC", "ENST1", "+"),
        ("XYZ", "ENST3", "-"),
        ("UVW", "ENST4", "+"),
    ]


def test_the_gene_of_ensembl_and_refseq_is_one_by_its_symbol() -> None:
    value = ",".join([entry("ABC", "ENSG1", "ENST1"), entry("ABC", "672", "NM_1"), entry("ABC", "672", "NM_1", "-1")])
    assert [(place.gene, place.strand) for place in found(source("auto", VEP), value)] == [("ENSG1", "+"), ("672", "-")]


def test_genes_without_symbol_are_told_by_their_id() -> None:
    value = ",".join(
        [entry("", "ENSG1", "T1"), entry("", "ENSG1", "T2"), entry("", "ENSG2", "T3"), entry("", "", "T4")]
    )
    assert [place.feature for place in found(source("auto", VEP), value)] == ["T1", "T3", "T4"]


def test_the_preferred_transcript_stands_for_its_gene() -> None:
    value = ",".join(
        [
            entry(feature="T1"),
            entry(feature="T2", canonical="YES", consequence="missense_variant"),
            entry(feature="T3", canonical="YES"),
        ]
    )
    assert found(source("auto", VEP), value) == [Placement("+", "CSQ", "missense_variant", "ABC", "ENSG1", "T2")]


@pytest.mark.parametrize(
    "consequence",
    ["upstream_gene_variant", "downstream_gene_variant", "intergenic_variant", "regulatory_region_variant"],
)
def test_entries_outside_transcripts_do_not_count(consequence: str) -> None:
    outside = entry(strand="-1", consequence=consequence)
    inside = entry("XYZ", "ENSG2", "ENST2")
    assert [place.symbol for place in found(source("auto", VEP), f"{outside},{inside}")] == ["XYZ"]
    assert found(source("auto", VEP), outside) == []
    assert found(source("csq", VEP, GENES), outside) == []
    assert found(source("auto", VEP, GENES), outside) == [PLUS]


def test_entries_of_another_alt_do_not_count() -> None:
    value = ",".join([entry(allele="C"), entry("XYZ", "ENSG2", strand="-1", allele="G")])
    strands = source("auto", VEP)
    assert [place.symbol for place in found(strands, value, alts="C,G", index=0)] == ["ABC"]
    assert [place.symbol for place in found(strands, value, alts="C,G", index=1)] == ["XYZ"]
    assert found(strands, value, alts="C,G,T", index=2) == []
    assert found(source("auto", VEP, GENES), value, alts="C,G,T", index=2) == [PLUS]


@pytest.mark.parametrize("missing", ["", "."])
def test_a_record_without_csq(missing: str, caplog: pytest.LogCaptureFixture) -> None:
    assert found(source("auto", VEP, GENES), missing) == [PLUS]
    assert found(source("auto", VEP, GENES), missing, start=400) == []
    assert caplog.messages == []
    strands = source("auto", VEP)
    assert found(strands, missing, start=7) == found(strands, missing, start=8) == BOTH
    assert caplog.messages == [
        "records without INFO CSQ (first: chr1:8) are scored on both strands; --genes would tell"
    ]
    caplog.clear()
    strands = source("csq", VEP, GENES)
    assert found(strands, missing) == found(strands, missing) == []
    assert caplog.messages == ["records without INFO CSQ (first: chr1:121) get NO_GENE"]


def test_no_source_at_all(caplog: pytest.LogCaptureFixture) -> None:
    strands = source()
    assert found(strands) == found(strands, start=7) == BOTH
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "every allele is scored on both strands" in caplog.text


def test_csq_without_strand_takes_it_from_genes_by_name(caplog: pytest.LogCaptureFixture) -> None:
    strands = source("auto", NO_STRAND, GENES)
    assert "INFO CSQ has no STRAND subfield: strands come from --genes by name" in caplog.messages
    for symbol, gene, feature, expected in [
        ("", "", "T2", "-"),
        ("", "G2", "", "-"),
        ("XYZ", "", "", "-"),
        ("ABC", "G1", "unknown", "+"),
        ("TWICE", "G4", "", "-"),
    ]:
        assert found(strands, f"T|intron_variant|{symbol}|{gene}|{feature}") == [
            Placement(expected, "CSQ+GTF", "intron_variant", symbol, gene, feature)
        ]


def test_a_gene_that_the_annotation_does_not_know_leaves_it_to_the_position() -> None:
    for value in ("T|intron_variant|NEW|G9|T9", "T|intron_variant|TWICE||"):
        assert found(source("auto", NO_STRAND, GENES), value) == [PLUS]
        assert found(source("csq", NO_STRAND, GENES), value) == []


def test_csq_without_strand_and_no_genes_is_no_source(caplog: pytest.LogCaptureFixture) -> None:
    assert found(source("auto", NO_STRAND), "T|intron_variant|ABC|G1|T1") == BOTH
    assert caplog.messages[0] == "INFO CSQ has no STRAND subfield: it tells no strand without --genes"


def test_snpeff_names_its_genes_and_the_annotation_their_strand() -> None:
    value = ",".join(
        [
            "T|downstream_gene_variant|MODIFIER|ABC|G1|transcript|T1.4",
            "T|intron_variant&splice_region_variant|LOW|XYZ|G2|transcript|T2.7",
            "T|intergenic_region|MODIFIER|ABC-XYZ|G1-G2|intergenic_region|G1-G2",
        ]
    )
    assert found(source("auto", SNPEFF, GENES), value) == [
        Placement("-", "ANN+GTF", "intron_variant&splice_region_variant", "XYZ", "G2", "T2.7")
    ]


def test_an_entry_of_a_field_with_strand_that_lacks_it() -> None:
    value = entry("XYZ", "", "", "")
    assert found(source("auto", VEP), value) == []
    assert found(source("auto", VEP, GENES), value) == [Placement("-", "CSQ+GTF", "intron_variant", "XYZ")]


def test_a_contig_that_the_annotation_does_not_have_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    strands = source("auto", None, GENES)
    for _ in range(2):
        assert strands.placements(Site("chr7", 5, "A", ("T",)), 0, Allele("chr7", 5, 6, "T")) == []
    assert len(caplog.messages) == 1
    assert "toy.gtf: no genes on contig chr7" in caplog.text


@pytest.mark.parametrize(
    ("mode", "field", "genes", "message"),
    [
        ("genes", VEP, None, "--strand genes needs a gene annotation"),
        ("csq", None, GENES, "--strand csq needs a consequence field"),
        ("csq", NO_STRAND, None, "--strand csq: INFO CSQ has no STRAND"),
    ],
)
def test_a_mode_without_what_it_needs(
    mode: str, field: ConsequenceField | None, genes: Genes | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        source(mode, field, genes)


@pytest.mark.parametrize(
    ("mode", "field", "genes", "expected"),
    [
        ("auto", None, None, "both"),
        ("auto", VEP, None, "CSQ"),
        ("auto", None, GENES, "toy.gtf"),
        ("auto", VEP, GENES, "CSQ+toy.gtf"),
        ("auto", NO_STRAND, None, "both"),
        ("auto", SNPEFF, GENES, "ANN+toy.gtf"),
        ("csq", VEP, None, "CSQ"),
        ("csq", SNPEFF, GENES, "ANN+toy.gtf"),
        ("genes", VEP, GENES, "toy.gtf"),
        ("both", VEP, GENES, "both"),
        ("-", VEP, GENES, "-"),
    ],
)
def test_description(mode: str, field: ConsequenceField | None, genes: Genes | None, expected: str) -> None:
    assert source(mode, field, genes).description == expected
