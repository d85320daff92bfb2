"""The FASTA: bases at any place, its index made or refused, and what is wrong with broken files."""

import gzip
import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pysam
import pytest

from sbert_model.errors import InputError
from sbert_model.tokenizer import A, C, G, N, T, decode
from sbert_vcf.reference import Reference

# Longer than two of the blocks that are read at once.
LONG = "".join(random.Random(1).choices("ACGT", k=70_000))
FASTA = (
    ">chr1 the long one\n" + "\n".join(LONG[at : at + 60] for at in range(0, len(LONG), 60)) + "\n>MT\nacgtu\nNRY-x\n"
)


def write(path: Path, text: str = FASTA) -> Path:
    """Write a FASTA, bgzipped where the name ends in .gz."""
    if path.suffix == ".gz":
        with pysam.BGZFile(str(path), "wb", index=None) as handle:
            handle.write(text.encode())
    else:
        path.write_text(text)
    return path


@pytest.fixture(params=["plain.fa", "zipped.fa.gz"])
def reference(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reference]:
    with Reference(write(tmp_path / request.param), [("NC_012920.1", "MT")]) as opened:
        yield opened


def test_missing_indices_are_made(tmp_path: Path) -> None:
    for name, expected in [("a.fa", {"a.fa.fai"}), ("b.fa.gz", {"b.fa.gz.fai", "b.fa.gz.gzi"})]:
        path = write(tmp_path / name)
        Reference(path)
        assert {file.name for file in tmp_path.glob(f"{name}.*")} == expected
    (tmp_path / "b.fa.gz.gzi").unlink()
    assert Reference(tmp_path / "b.fa.gz").letters("MT", 0, 4) == "ACGT"
    assert (tmp_path / "b.fa.gz.gzi").exists()


def test_contigs_by_every_name(reference: Reference) -> None:
    assert list(reference.contigs.items()) == [("chr1", 70_000), ("MT", 10)]
    assert [reference.contig(name) for name in ("chr1", "1", "MT", "chrM", "M", "NC_012920.1", "2", "")] == [
        *("chr1", "chr1", "MT", "MT", "MT", "MT"),
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (0, 60), (59, 61), (32_767, 32_769), (32_768, 65_536), (1, 69_999), (0, 70_000), (69_999, 70_000), (5, 5)],
)
def test_letters_within_and_across_the_blocks_that_are_read(reference: Reference, start: int, end: int) -> None:
    assert reference.letters("chr1", start, end) == LONG[start:end]


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (32_700, 33_724), (32_768, 36_864), (36_000, 36_865), (1, 69_999), (-600, 424), (69_500, 70_524), (5, 5)],
)
def test_ids_of_both_strands_within_and_across_the_blocks(reference: Reference, start: int, end: int) -> None:
    text = "".join(LONG[at] if 0 <= at < len(LONG) else "N" for at in range(start, end))
    assert decode(reference.ids("chr1", start, end)) == text
    assert decode(reference.ids("chr1", start, end, "-")) == text[::-1].translate(str.maketrans("ACGT", "TGCA"))


def test_letters_beyond_the_contig_are_n(reference: Reference) -> None:
    assert reference.letters("chr1", -3, 2) == "NNN" + LONG[:2]
    assert reference.letters("chr1", 69_998, 70_003) == LONG[-2:] + "NNN"
    assert reference.letters("MT", -2, 12) == "NNACGTTNNNNNNN"
    assert reference.letters("MT", -5, -2) == "NNN"
    assert reference.letters("MT", 10, 12) == "NN"
    assert reference.letters("MT", 7, 3) == ""


def test_lower_case_counts_u_is_t_and_every_other_letter_is_n(reference: Reference) -> None:
    assert reference.letters("MT", 0, 10) == "ACGTTNNNNN"
    ids = reference.ids("MT", -1, 6)
    assert ids.dtype == np.uint8
    assert ids.tolist() == [N, A, C, G, T, T, N]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 5, False), (0, 6, True), (5, 6, True), (-1, 2, True), (9, 11, True), (3, 3, False)],
)
def test_has_gap(reference: Reference, start: int, end: int, expected: bool) -> None:
    assert reference.has_gap("MT", start, end) is expected


def test_random_access_equals_the_file(reference: Reference) -> None:
    generator = random.Random(2)
    for _ in range(200):
        start = generator.randrange(-100, 70_100)
        end = start + generator.randrange(0, 3000)
        expected = "".join(LONG[at] if 0 <= at < len(LONG) else "N" for at in range(start, end))
        assert reference.letters("chr1", start, end) == expected


