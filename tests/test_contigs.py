"""One contig under several names, and alias tables."""

from pathlib import Path

import pytest

from sbert_model.contigs import ContigNames, read_aliases, spellings
from sbert_model.errors import InputError

ALIASES = [("NC_000001.11", "chr1"), ("CM000663.2", "NC_000001.11"), ("NC_012920.1", "MT"), ("X", "chrEx")]


@pytest.mark.parametrize(
    ("contig", "expected"),
    [
        ("chr1", ("1",)),
        ("1", ("chr1",)),
        ("Chr1", ("chr1", "1")),
        ("chrM", ("M", "chrMT", "MT")),
        ("M", ("chrM", "chrMT", "MT")),
        ("MT", ("chrM", "M", "chrMT")),
        ("chrMT", ("chrM", "M", "MT")),
        ("chrUn_KI270742v1", ("Un_KI270742v1",)),
        ("NC_000001.11", ("chrNC_000001.11",)),
    ],
)
def test_spellings(contig: str, expected: tuple[str, ...]) -> None:
    assert spellings(contig) == expected


@pytest.mark.parametrize(
    ("names", "contig", "expected"),
    [
        (["chr1", "chr2"], "chr1", "chr1"),
        (["chr1", "chr2"], "1", "chr1"),
        (["1", "2"], "chr1", "1"),
        (["1"], "chr11", None),
        (["1"], "", None),
        (["chrM"], "MT", "chrM"),
        (["MT"], "chrM", "MT"),
        (["chrM", "MT"], "MT", "MT"),  # hg19 has two mitochondria: the exact name goes first
        (["chr1"], "NC_000001.11", "chr1"),
        (["1"], "NC_000001.11", "1"),
        (["NC_000001.11"], "chr1", "NC_000001.11"),
        (["NC_000001.11"], "1", "NC_000001.11"),
        (["NC_000001.11"], "CM000663.2", "NC_000001.11"),
        (["chrM"], "NC_012920.1", "chrM"),
        (["NC_012920.1"], "chrM", "NC_012920.1"),
        (["chrX", "chrEx"], "X", "chrEx"),  # what the user says goes before the usual spelling
        (["chrX"], "X", "chrX"),
    ],
)
def test_resolve(names: list[str], contig: str, expected: str | None) -> None:
    resolver = ContigNames(names, ALIASES)
    assert resolver.resolve(contig) == expected
    assert resolver.resolve(contig) == expected  # remembered


def test_read_aliases(tmp_path: Path) -> None:
    table = tmp_path / "names.tsv"
    table.write_text("# RefSeq\tUCSC\nNC_000001.11\tchr1\n\n1 chr1\nMT\t chrM \r\n")
    assert read_aliases(table) == [("NC_000001.11", "chr1"), ("1", "chr1"), ("MT", "chrM")]


@pytest.mark.parametrize("line", ["chr1", "chr1\t1\tCM000663.2", "chr1\t"])
def test_a_line_without_two_names(tmp_path: Path, line: str) -> None:
    table = tmp_path / "names.tsv"
    table.write_text(f"chr2\t2\n{line}\n")
    with pytest.raises(InputError) as caught:
        read_aliases(table)
    assert str(caught.value) == f"{table}:2: expected two contig names, found {line!r}"


def test_an_alias_table_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the alias table"):
        read_aliases(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="cannot read the alias table"):
        read_aliases(tmp_path)
    binary = tmp_path / "names.gz"
    binary.write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(InputError, match="is no alias table"):
        read_aliases(binary)
