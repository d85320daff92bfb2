"""sbert_vcf.line_source: text lines from every kind of file, pipe and region; what is wrong in one line."""

import contextlib
import gzip
import os
import shutil
import threading
from pathlib import Path

import pytest

from sbert_model.errors import InputError
from sbert_vcf.line_source import BGZF_EOF, indexed_records, open_lines
from tests.world import as_stdin, bgzip, block_starts, open_descriptors, records_of, to_bcf, vcf_text

LINES = [f"chr1\t{pos}\tid{pos}\tA\tC\t.\tPASS\tDP={pos};TEXT=é" for pos in range(100, 2000, 100)]
LINES += [f"chr2\t{pos}\t.\tACGTACGTAC\tA\t.\t.\t." for pos in (50, 500)]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "x.vcf"
    path.write_text(vcf_text(LINES))
    return path


def read(name: str | Path, region: str | None = None) -> list[str]:
    with contextlib.ExitStack() as stack:
        return list(open_lines(str(name), region, stack))


def body(name: str | Path, region: str | None = None) -> list[str]:
    return records_of("\n".join(read(name, region)))


def error(name: str | Path, region: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read(name, region)
    message = str(caught.value)
    assert "\n" not in message
    return message


def variants_of(plain: Path) -> list[Path]:
    zipped = plain.with_name("plain-gzip.vcf.gz")
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    members = plain.with_name("members.vcf.gz")
    members.write_bytes(b"".join(gzip.compress(line) for line in plain.read_bytes().splitlines(keepends=True)))
    return [plain, zipped, members, bgzip(plain), to_bcf(plain, "b"), to_bcf(plain, "u")]


def test_every_format_gives_the_same_records(plain: Path) -> None:
    for path in variants_of(plain):
        assert body(path) == LINES, path.name


def test_every_format_comes_through_a_pipe(plain: Path) -> None:
    for path in variants_of(plain):
        with as_stdin(path.read_bytes()):
            assert body("-") == LINES, path.name


@pytest.mark.parametrize("letter", ["v", "b"])
def test_named_pipe(plain: Path, tmp_path: Path, letter: str) -> None:
    source = plain if letter == "v" else to_bcf(plain)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(source.read_bytes()), daemon=True)
    feeder.start()
    assert body(pipe) == LINES
    feeder.join(10)


def test_header_lines_are_as_they_stand(plain: Path) -> None:
    expected = [line for line in plain.read_text().splitlines() if line.startswith("#")]
    for path in (plain, bgzip(plain)):
        assert read(path)[: len(expected)] == expected
        assert [line for line in read(path) if line.startswith("#")] == expected


def test_bytes_that_are_not_utf8_survive(tmp_path: Path) -> None:
    odd = b"chr1\t5\t.\tA\tC\t.\t.\tTEXT=\xff\xc3\xa9"
    path = tmp_path / "odd.vcf"
    path.write_bytes(vcf_text([]).encode() + odd + b"\n")
    expected = odd.decode("utf-8", "surrogateescape")
    assert body(path) == [expected]
    assert body(bgzip(path), "chr1") == [expected]
    assert body(to_bcf(path)) == [expected]
    assert body(to_bcf(path), "chr1") == [expected]


def test_line_ends_of_windows_are_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "crlf.vcf"
    path.write_bytes(vcf_text(LINES).replace("\n", "\r\n").encode())
    assert body(path) == LINES
    assert body(bgzip(path), "chr2") == LINES[-2:]


def test_last_line_without_an_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.vcf"
    text = vcf_text(LINES)
    path.write_text(text)
    assert body(path) == LINES
    assert caplog.text == ""
    path.write_text(text.rstrip("\n"))
    assert body(path) == LINES
    last = text.count("\n")
    assert f"{path}: line {last}, the last, has no line end: the file may be cut short" in caplog.text


@pytest.fixture(params=["tbi", "csi", "bcf"])
def indexed(request: pytest.FixtureRequest, plain: Path) -> Path:
    return to_bcf(plain) if request.param == "bcf" else bgzip(plain, csi=request.param == "csi")


@pytest.mark.parametrize(
    ("region", "positions"),
    [
        ("chr1", range(100, 2000, 100)),
        ("chr1:300-500", (300, 400, 500)),
        ("chr1:1,700-", (1700, 1800, 1900)),
        ("chr1:300", (300,)),
        ("1:299-301", (300,)),
        ("2", (50, 500)),
        ("chr2:59-60", (50,)),  # REF reaches into the region
        ("chr2:60-499", ()),
        ("chrM", ()),
        ("MT:1-900", ()),
    ],
)
def test_region(indexed: Path, region: str, positions: range | tuple[int, ...]) -> None:
    assert [int(line.split("\t")[1]) for line in body(indexed, region)] == list(positions)
    assert read(indexed, region)[0].startswith("##fileformat")


def test_region_errors(indexed: Path, plain: Path) -> None:
    assert "no contig chr9" in error(indexed, "chr9")
    assert "no contig chr9" in error(indexed, "chr9:1-5")
    for wrong in ("chr1:0-5", "chr1:9-5", "chr1:0"):
        assert "1 <= start <= end" in error(indexed, wrong)
    (indexed.with_name(indexed.name + ".tbi")).unlink(missing_ok=True)
    (indexed.with_name(indexed.name + ".csi")).unlink(missing_ok=True)
    for name in (indexed, plain):
        assert "needs a bgzipped VCF or a BCF with an index" in error(name, "chr1")
    with as_stdin(plain.read_bytes()):
        assert "standard input: --region needs a file" in error("-", "chr1")


