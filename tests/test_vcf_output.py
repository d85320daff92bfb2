"""sbert_vcf.vcf_output and sbert_vcf.sinks: four formats, whole or not at all, with an index that others can read."""

import contextlib
import gzip
import os
import random
import resource
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pysam
import pysam.bcftools
import pytest

from sbert_model.errors import InputError, OutputError
from sbert_vcf.header import Header
from sbert_vcf.line_source import silence_htslib
from sbert_vcf.notices import Notices
from sbert_vcf.vcf_output import format_of, is_stream, open_output
from tests.world import open_descriptors, records_of, vcf_text

SUFFIXES = {"v": "vcf", "z": "vcf.gz", "u": "u.bcf", "b": "bcf"}
KL = '##INFO=<ID=SBERT_KL,Number=A,Type=Float,Description="KL">'
LINES = [f"chr1\t{pos}\t.\tA\tC,G\t.\tPASS\tDP={pos};SBERT_KL=-{pos}.5,." for pos in (100, 200, 300)]
LINES += ["chr2\t50\t.\tA\tC\t.\tq10\tTEXT=é;FLAG", "chr2\t51\t.\tA\tC\t.\t.\t."]


@pytest.fixture(autouse=True)
def quiet() -> None:
    silence_htslib()


def header_of(text: str) -> Header:
    return Header([line for line in text.splitlines() if line.startswith("#")])


HEADER = header_of(vcf_text([], extra=[KL]))


def write(output: Path | str, letter: str, lines: list[str], *, header: Header = HEADER, index: bool = True) -> None:
    with open_output(str(output), letter, header, index=index, notices=Notices()) as writer:
        for line in lines:
            contig, pos = line.split("\t", 2)[:2]
            writer.write(line, contig, int(pos) - 1)


def many_lines(count: int) -> list[str]:
    """Lines that hardly compress."""
    numbers = random.Random(1)
    return [f"chr1\t{pos}\t.\tA\tC\t.\t.\tTEXT={numbers.getrandbits(400):x}" for pos in range(1, count + 1)]


@pytest.mark.parametrize(
    ("output", "letter", "expected"),
    [
        ("x.vcf", None, "v"),
        ("x.vcf.gz", None, "z"),
        ("x.vcf.bgz", None, "z"),
        ("x.bcf", None, "b"),
        ("-", None, "v"),
        ("x.txt", None, "v"),
        ("x.vcf.gz", "v", "v"),
        ("x.vcf", "u", "u"),
    ],
)
def test_format(output: str, letter: str | None, expected: str) -> None:
    assert format_of(output, letter) == expected


@pytest.mark.parametrize("letter", SUFFIXES)
def test_what_is_written_is_read_by_htslib(tmp_path: Path, letter: str) -> None:
    output = tmp_path / f"x.{SUFFIXES[letter]}"
    write(output, letter, LINES)
    with pysam.VariantFile(str(output)) as vcf:
        assert [str(record).rstrip("\n") for record in vcf] == LINES
        assert vcf.header.info["SBERT_KL"].type == "Float"
    names = {output.name, *({"z": ["x.vcf.gz.tbi"], "b": ["x.bcf.csi"]}.get(letter, []))}
    assert {path.name for path in tmp_path.iterdir()} == names
    filtered = pysam.bcftools.view("-H", "-i", "SBERT_KL[0]>-250", str(output))
    assert records_of(str(filtered)) == LINES[:2]


def test_first_bytes_tell_the_format(tmp_path: Path) -> None:
    for letter in SUFFIXES:
        write(tmp_path / letter, letter, LINES)
    assert (tmp_path / "v").read_bytes() == ("\n".join([*HEADER.lines, *LINES]) + "\n").encode()
    assert gzip.decompress((tmp_path / "z").read_bytes()) == (tmp_path / "v").read_bytes()
    for letter in "ub":
        assert gzip.decompress((tmp_path / letter).read_bytes())[:3] == b"BCF"
    assert (tmp_path / "u").stat().st_size > (tmp_path / "b").stat().st_size


