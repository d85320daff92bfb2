"""INFO header lines and values: typed as declared, readable by htslib, nothing in them that VCF or `|` would break."""

from pathlib import Path

import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_vcf import fields
from sbert_vcf.results import AlleleResult, BranchpointScore, GeneScore, SpliceSiteKL
from sbert_vcf.strand import Placement
from sbert_vcf.variant import Status

IN_INTRON = Placement("+", "CSQ", "splice_region_variant&intron_variant", "ABC", "ENSG1", "ENST1")
PLUS = GeneScore(IN_INTRON, -512.25, -0.5, SpliceSiteKL(0.5, 0.125), BranchpointScore(0.75, 0.25, -25, 1000))
MINUS = GeneScore(Placement("-", "GTF", "", "XYZ", "G2", "T2"), -1000.0, 0.125, SpliceSiteKL(None, 0.25))
NONE: frozenset[str] = frozenset()
WITH_DELTA = frozenset({fields.DELTA_ID})
SCORED = AlleleResult("T", 1, Status.OK, (PLUS, MINUS))
NO_GENE = AlleleResult("G", 2, Status.NO_GENE)
PACKED = (
    "T|1|splice_region_variant&intron_variant|ABC|ENSG1|ENST1|1|CSQ|-512.25|0.5|0.125|0.75|0.25|-25|1001",
    "T|1||XYZ|G2|T2|-1|GTF|-1000||0.25||||",
)


def test_info_of_a_record() -> None:
    assert fields.info_text([SCORED], NONE) == f"SBERT_KL=-512.25;SBERT_STATUS=OK;SBERT={','.join(PACKED)}"
    assert fields.info_text([NO_GENE], NONE) == "SBERT_KL=.;SBERT_STATUS=NO_GENE"


def test_info_has_one_value_per_alt_in_their_order() -> None:
    third = AlleleResult("<DEL>", 3, Status.SYMBOLIC)
    assert fields.info_text([NO_GENE, SCORED, third], WITH_DELTA) == (
        "SBERT_KL=.,-512.25,.;SBERT_DELTA=.,-0.5,.;SBERT_STATUS=NO_GENE,OK,SYMBOLIC;SBERT=" + ",".join(PACKED)
    )


def test_a_branchpoint_that_nothing_loses_has_no_position() -> None:
    score = GeneScore(Placement("+", "both"), -1.0, branchpoint=BranchpointScore(0.0, 0.5, None, 99))
    text = fields.info_text([AlleleResult("T", 1, Status.OK, (score,))], {fields.BP_ID})
    assert text == "SBERT_KL=-1;SBERT_BP=0;SBERT_STATUS=OK;SBERT=T|1|||||1|both|-1|||0|0.5||100"


def test_every_alt_has_its_genes_in_the_packed_field() -> None:
    other = AlleleResult("TA", 2, Status.OK, (MINUS,))
    packed = fields.info_text([SCORED, other], NONE).split(";SBERT=")[1]
    assert packed.split(",") == [*PACKED, "TA|2||XYZ|G2|T2|-1|GTF|-1000||0.25||||"]


def test_bare_strands_have_empty_columns() -> None:
    scores = tuple(GeneScore(Placement(strand, "both"), -1.0) for strand in "+-")
    assert fields.info_text([AlleleResult("T", 1, Status.OK, scores)], WITH_DELTA) == (
        "SBERT_KL=-1;SBERT_DELTA=.;SBERT_STATUS=OK;SBERT=T|1|||||1|both|-1||||||,T|1|||||-1|both|-1||||||"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        ("", ""),
        (-1381.5510557964, "-1381.55"),
        (-0.000123456789, "-0.000123457"),
        (0.0, "0"),
        (1e-9, "1e-09"),
        ("ABC", "ABC"),
        ("a,b;c=d|e f", "a%2Cb%3Bc%3Dd%7Ce%20f"),
        ("a\tb\nc\rd", "a%09b%0Ac%0Dd"),
        ("50%2C60", "50%2C60"),  # VEP has encoded it already
        ("splice_donor_variant&intron_variant", "splice_donor_variant&intron_variant"),
        ("naïve", "naïve"),
    ],
)
def test_text(value: float | str | None, expected: str) -> None:
    assert fields.text(value) == expected


@given(st.text())
def test_no_text_breaks_the_packed_field(value: str) -> None:
    assert not set(fields.text(value)) & set(" \t\r\n,;=|")
    assert fields.text(fields.text(value)) == fields.text(value)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_floats_keep_six_digits(value: float) -> None:
    assert float(fields.text(value)) == pytest.approx(value, rel=1e-5)


def header(optional: frozenset[str]) -> pysam.VariantHeader:
    made = pysam.VariantHeader()
    for line in ["##contig=<ID=chr1>", *fields.header_lines(optional)]:
        made.add_line(line)
    return made


@pytest.mark.parametrize("optional", [NONE, WITH_DELTA, fields.OPTIONAL_IDS])
def test_header_lines_as_htslib_reads_them(optional: frozenset[str]) -> None:
    info = header(optional).info
    expected = {
        "SBERT_KL": ("A", "Float"),
        **dict.fromkeys(optional, ("A", "Float")),
        "SBERT_STATUS": ("A", "String"),
        "SBERT": (".", "String"),
    }
    assert {name: (field.number, field.type) for name, field in info.items()} == expected
    assert set(info) <= fields.OUR_IDS
    assert all(field.description and '"' not in field.description for field in info.values())


def test_the_status_line_names_every_status_that_is_written() -> None:
    description = header(NONE).info["SBERT_STATUS"].description
    assert description is not None
    named = {word.strip(",") for word in description.split() if word.isupper() or word == "OK,"}
    written = {status.value for status in Status} - {"NO_ALT"}
    assert named >= written
    assert "NO_ALT" not in description


def test_the_packed_field_has_the_columns_that_its_header_names() -> None:
    description = header(NONE).info["SBERT"].description
    assert description is not None
    names = description.split("Format: ")[1].split("|")
    assert "|".join(names).startswith(
        "Allele|ALLELE_NUM|Consequence|SYMBOL|Gene|Feature|STRAND|STRAND_SOURCE|KL|KL_DONOR|KL_ACCEPTOR|"
        "BP_LOSS|BP_GAIN|BP_POS|BP_ACCEPTOR"
    )
    value = fields.info_text([SCORED], NONE).split(";SBERT=")[1]
    assert [len(entry.split("|")) for entry in value.split(",")] == [len(names)] * 2


def test_values_read_back_by_htslib(tmp_path: Path) -> None:
    path = tmp_path / "out.vcf"
    info = fields.info_text([SCORED, NO_GENE], fields.OPTIONAL_IDS)
    path.write_text(f"{header(fields.OPTIONAL_IDS)}chr1\t7\t.\tA\tT,G\t.\t.\t{info}\n")
    with pysam.VariantFile(str(path)) as vcf:
        [record] = vcf
        assert record.info["SBERT_KL"] == (-512.25, None)
        assert record.info["SBERT_SS"] == (0.625, None)
        assert record.info["SBERT_BP"] == (0.75, None)
        assert record.info["SBERT_DELTA"] == (-0.5, None)
        assert record.info["SBERT_STATUS"] == ("OK", "NO_GENE")
        assert record.info["SBERT"] == PACKED