def test_region_of_a_contig_whose_name_looks_like_one(tmp_path: Path) -> None:
    path = tmp_path / "hla.vcf"
    name = "HLA-A*01:01"
    lines = [f"{name}\t{pos}\t.\tA\tC\t.\t.\t." for pos in (5, 50)]
    path.write_text(vcf_text(lines, contigs=[f"##contig=<ID={name},length=900>"]))
    for file in (bgzip(path), to_bcf(path)):
        assert body(file, name) == lines
        assert body(file, f"{name}:5-6") == lines[:1]


def test_region_without_contig_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.vcf"
    path.write_text(vcf_text(LINES, contigs=()))
    assert body(bgzip(path), "2") == LINES[-2:]


def test_old_index_is_told(plain: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = bgzip(plain)
    os.utime(f"{path}.tbi", (1, 1))
    assert body(path, "chr2") == LINES[-2:]
    assert "x.vcf.gz.tbi: is older" in caplog.text


def test_indexed_records(plain: Path) -> None:
    assert indexed_records(str(plain)) is None
    for path in (bgzip(plain), bgzip(plain, csi=True), to_bcf(plain)):
        assert indexed_records(str(path)) == len(LINES)
    broken = bgzip(plain)
    Path(f"{broken}.csi").write_bytes(b"no index")
    assert indexed_records(str(broken)) is None


def test_no_file_folder_and_empty(tmp_path: Path) -> None:
    assert error(tmp_path / "none.vcf") == f"{tmp_path}/none.vcf: no such file"
    assert "is a folder" in error(tmp_path)
    empty = tmp_path / "empty.vcf"
    empty.touch()
    assert error(empty) == f"{empty}: is empty"
    with as_stdin(b""):
        assert error("-") == "standard input: is empty"


def long_text() -> str:
    """More than one block of bgzip."""
    return vcf_text([f"chr1\t{pos}\t.\tA\tC\t.\t.\tTEXT={hash((pos, 1)) % 10**15}" for pos in range(1, 4000)])


@pytest.fixture
def long_vcf(tmp_path: Path) -> Path:
    path = tmp_path / "long.vcf"
    path.write_text(long_text())
    return path


@pytest.mark.parametrize("form", ["gz", "bcf"])
def test_truncated(long_vcf: Path, form: str) -> None:
    whole = bgzip(long_vcf) if form == "gz" else to_bcf(long_vcf)
    data = whole.read_bytes()
    starts = block_starts(data)
    assert data[starts[-1] :] == BGZF_EOF
    assert len(starts) > 2
    for end in (starts[1] + 100, starts[1], starts[-1], starts[-1] + 20):
        whole.write_bytes(data[:end])
        assert "truncated" in error(whole)
        assert "truncated" in error(whole, "chr1:1-9")
    short = data[: starts[1] + 100][:60_000]
    with as_stdin(short):
        assert error("-").startswith("standard input: truncated")


def test_missing_last_block_in_a_pipe(plain: Path) -> None:
    data = bgzip(plain).read_bytes().removesuffix(BGZF_EOF)
    with as_stdin(data):
        lines_before = len(vcf_text(LINES).splitlines())
        assert f"truncated after line {lines_before}: bgzip's end-of-file block" in error("-")


@pytest.mark.parametrize("form", ["gz", "bcf"])
@pytest.mark.parametrize("region", [None, "chr1", "chr1:3000-3500"])
def test_damaged_block(long_vcf: Path, form: str, region: str | None) -> None:
    whole = bgzip(long_vcf) if form == "gz" else to_bcf(long_vcf)
    data = bytearray(whole.read_bytes())
    start = block_starts(bytes(data))[1]
    data[start + 200 : start + 9000] = bytes(8800)
    whole.write_bytes(data)
    assert "damaged" in error(whole, region)


def test_plain_gzip_cut_short(plain: Path) -> None:
    cut = plain.with_name("cut.vcf.gz")
    cut.write_bytes(gzip.compress(plain.read_bytes())[:-30])
    assert "truncated or damaged after line" in error(cut)
    cut.write_bytes(gzip.compress(plain.read_bytes())[:-4] + b"abcd")
    assert "truncated or damaged after line" in error(cut)
    cut.write_bytes(b"\x1f\x8bnothing of the kind")
    assert "damaged gzip" in error(cut)


def test_bcf_whose_header_is_cut(plain: Path) -> None:
    path = plain.with_name("cut.bcf")
    path.write_bytes(gzip.decompress(to_bcf(plain).read_bytes())[:40])
    assert "truncated or damaged BCF" in error(path)


def test_nothing_stays_open(plain: Path) -> None:
    paths = [bgzip(plain), to_bcf(plain)]
    before = open_descriptors()
    for path in paths:
        with contextlib.ExitStack() as stack:
            next(open_lines(str(path), None, stack))
            next(open_lines(str(path), "chr1", stack))
        with as_stdin(path.read_bytes()), contextlib.ExitStack() as stack:
            next(open_lines("-", None, stack))
    assert open_descriptors() == before


def test_index_of_another_file(plain: Path, long_vcf: Path) -> None:
    small, large = bgzip(plain), bgzip(long_vcf)
    shutil.copy(f"{large}.tbi", f"{small}.tbi")
    assert body(large, "chr1:3500-3501")
    assert "damaged, or its index is of another file" in error(small, "chr1:3500-3501")
