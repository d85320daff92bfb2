import gzip
from pathlib import Path

import numpy as np
import pytest

from sbert_model.errors import InputError
from sbert_model.tokenizer import decode
from sbert_train.splice_site_data import read_splice_sites

TABLE = """\
sequence\tlabel\tsite\tsplit\tspecies
AACCGGTT\t1\tdonor\ttrain\ta
TTCCGGAA\t0\tdonor\ttrain\ta
AAGT\t1\tdonor\ttest\ta
ATGTA\t0\tdonor\ttest\ta
CCCCCCCC\t1\tacceptor\ttrain\ta
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.tsv.gz"
    path.write_bytes(gzip.compress(TABLE.encode()))
    return path


def test_a_table_gives_the_rows_of_a_site_and_split_cut_around_the_middle(table: Path) -> None:
    train = read_splice_sites(str(table), "donor", "train", 4)
    assert [decode(row) for row in train.ids] == ["CCGG", "CCGG"]
    assert train.labels.tolist() == [1, 0]
    test = read_splice_sites(str(table), "donor", "test", 6)
    assert [decode(row) for row in test.ids] == ["NAAGTN", "NATGTA"]


def test_columns_that_a_table_lacks_do_not_choose(tmp_path: Path) -> None:
    path = tmp_path / "plain.tsv"
    path.write_text("label\tsequence\n1\tACGU\n0\tacgn\n")
    found = read_splice_sites(str(path), "acceptor", "train", 4)
    assert [decode(row) for row in found.ids] == ["ACGT", "ACGN"]


def test_spliceators_files(tmp_path: Path) -> None:
    positives, negatives = tmp_path / "POS_donor.csv", tmp_path / "NEG_donor.csv"
    positives.write_text("ID_uniprot;info;sequence\nP1;x;AACCGGTT;1\nP2;x;TTCCGGTT;1\n")
    negatives.write_text("N1_7;TTAAAATT\n")
    found = read_splice_sites(f"{positives},{negatives}", "donor", "train", 4)
    assert [decode(row) for row in found.ids] == ["CCGG", "CCGG", "AAAA"]
    assert found.labels.tolist() == [1, 1, 0]
    assert found.name == "POS_donor.csv"

    negatives.write_text("TTAAAATT\n")
    with pytest.raises(InputError, match=r"NEG_donor\.csv:1: expected fields with `;` between them"):
        read_splice_sites(f"{positives},{negatives}", "donor", "train", 4)
    with pytest.raises(InputError, match="expected one table, or two files"):
        read_splice_sites(f"{positives},{negatives},{negatives}", "donor", "train", 4)
    with pytest.raises(InputError, match="POSITIVES,NEGATIVES"):
        read_splice_sites(str(positives), "donor", "train", 4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\t0\tdonor\ttrain", "\t2\tdonor\ttrain", r":3: label '2'; expected 0 or 1"),
        ("TTCCGGAA", "TTCC GAA", r":3: the sequence holds ' ', no base"),
        ("donor\ttrain\ta", "donor\ttrain", r":2: 4 columns, the header has 5"),
        ("\t0\tdonor\ttrain", "\t1\tdonor\ttrain", "all 2 sequences of site donor have the label 1"),
        ("donor\ttrain", "donor\tother", "has no sequences of site donor, split train"),
    ],
)
def test_lines_that_do_not_fit_are_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.tsv"
    path.write_text(TABLE.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_splice_sites(str(path), "donor", "train", 4)


def test_some_of_the_sequences(table: Path) -> None:
    found = read_splice_sites(str(table), "donor", "train", 8)
    assert found.some(1, 0).ids.shape == (1, 8)
    assert found.some(2, 0).labels.tolist() == [1, 0]
    with pytest.raises(InputError, match="--sequences 3, but there are 2"):
        found.some(3, 0)


@pytest.mark.real_data
def test_the_sites_dinucleotide_is_in_the_middle(data: Path) -> None:
    for site, letters in (("donor", "GT"), ("acceptor", "AG")):
        found = read_splice_sites(str(data / "splice_sites" / "human.tsv.gz"), site, "test")
        assert found.ids.shape == (3200, 400)
        assert np.bincount(found.labels).tolist() == [1600, 1600]
        assert {decode(row) for row in found.ids[:, 199:201]} == {letters}
