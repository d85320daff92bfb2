"""sbert_vcf.vcf_input and sbert_vcf.header: records taken apart and put together again, and what is no VCF."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_model.errors import InputError
from sbert_vcf.header import Header
from sbert_vcf.notices import Notices
from sbert_vcf.vcf_input import Record, VcfInput
from tests.world import CONTIG_LINES, vcf_text

OURS = frozenset(["SBERT", "SBERT_KL"])


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def to_file(text: str) -> str:
        path = tmp_path / "x.vcf"
        path.write_text(text)
        return str(path)

    return to_file


def record(info: str, rest: str = "") -> Record:
    line = f"chr1\t5\t.\tA\tC,G\t9.50\tq10\t{info}{rest}"
    return Record(line.split("\t", 8), "chr1", 4, "A", ("C", "G"))


def test_columns_are_taken_apart(write: Callable[[str], str]) -> None:
    lines = ["chr1\t1\tid\tac\tC,<DEL>,*\t.\t.\tDP=3\tGT:AD\t0/1:3,4", "chrM\t0\t.\tA\t.\t.\t.\t.\t.\t."]
    with VcfInput(write(vcf_text(lines, samples=["s"])), Notices()) as vcf:
        first, second = vcf
    assert (first.contig, first.start, first.ref, first.alts) == ("chr1", 0, "ac", ("C", "<DEL>", "*"))
    assert (second.contig, second.start, second.ref, second.alts) == ("chrM", -1, "A", ())
    assert [first.line("", OURS), second.line("", OURS)] == lines


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (".", "SBERT_KL=1"),
        ("", "SBERT_KL=1"),
        ("DP=3", "DP=3;SBERT_KL=1"),
        ("FLAG;DP=3;", "FLAG;DP=3;;SBERT_KL=1"),
        ("SBERT_KL=7;DP=3;SBERT=a|b,c|d", "DP=3;SBERT_KL=1"),
        ("DP=3;SBERT_KL", "DP=3;SBERT_KL=1"),
        ("SBERT=x", "SBERT_KL=1"),
        ("MYSBERT=2;SBERT_KLX=4;X=SBERT_KL", "MYSBERT=2;SBERT_KLX=4;X=SBERT_KL;SBERT_KL=1"),
    ],
)
def test_ours_in_info(info: str, expected: str) -> None:
    line = record(info, "\tGT\t0/1").line("SBERT_KL=1", OURS)
    assert line == f"chr1\t5\t.\tA\tC,G\t9.50\tq10\t{expected}\tGT\t0/1"


@pytest.mark.parametrize(("info", "expected"), [("", ""), (".", "."), ("DP=3;", "DP=3;"), ("SBERT=x", ".")])
def test_record_without_a_score(info: str, expected: str) -> None:
    assert record(info).line("", OURS).split("\t")[7] == expected


INFO_TEXT = st.text(st.characters(exclude_characters="\t\r\n", codec="utf-8"), max_size=40)


@given(info=INFO_TEXT.filter(lambda text: "SBERT" not in text and text not in ("", ".")), rest=st.text("\tGT0/1:é|."))
def test_other_text_is_untouched(info: str, rest: str) -> None:
    before = record(info, f"\t{rest}").line("", OURS)
    after = record(info, f"\t{rest}").line("SBERT_KL=1,.;SBERT=a|b", OURS)
    assert after.replace(";SBERT_KL=1,.;SBERT=a|b", "", 1) == before
    assert before == f"chr1\t5\t.\tA\tC,G\t9.50\tq10\t{info}\t{rest}"


@pytest.mark.parametrize(
    ("key", "value"), [("DP", "3"), ("CSQ", "a|b=c,d"), ("FLAG", ""), ("P", ""), ("SQ", ""), ("EMPTY", "")]
)
def test_info_value(key: str, value: str) -> None:
    assert record("DP=3;FLAG;CSQ=a|b=c,d;EMPTY=").info(key) == value


def test_first_contig_is_read_ahead(write: Callable[[str], str]) -> None:
    lines = ["chr2\t1\t.\tA\tC\t.\t.\t.", "chr1\t1\t.\tA\tC\t.\t.\t."]
    with VcfInput(write(vcf_text(lines)), Notices()) as vcf:
        assert [vcf.first_contig(), vcf.first_contig()] == ["chr2", "chr2"]
        assert [record.contig for record in vcf] == ["chr2", "chr1"]
        assert vcf.first_contig() is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chr1\t1\t.\tA\tC\t.\t.\t.\n", "line 1: the header of a VCF ends with a line #CHROM"),
        ("##fileformat=VCFv4.2\n", "line 2: the header of a VCF ends"),
        ("##fileformat=VCFv4.2\nchr1\t1\t.\tA\tC\t.\t.\t.\n", "line 2: the header of a VCF ends"),
        ("##fileformat=VCFv4.2\n#CHROM POS ID REF ALT QUAL FILTER INFO\n", "(tab-separated); found '#CHROM POS"),
        (">chr1\nACGT\n", "line 1: the header of a VCF"),
        ("\x00\x01binary", "line 1: the header of a VCF"),
    ],
)
def test_no_vcf(write: Callable[[str], str], text: str, words: str) -> None:
    name = write(text)
    with pytest.raises(InputError) as caught:
        VcfInput(name, Notices())
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("chr1\t1\t.\tA\tC\t.\t.", "7 columns where the #CHROM line has 8"),
        ("chr1\t1\t.\tA\tC\t.\t.\t.\tGT\t0/1", "10 columns where the #CHROM line has 8"),
        ("chr1\tx\t.\tA\tC\t.\t.\t.", "no VCF record: 'chr1 x . A C'"),
        ("chr1\t-5\t.\tA\tC\t.\t.\t.", "no VCF record"),
        ("chr1\t1.0\t.\tA\tC\t.\t.\t.", "no VCF record"),
        ("chr1\t\t.\tA\tC\t.\t.\t.", "no VCF record"),
        ("chr1\t5\t.\t\tC\t.\t.\t.", "no VCF record"),
        ("chr1\t5\t.\tA\t\t.\t.\t.", "no VCF record"),
        ("#chr1\t5", "2 columns"),
    ],
)
def test_bad_record(write: Callable[[str], str], line: str, words: str) -> None:
    good = "chr1\t1\t.\tA\tC\t.\t.\t."
    text = vcf_text([good, "", good, line])
    number = len(text.splitlines())
    with VcfInput(write(text), Notices()) as vcf, pytest.raises(InputError, match=f"x.vcf: line {number}: ") as caught:
        list(vcf)
    assert words in str(caught.value)


def test_missing_fileformat_is_added_and_said(write: Callable[[str], str], caplog: pytest.LogCaptureFixture) -> None:
    text = vcf_text(["chr1\t1\t.\tA\tC\t.\t.\t."])
    with VcfInput(write(text.partition("\n")[2]), Notices()) as vcf:
        assert vcf.header.lines == text.splitlines()[:-1]
    assert "has no ##fileformat line" in caplog.text


def test_what_a_header_declares() -> None:
    header = Header(
        [
            "##fileformat=VCFv4.2",
            "##reference=file:///genomes/hg38.fa",
            *CONTIG_LINES,
            "##contig=<length=70000,ID=un,assembly=x>",
            '##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequences, by VEP. Format: A|B">',
            '##INFO=<Number=1,ID=LATER,Type=String,Description="ID=NOT,">',
            "#CHROM",
        ]
    )
    assert header.ids("contig") == ["chr1", "chr2", "chrM", "un"]
    assert header.ids("INFO") == ["CSQ", "LATER"]
    assert header.ids("FORMAT") == []
    assert header.info[0] == ("CSQ", "Consequences, by VEP. Format: A|B")
    assert header.reference == "/genomes/hg38.fa"
    assert header.longest_contig == 70000
    assert Header(["#CHROM"]).longest_contig == 0
    assert Header(["#CHROM"]).reference is None
    assert header.with_lines(["##new"]).lines == [*header.lines[:-1], "##new", "#CHROM"]
    assert header.without_info(frozenset(["LATER", "C"])).lines == [*header.lines[:7], "#CHROM"]


# No VCF: no #CHROM line, or not as it has to be; blanks for tabs; columns that are missing; letters in POS.
REFUSED = {
    "Pangolin.brca.vcf",
    "baskerville.snp_eqtl.vcf",
    "bcftools.isec-miss.2.3.vcf",
    "ensvar.test_vcf_clnsig.vcf.gz",
    "openspliceai.variant_test_input.vcf",
    "spec.v43.failed.body_pos_001.vcf",
    "spec.v43.failed.meta_002.vcf",
    "spec.v43.failed.meta_004.vcf",
    "vcfanno.citest_test.vcf",
    "vcfanno.number.vcf.gz",
    "vep.arabidopsis_thaliana.TAIR10.vcf",
    "vg.inverting_miniFasta_VCFinversion.vcf.gz",
    "vg.sv_x.inv.vcf",
}


@pytest.mark.real_data
def test_files_of_many_programs_pass_unchanged(data: Path) -> None:
    refused = set()
    paths = [path for path in (data / "vcf").rglob("*.vcf*") if path.suffix in (".vcf", ".gz")]
    assert len(paths) > 200
    for path in paths:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8", "surrogateescape")
        before = [line for line in text.replace("\r\n", "\n").split("\n") if line]
        try:
            with VcfInput(str(path), Notices()) as vcf:
                after = [*vcf.header.lines, *(record.line("", OURS) for record in vcf)]
        except InputError:
            refused.add(path.name)
            continue
        if not before[0].startswith("##fileformat=VCF"):
            before.insert(0, "##fileformat=VCFv4.2")
        assert after == before, path.name
    assert refused == REFUSED
