"""VCFs that are unusual, hard or invalid, one odd thing each: what is written, what is refused, what bcftools says."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.odd_runs import REFUSES, CommandLine, as_bcftools_reads, check_text, content, said_tally
from tests.world import World, build_world, vcf_text

HEADER = vcf_text([]).encode()
REF, ALT, OTHER = "CAG"
LINE = f"chr1\t500\t.\t{REF}\t{ALT}\t.\t.\t."
NEXT = "chr1\t600\t.\tC\tG\t.\tPASS\tDP=3"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def run(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, world.options(), capsys)


def text(*lines: str | bytes, header: bytes = HEADER) -> bytes:
    return header + b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)


def record(**columns: str) -> str:
    """LINE with other columns."""
    names = ("contig", "pos", "id", "ref", "alt", "qual", "filter", "info")
    return "\t".join({**dict(zip(names, LINE.split("\t"), strict=True)), **columns}.values())


def declared(line: str) -> bytes:
    """A VCF with one more header line."""
    return text(LINE, header=vcf_text([], extra=[line]).encode())


def sampled(*samples: str, line: str = f"{LINE}\tGT\t0/1\t0/1") -> bytes:
    return vcf_text([line], samples=samples).encode()


class Accepted(NamedTuple):
    """What goes in, how its alleles fare, and in which words it is refused where the output is to be BCF."""

    data: bytes
    tally: str
    not_as_bcf: str = ""


ACCEPTED = {
    "line ends of Windows": Accepted(text(LINE, NEXT).replace(b"\n", b"\r\n"), "OK 2"),
    "line ends of Windows in records": Accepted(HEADER + text(LINE, NEXT, header=b"").replace(b"\n", b"\r\n"), "OK 2"),
    "no line end at the end": Accepted(text(LINE)[:-1], "OK 1"),
    "header only": Accepted(HEADER, "no records"),
    "header only, no line end": Accepted(HEADER[:-1], "no records"),
    "blank line in the header": Accepted(text(LINE, header=HEADER.replace(b"##FILTER", b"\n##FILTER")), "OK 1"),
    "blank lines between records": Accepted(text(LINE, "", "\r", NEXT, ""), "OK 2"),
    "POS 0": Accepted(text(record(pos="0")), "CONTIG_END 1"),
    "last base": Accepted(text(record(pos="3000", ref="G", alt="A")), "CONTIG_END 1"),
    "POS after the last base": Accepted(text(record(pos="3001")), "CONTIG_END 1"),
    "POS with zeros in front": Accepted(text(record(pos="0500")), "OK 1"),
    "POS over 31 bits": Accepted(text(record(pos="2147483648")), "CONTIG_END 1", "has a value that BCF cannot hold"),
    "INFO keys twice": Accepted(text(record(info="DP=1;DP=2;FLAG;FLAG")), "OK 1"),
    "INFO with empty parts": Accepted(text(record(info=";DP=1;;")), "OK 1"),
    "empty INFO": Accepted(text(record(info="")), "OK 1"),
    "no ALT": Accepted(text(record(alt="."), LINE), "NO_ALT 1, OK 1"),
    "lower case": Accepted(text(record(ref=REF.lower(), alt=ALT.lower())), "OK 1"),
    "other letters in REF": Accepted(text(record(ref="R"), record(ref="N"), record(ref="*")), "NON_ACGT 3"),
    "other letters in ALT": Accepted(text(record(alt="R,N,-")), "NON_ACGT 3"),
    "one ALT twice": Accepted(text(record(alt=f"{ALT},{ALT}")), "OK 2"),
    "ALT is REF": Accepted(text(record(alt=f"{REF},{REF.lower()}")), "OK 2"),
    "ALT with empty parts": Accepted(text(record(alt=f"{ALT},,{OTHER},.,")), "NON_ACGT 3, OK 2"),
    "every kind of ALT": Accepted(
        text(record(alt=f"*,<*>,<NON_REF>,<DUP:TANDEM>,{REF}[chr2:5[,]<ctg>:5]{REF},.{REF},{REF}.,{ALT}")),
        "BREAKEND 4, OK 1, STAR 1, SYMBOLIC 3",
    ),
    "1,000 ALTs": Accepted(text(record(alt=",".join(["*"] * 999 + [ALT]))), "OK 1, STAR 999"),
    "ALT of 200,000 letters": Accepted(text(record(alt="A" * 200_000)), "TOO_LONG 1"),
    "INFO of 3 MB": Accepted(text(record(info="TEXT=" + "x" * 3_000_000)), "OK 1"),
    "no UTF-8": Accepted(text(LINE[:-1].encode() + b"TEXT=\xff\xc3\xa9"), "OK 1", "cannot be written as BCF"),
    "what some take for line ends": Accepted(text(record(info="TEXT=a\x0bb\x0c\x1cc\u2028d\u0085e\rf")), "OK 1"),
    "QUAL out of bounds": Accepted(text(record(qual="1e400"), record(qual="-5")), "OK 2"),
    "samples named alike": Accepted(sampled("a", "a"), "OK 1", "the header cannot be written as BCF"),
    "sample without a name": Accepted(sampled("", "a"), "OK 1", "the header cannot be written as BCF"),
    "FORMAT without samples": Accepted(
        text(f"{LINE}\tGT", header=HEADER[:-1] + b"\tFORMAT\n"), "OK 1", "the header cannot be written as BCF"
    ),
    "genotype longer than FORMAT": Accepted(
        sampled("a", line=f"{LINE}\tGT\t0/1:5:6"), "OK 1", "cannot be written as BCF"
    ),
    "unsorted": Accepted(text(NEXT, LINE), "OK 2"),
    "blank in a contig's name": Accepted(
        text(record(contig="chr 1")), "CONTIG_MISSING 1", "contig chr 1 is not declared"
    ),
    "contig declared twice": Accepted(declared("##contig=<ID=chr1,length=3000>"), "OK 1"),
    "contig with a comma in quotes before its ID": Accepted(
        text(LINE, header=HEADER.replace(b"##contig=<ID=chr1,", b'##contig=<species="H, \\"s\\", x",ID=chr1,')), "OK 1"
    ),
    "contig length of 5,000 digits": Accepted(
        text(LINE, header=HEADER.replace(b"length=3000", b"length=" + b"9" * 5000)), "OK 1"
    ),
    "INFO declared twice": Accepted(declared('##INFO=<ID=DP,Number=.,Type=String,Description="x">'), "OK 1"),
    "INFO declared without quotes": Accepted(declared("##INFO=<ID=X,Number=1,Type=String,Description=a b>"), "OK 1"),
    "header line without a value": Accepted(declared("##nothing"), "OK 1"),
    "version of the future": Accepted(text(LINE, header=HEADER.replace(b"VCFv4.2", b"VCFv9.9")), "OK 1"),
}

REFUSED = {
    "nothing": (b"", "is empty"),
    "one blank line": (b"\n", "the header of a VCF ends with a line #CHROM"),
    "no #CHROM line": (HEADER[: HEADER.rindex(b"#CHROM")], "line 12: the header of a VCF ends with a line #CHROM"),
    "byte order mark": (b"\xef\xbb\xbf" + text(LINE), "found '\\ufeff##fileformat=VCFv4.2'"),
    "UTF-16": (text(LINE).decode().encode("utf-16"), "line 1: the header of a VCF ends with a line #CHROM"),
    "line ends of an old Macintosh": (text(LINE).replace(b"\n", b"\r"), "found '##fileformat=VCFv4.2\\r##contig"),
    "blanks for tabs": (
        text(LINE.replace("\t", " ")),
        "line 13: 1 columns where the #CHROM line has 8 (tab-separated)",
    ),
    "blanks for tabs in the header": (text(LINE).replace(b"\t", b"  "), "(tab-separated); found '#CHROM  POS  ID"),
    "record cut short": (text(NEXT, LINE)[:-10], "line 14: 4 columns where the #CHROM line has 8"),
    "column too many": (text(f"{LINE}\t"), "line 13: 9 columns where the #CHROM line has 8"),
    "second header": (text(LINE) + text(NEXT), "line 14: 1 columns where the #CHROM line has 8"),
    "NUL": (text(LINE, record(info="TEXT=a\0b;DP=3")), "line 14: holds a NUL byte: the file is damaged"),
    "negative POS": (text(record(pos="-1")), "line 13: no VCF record: 'chr1 -1 . C A'; expected CHROM POS ID REF ALT"),
    "POS in Arabic digits": (text(record(pos="٥٠٠")), "line 13: no VCF record: 'chr1 ٥٠٠"),
    "POS of 5,000 digits": (text(record(pos="5" * 5000)), "line 13: no VCF record: 'chr1 555"),
    "no contig": (text(record(contig="")), "line 13: no VCF record: ' 500 . C A'"),
    "FASTA": (b">chr1\nACGT\n", "line 1: the header of a VCF ends with a line #CHROM"),
}
BCFTOOLS_READS = {
    "column too many": "drops it",
    "NUL": "drops what follows it",
    "no contig": "writes it again, to be refused by others",
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(run: CommandLine, tmp_path: Path, name: str) -> None:
    data, tally, not_as_bcf = ACCEPTED[name]
    path = tmp_path / "odd.vcf"
    path.write_bytes(data)
    plain, binary = run(path, "out.vcf"), run(path, "out.bcf")
    assert plain.error == ""
    lines = [line.rstrip(b"\r") for line in data.split(b"\n")]
    tidied = b"\n".join(line for line in lines if line)
    counted = check_text(tidied, content(plain.output))
    assert (", ".join(f"{status} {count}" for status, count in sorted(counted.items())) or "no records") == tally
    assert said_tally(plain) == counted
    path.write_bytes(tidied)
    expected = as_bcftools_reads(path)
    assert as_bcftools_reads(plain.output) == expected
    assert bool(binary.error) == bool(not_as_bcf)
    if not_as_bcf:
        assert not_as_bcf in binary.error
        assert "write VCF (-O z)" in binary.error
    else:
        assert as_bcftools_reads(binary.output) == expected


@pytest.mark.parametrize("name", REFUSED)
def test_refused(run: CommandLine, tmp_path: Path, name: str) -> None:
    data, words = REFUSED[name]
    path = tmp_path / "odd.vcf"
    path.write_bytes(data)
    for output in ("out.vcf", "out.vcf.gz", "out.bcf"):
        assert words in run(path, output).error
    assert (as_bcftools_reads(path) != REFUSES) == (name in BCFTOOLS_READS)
