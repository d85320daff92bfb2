"""sbert_vcf.new_file: names that are given at the end, and what the system refuses."""

import gzip
from pathlib import Path

import pytest

from sbert_model.errors import OutputError
from sbert_vcf.new_file import check_new, new_file, new_text


def test_the_name_is_given_at_the_end(tmp_path: Path) -> None:
    final = tmp_path / "out.txt"
    final.write_text("old")
    with new_file(final) as path:
        path.write_text("new")
        assert path.parent == tmp_path
        assert final.read_text() == "old"
    assert final.read_text() == "new"
    assert list(tmp_path.iterdir()) == [final]


def test_on_failure_the_old_file_stays(tmp_path: Path) -> None:
    final = tmp_path / "out.txt"
    final.write_text("old")
    with pytest.raises(UnicodeEncodeError), new_text(str(final)) as text:
        text.write("new \ud800")
    assert final.read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    with new_text(str(tmp_path / "link")) as text:
        text.write("ü\n")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text(encoding="utf-8") == "ü\n"


def test_gz_is_compressed_and_holds_no_time(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        with new_text(str(tmp_path / name)) as text:
            text.write("one\ntwo\n")
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"one\ntwo\n"
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_standard_output_and_devices_are_written_in_place(capsys: pytest.CaptureFixture[str]) -> None:
    check_new("-", overwrite=False)
    check_new("/dev/null", overwrite=False)
    with new_text("-") as text:
        text.write("here\n")
    assert capsys.readouterr().out == "here\n"
    with new_text("/dev/null") as text:
        text.write("gone\n")
    assert Path("/dev/null").is_char_device()


def test_what_the_system_refuses_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"no/out: cannot be written: No such file or directory$"),
        new_file(tmp_path / "no" / "out") as path,
    ):
        path.write_text("new")
    with (
        pytest.raises(OutputError, match=r"^/dev/full: cannot be written: No space left on device$"),
        new_text("/dev/full") as text,
    ):
        text.write("new")