def test_many_blocks(tmp_path: Path) -> None:
    lines = many_lines(5000)
    for letter in "zb":
        output = tmp_path / f"x.{SUFFIXES[letter]}"
        write(output, letter, lines)
        assert records_of(str(pysam.bcftools.view("-H", str(output)))) == lines
        assert records_of(str(pysam.bcftools.view("-H", "-r", "chr1:4000-4002", str(output)))) == lines[3999:4002]


@pytest.mark.parametrize("letter", SUFFIXES)
def test_file_without_records(tmp_path: Path, letter: str) -> None:
    output = tmp_path / f"x.{SUFFIXES[letter]}"
    write(output, letter, [])
    with pysam.VariantFile(str(output)) as vcf:
        assert list(vcf) == []


@pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools is not installed")
@pytest.mark.parametrize("letter", "zb")
def test_index_is_that_of_bcftools(tmp_path: Path, letter: str) -> None:
    output = tmp_path / f"x.{SUFFIXES[letter]}"
    write(output, letter, [*many_lines(3000), "chr2\t7\t.\tA\tC\t.\t.\t."])
    index = Path(f"{output}.{'tbi' if letter == 'z' else 'csi'}")
    ours = gzip.decompress(index.read_bytes())
    subprocess.run(["bcftools", "index", "-f", "-t" if letter == "z" else "-c", output], check=True)
    assert gzip.decompress(index.read_bytes()) == ours
    counts = subprocess.run(["bcftools", "index", "-s", output], check=True, capture_output=True, text=True).stdout
    assert counts == "chr1\t3000\t3000\nchr2\t1500\t1\n"


