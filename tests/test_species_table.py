from pathlib import Path

import pytest

import sbert_train
from sbert_model.errors import InputError
from sbert_train.species_table import Genome, read_species_table


def _table(folder: Path, text: str) -> Path:
    for name in ("a.fa", "a.gtf"):
        (folder / name).touch()
    table = folder / "species.tsv"
    table.write_text(text)
    return table


@pytest.mark.parametrize("header", ["", "species\tFASTA\tannotation\tweight\n", "# a comment\n\nSpecies\tx\ty\n"])
def test_rows_with_and_without_header_and_weight(tmp_path: Path, header: str) -> None:
    table = _table(tmp_path, f"{header}one\ta.fa\ta.gtf\n# two is rare\ntwo\ta.fa\t{tmp_path / 'a.gtf'}\t0.25\r\n")
    fasta, annotation = tmp_path / "a.fa", tmp_path / "a.gtf"
    assert read_species_table(table) == [Genome("one", fasta, annotation), Genome("two", fasta, annotation, 0.25)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no species"),
        ("species\tFASTA\tannotation\n", "names no species"),
        ("one a.fa a.gtf\n", ":1: expected tab-separated species, FASTA, annotation and, if wanted, weight"),
        ("one\ta.fa\t\n", ":1: expected"),
        ("one\ta.fa\ta.gtf\t1\t2\n", ":1: expected"),
        ("one\ta.fa\ta.gtf\none\ta.fa\ta.gtf\n", ":2: species one is there twice"),
        ("\none\tb.fa\ta.gtf\n", r":2: no FASTA .*b\.fa; paths are relative to the table"),
        ("one\ta.fa\tb.gtf\n", r":1: no annotation .*b\.gtf"),
        ("one\ta.fa\ta.gtf\tmuch\n", ":1: weight 'much'; expected a number above 0"),
        ("one\ta.fa\ta.gtf\t0\n", ":1: weight '0'"),
        ("one\ta.fa\ta.gtf\tinf\n", ":1: weight 'inf'"),
    ],
)
def test_broken_tables_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_species_table(_table(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the species table: No such file"):
        read_species_table(tmp_path / "absent.tsv")
    (tmp_path / "binary.tsv").write_bytes(b"\x1f\x8b\xff")
    with pytest.raises(InputError, match="is no species table"):
        read_species_table(tmp_path / "binary.tsv")


def test_the_packaged_table_names_72_vertebrates(tmp_path: Path) -> None:
    packaged = Path(sbert_train.__file__).parent / "configs" / "vertebrates72.tsv"
    table = tmp_path / packaged.name
    table.write_bytes(packaged.read_bytes())
    rows = [line.split("\t") for line in table.read_text().splitlines() if not line.startswith("#")][1:]
    for row in rows:
        for name in row[1:3]:
            (tmp_path / name).touch()
    genomes = read_species_table(table)
    assert len(genomes) == 72
    assert genomes[0] == Genome("human", tmp_path / "hg38.fa.gz", tmp_path / "hg38.genes.txt.gz")
    assert len({genome.fasta for genome in genomes}) == 72
