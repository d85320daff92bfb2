import gzip
import os
from pathlib import Path

import pysam
import pytest

from sbert_model.errors import InputError
from sbert_model.fasta import fetch, index_digest, open_fasta

TEXT = ">chr1 a description\nACGTacgt\nNNRY\n>chr2\nTTTT\n"


def _write(folder: Path, text: str = TEXT) -> Path:
    path = folder / "genome.fa"
    path.write_text(text)
    return path


@pytest.mark.parametrize("zipped", [False, True])
def test_the_index_is_made_and_letters_stay_as_they_are(tmp_path: Path, zipped: bool) -> None:
    path = _write(tmp_path)
    if zipped:
        pysam.tabix_compress(str(path), str(path.with_suffix(".fa.gz")))
        path = path.with_suffix(".fa.gz")
    with open_fasta(path) as fasta:
        assert dict(zip(fasta.references, fasta.lengths, strict=True)) == {"chr1": 12, "chr2": 4}
        assert fetch(fasta, path, "chr1", 2, 11) == b"GTacgtNNR"
    assert path.with_name(path.name + ".fai").exists()
    assert path.with_name(path.name + ".gzi").exists() is zipped
    assert len(index_digest(path)) == 64


def test_gzip_has_no_random_access(tmp_path: Path) -> None:
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    with pytest.raises(InputError, match=rf"no random access; run: gunzip {path} && bgzip {tmp_path / 'genome.fa'}$"):
        open_fasta(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.fa: cannot read the FASTA: No such file"):
        open_fasta(tmp_path / "absent.fa")


@pytest.mark.parametrize("text", ["", "no fasta\n", ">chr1\nACGT\nAC\nACGT\n"])
def test_what_cannot_be_indexed(tmp_path: Path, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"genome\.fa: ") as raised:
        open_fasta(_write(tmp_path, text))
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_index_in_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    path = _write(tmp_path)
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"has no genome\.fa\.fai, and samtools faidx cannot make one"):
        open_fasta(path)
    tmp_path.chmod(0o700)


def test_a_file_that_was_cut_after_it_was_indexed(tmp_path: Path) -> None:
    path = _write(tmp_path)
    open_fasta(path).close()
    path.write_text(TEXT[:25])
    with (
        open_fasta(path) as fasta,
        pytest.raises(InputError, match=r"chr1 at 1: not the bases that the index promises.*delete genome\.fa\.fai"),
    ):
        fetch(fasta, path, "chr1", 0, 12)