@pytest.mark.parametrize(
    ("contigs", "pos"), [(["##contig=<ID=chr1,length=600000000>"], 5), ([], 536_870_912), ([], 600_000_000)]
)
def test_long_contig_gets_a_csi(tmp_path: Path, contigs: list[str], pos: int) -> None:
    output = tmp_path / "x.vcf.gz"
    line = f"chr1\t{pos}\t.\tA\tC\t.\t.\t."
    write(output, "z", [line], header=header_of(vcf_text([], contigs=contigs)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.vcf.gz", "x.vcf.gz.csi"]
    assert records_of(str(pysam.bcftools.view("-H", "-r", f"chr1:{pos}", str(output)))) == [line]


@pytest.mark.parametrize("order", [(1, 0, 2, 3, 4), (0, 3, 1, 2, 4)])
@pytest.mark.parametrize("letter", "zb")
def test_unsorted_records_get_no_index(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, order: tuple[int, ...], letter: str
) -> None:
    output = tmp_path / f"x.{SUFFIXES[letter]}"
    write(output, letter, [LINES[index] for index in order])
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    assert [record.getMessage() for record in caplog.records] == [
        f"{output}: records are not sorted by position: no index is made"
    ]


def test_a_file_that_cannot_be_indexed_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = tmp_path / "x.vcf.gz"
    # A position beyond what CSI with htslib's parameters, or the 32 bits of BCF, can hold.
    write(output, "z", ["chr1\t99999999999999\t.\tA\tC\t.\t.\t."])
    assert [path.name for path in tmp_path.iterdir()] == ["x.vcf.gz"]
    assert f"{output}: no index could be made" in caplog.text
    assert ".tmp" not in caplog.text


def test_no_index_and_stale_index(tmp_path: Path) -> None:
    output = tmp_path / "x.vcf.gz"
    write(output, "z", LINES)
    Path(f"{output}.csi").write_text("stale")
    write(output, "z", LINES[:2])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.vcf.gz", "x.vcf.gz.tbi"]
    assert records_of(str(pysam.bcftools.view("-H", "-r", "chr1", str(output)))) == LINES[:2]
    write(output, "z", LINES, index=False)
    assert [path.name for path in tmp_path.iterdir()] == ["x.vcf.gz"]


def test_output_appears_only_when_complete(tmp_path: Path) -> None:
    output = tmp_path / "x.vcf.gz"
    output.write_text("old")
    with open_output(str(output), "z", HEADER, index=True, notices=Notices()) as writer:
        writer.write(LINES[0], "chr1", 99)
        assert output.read_text() == "old"
        assert len(list(tmp_path.iterdir())) == 2
    assert gzip.decompress(output.read_bytes()).endswith(LINES[0].encode() + b"\n")


@pytest.mark.parametrize("letter", SUFFIXES)
@pytest.mark.parametrize("trouble", [InputError("bad"), KeyboardInterrupt(), SystemExit(143)])
def test_failure_leaves_nothing(tmp_path: Path, letter: str, trouble: BaseException) -> None:
    output = tmp_path / "x"
    output.write_text("old")

    def fail() -> None:
        with open_output(str(output), letter, HEADER, index=True, notices=Notices()) as writer:
            for line in many_lines(300):
                writer.write(line, "chr1", 0)
            raise trouble

    before = open_descriptors()
    with pytest.raises(type(trouble)):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert output.read_text() == "old"
    if letter in "vz":  # htslib leaves a pipe open that it cannot write to any more
        assert open_descriptors() == before


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = open_descriptors()
    for letter in SUFFIXES:
        write(tmp_path / letter, letter, LINES)
    assert open_descriptors() == before


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.vcf.gz"
    link.symlink_to(tmp_path / "there" / "x.vcf.gz")
    for _ in range(2):
        write(link, "z", LINES)
        assert link.is_symlink()
        assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["x.vcf.gz", "x.vcf.gz.tbi"]


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    for letter in SUFFIXES:
        with pytest.raises(OutputError, match=r"no/x: cannot be written: No such file or directory"):
            write(tmp_path / "no" / "x", letter, LINES)


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes; Python ignores the signal that comes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("letter", SUFFIXES)
@pytest.mark.parametrize(("size", "count"), [(100, 3), (4000, 300), (30_000, 3000)])
def test_disk_full(tmp_path: Path, letter: str, size: int, count: int) -> None:
    with pytest.raises(OutputError, match=r"x\.out: cannot be written: ") as caught, file_size_limit(size):
        write(tmp_path / "x.out", letter, many_lines(count))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("letter", SUFFIXES)
@pytest.mark.parametrize("count", [3, 3000])
def test_full_device(letter: str, count: int) -> None:
    assert is_stream("/dev/full")
    with pytest.raises(OutputError, match="/dev/full: cannot be written: No space left on device"):
        write("/dev/full", letter, many_lines(count))


def test_devices_are_written_in_place() -> None:
    for letter in SUFFIXES:
        write("/dev/null", letter, LINES)
    assert not Path("/dev/null").is_file()
    assert not Path("/dev/null.tbi").exists()


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("letter", SUFFIXES)
def test_named_pipe(pipe: Path, letter: str) -> None:
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe, letter, LINES)
    reader.join(10)
    copy = pipe.with_name("copy")
    copy.write_bytes(got[0])
    with pysam.VariantFile(str(copy)) as vcf:
        assert [str(record).rstrip("\n") for record in vcf] == LINES


@pytest.mark.parametrize("letter", SUFFIXES)
def test_reader_that_goes_away(pipe: Path, letter: str) -> None:
    def read_a_little() -> None:
        with pipe.open("rb") as handle:
            handle.read(10)

    reader = threading.Thread(target=read_a_little, daemon=True)
    reader.start()
    with pytest.raises(BrokenPipeError):
        write(pipe, letter, many_lines(5000))
    reader.join(10)


def test_partial_output_on_a_stream_does_not_look_whole(pipe: Path) -> None:
    """What was written before a failure ends without bgzip's end-of-file block."""

    def fail(letter: str) -> None:
        with open_output(str(pipe), letter, HEADER, index=False, notices=Notices()) as writer:
            for line in many_lines(3000):
                writer.write(line, "chr1", 0)
            raise InputError("bad")

    for letter in "zb":
        got: list[bytes] = []
        reader = threading.Thread(target=lambda got=got: got.append(pipe.read_bytes()), daemon=True)
        reader.start()
        with pytest.raises(InputError, match="bad"):
            fail(letter)
        reader.join(10)
        copy = pipe.with_name("copy")
        copy.write_bytes(got[0])
        with pytest.raises(OSError, match="EOF marker"):
            pysam.VariantFile(str(copy))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("chr9\t5\t.\tA\tC\t.\t.\t.", "chr9:5: contig chr9 is not declared"),
        ("chr1\t5\t.\tA\tC\t.\tno\t.", "chr1:5: FILTER no is not declared"),
        ("chr1\t5\t.\tA\tC\t.\tPASS;no\t.", "chr1:5: FILTER no is not declared"),
        ("chr1\t5\t.\tA\tC\t.\t.\tDP=3;NO=1", "chr1:5: INFO NO is not declared"),
        ("chr1\t5\t.\tA\tC\t.\t.\t.\tGT:NO\t0/1:3", "chr1:5: FORMAT NO is not declared"),
        ("chr1\t99999999999\t.\tA\tC\t.\t.\t.", "chr1:99999999999: has a value that BCF cannot hold"),
        ("chr1\t5\t.\tA\tC\t.\t.\tTEXT=\udcff", "chr1:5: cannot be written as BCF"),
    ],
)
def test_what_bcf_cannot_hold(tmp_path: Path, line: str, words: str) -> None:
    header = header_of(vcf_text([], samples=["s"]))
    with pytest.raises(InputError) as caught:
        write(tmp_path / "x.bcf", "b", [line if line.count("\t") > 7 else f"{line}\tGT\t0/1"], header=header)
    assert words in str(caught.value)
    assert "write VCF (-O z)" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_header_that_bcf_cannot_hold(tmp_path: Path) -> None:
    header = header_of(vcf_text([], samples=["same", "same"]))
    with pytest.raises(InputError, match="the header cannot be written as BCF"):
        write(tmp_path / "x.bcf", "b", [], header=header)
    assert list(tmp_path.iterdir()) == []