def test_index_digest(tmp_path: Path) -> None:
    plain, zipped = (Reference(write(tmp_path / name)) for name in ("a.fa", "a.fa.gz"))
    lines = "chr1\t70000\t19\t60\t61\nMT\t10\t71190\t5\t6\n"
    assert plain.index_digest() == zipped.index_digest() == hashlib.sha256(lines.encode()).hexdigest()


def test_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "dos.fa"
    path.write_bytes(b">a\r\nACGT\r\nAC\r\n")
    assert Reference(path).letters("a", 0, 6) == "ACGTAC"


def read_first(path: Path) -> str:
    reference = Reference(path)
    return reference.letters(next(iter(reference.contigs)), 0, 1)


def refused(path: Path) -> str:
    """Return the one line that opening `path` and reading its first contig fails with."""
    with pytest.raises(InputError) as caught:
        read_first(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_no_such_file(tmp_path: Path) -> None:
    assert "no such FASTA" in refused(tmp_path / "none.fa")
    assert "no such FASTA" in refused(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.fa")

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert refused(path).endswith("cannot be read: Permission denied")


def test_gzip_is_not_bgzip(tmp_path: Path) -> None:
    path = tmp_path / "a.fa.gz"
    path.write_bytes(gzip.compress(FASTA.encode()))
    assert "bgzip" in refused(path)
    assert not list(tmp_path.glob("*.fai"))


@pytest.mark.parametrize("text", ["", "hello\n", ">a\nACGT\nACGTAC\nAC\n"], ids=["empty", "text", "ragged"])
def test_what_is_no_fasta(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.fa", text)
    assert "a.fa.fai" in refused(path)
    assert not list(tmp_path.glob("*.fai"))


def test_an_index_that_cannot_be_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fa")
    # Leads nowhere, so that nobody, root included, can write it.
    (tmp_path / "a.fa.fai").symlink_to(tmp_path / "none" / "a.fa.fai")
    message = refused(path)
    assert "has no a.fa.fai" in message
    assert "writable" in message


def test_a_gzi_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.fa.gz")
    pysam.faidx(str(path))
    (tmp_path / "a.fa.gz.gzi").unlink()

    def denied(*_: object) -> None:
        raise pysam.utils.SamtoolsError("samtools returned with error 1: stdout=, stderr=\n[faidx] no")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(pysam, "faidx", denied)
    assert "has no a.fa.gz.gzi, and" in refused(path)


def test_a_folder_that_cannot_be_written_but_has_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.fa")
    pysam.faidx(str(path))
    monkeypatch.setattr(pysam, "faidx", None)
    assert Reference(path).letters("MT", 0, 4) == "ACGT"


@pytest.mark.parametrize("index", ["", "garbage\n", "chr1\tx\ty\tz\tw\n"], ids=["empty", "text", "letters"])
def test_a_broken_index(tmp_path: Path, index: str) -> None:
    path = write(tmp_path / "a.fa")
    (tmp_path / "a.fa.fai").write_text(index)
    assert "delete a.fa.fai and run again" in refused(path)


def test_a_broken_gzi(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fa.gz")
    Reference(path)
    (tmp_path / "a.fa.gz.gzi").write_bytes(b"")
    assert "delete a.fa.gz.fai and a.fa.gz.gzi and run again" in refused(path)


@pytest.mark.parametrize("name", ["a.fa", "a.fa.gz"])
def test_a_fasta_cut_short_after_its_index_was_made(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    Reference(path)
    os.truncate(path, path.stat().st_size * 2 // 3)
    with Reference(path) as reference, pytest.raises(InputError, match=r"chr1 at 65537: .*cut short") as caught:
        reference.letters("chr1", 69_000, 69_100)
    assert str(caught.value).startswith(f"{path}: ")


def test_an_index_of_another_fasta(tmp_path: Path) -> None:
    path = write(tmp_path / "a.fa", ">a\nACGT\n>b\nACGT\n")
    other = write(tmp_path / "other.fa", ">a\nACGTACGT\n")
    pysam.faidx(str(other))
    shutil.copy(f"{other}.fai", f"{path}.fai")
    assert "another FASTA's index" in refused(path)


def test_the_file_is_closed(tmp_path: Path) -> None:
    with Reference(write(tmp_path / "a.fa")) as reference:
        pass
    with pytest.raises(InputError, match="closed file"):
        reference.letters("MT", 0, 1)