def test_contig_line_that_htslib_does_not_understand(tmp_path: Path) -> None:
    header = header_of(vcf_text([], contigs=["##contig=<ID=chr1,A,length=5>"]))
    with pytest.raises(InputError, match="chr1:100: contig chr1 is not declared"):
        write(tmp_path / "x.bcf", "b", LINES, header=header)


def test_version_of_the_vcf_stays(tmp_path: Path) -> None:
    header = Header(["##fileformat=VCFv4.3", *HEADER.lines[1:]])
    write(tmp_path / "x.bcf", "b", LINES, header=header)
    assert gzip.decompress((tmp_path / "x.bcf").read_bytes()).count(b"##fileformat=") == 1
    with pysam.VariantFile(str(tmp_path / "x.bcf")) as vcf:
        assert str(vcf.header).startswith("##fileformat=VCFv4.3\n")


def test_odd_text_in_bcf(tmp_path: Path) -> None:
    output = tmp_path / "x.bcf"
    header = Header([*HEADER.lines[:-1], "##note=\udcff", HEADER.lines[-1]])
    write(output, "b", ["chr1\t5\t.\tA\tC\t.\tPASS\tDP=3;;FLAG;"], header=header)
    with pysam.VariantFile(str(output)) as vcf:
        assert "##note=\udcff\n" in str(vcf.header)
        assert [str(record) for record in vcf] == ["chr1\t5\t.\tA\tC\t.\tPASS\tDP=3;FLAG\n"]
