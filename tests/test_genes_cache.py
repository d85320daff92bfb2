"""The gene cache: trusted where the content is the same, rebuilt where it is not, never in the way."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sbert_model.errors import InputError
from sbert_vcf.genes_cache import Arrays, cached_arrays, default_folder


class Parser:
    """Counts its calls and returns the file's bytes."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path) -> Arrays:
        self.calls += 1
        return {"bytes": np.frombuffer(path.read_bytes(), dtype=np.uint8)}


@pytest.fixture
def parser() -> Parser:
    return Parser()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "genes.gtf"
    path.write_bytes(b"one")
    return path


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the clock of the cache run an hour ahead, so that files just written count as left alone."""
    ahead = time.time_ns() + 3600 * 10**9

    def settle() -> None:
        monkeypatch.setattr("sbert_vcf.genes_cache.time.time_ns", lambda: ahead)

    return settle


def read(source: Path, folder: Path, parser: Parser) -> bytes:
    return cached_arrays(source, folder, parser)["bytes"].tobytes()


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.genes"))


def test_second_time_comes_from_the_cache(source: Path, tmp_path: Path, parser: Parser) -> None:
    assert [read(source, tmp_path / "cache", parser) for _ in range(2)] == [b"one", b"one"]
    assert parser.calls == 1


def test_same_content_under_another_name_is_found(source: Path, tmp_path: Path, parser: Parser) -> None:
    read(source, tmp_path / "cache", parser)
    other = tmp_path / "other.gtf"
    other.write_bytes(b"one")
    assert read(other, tmp_path / "cache", parser) == b"one"
    assert parser.calls == 1


def test_changed_content_is_parsed(source: Path, tmp_path: Path, parser: Parser) -> None:
    read(source, tmp_path / "cache", parser)
    source.write_bytes(b"two")
    assert read(source, tmp_path / "cache", parser) == b"two"
    assert parser.calls == 2


def test_noted_digest_spares_hashing_until_the_file_changes(
    source: Path,
    tmp_path: Path,
    parser: Parser,
    settled: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settled()
    read(source, tmp_path / "cache", parser)
    with monkeypatch.context() as patch:
        patch.setattr("sbert_vcf.genes_cache._content_digest", None)
        assert read(source, tmp_path / "cache", parser) == b"one"
    status = source.stat()
    replacement = tmp_path / "replacement"
    replacement.write_bytes(b"two")
    os.utime(replacement, ns=(status.st_atime_ns, status.st_mtime_ns))
    replacement.replace(source)  # same name, size and modification time
    assert read(source, tmp_path / "cache", parser) == b"two"


def test_no_digest_is_noted_of_a_file_just_written(source: Path, tmp_path: Path, parser: Parser) -> None:
    read(source, tmp_path / "cache", parser)
    assert not list((tmp_path / "cache").glob("*.digest"))


@pytest.mark.parametrize("broken", [b"", b"short", b"\0" * 4000])
def test_broken_entry_is_rebuilt(source: Path, tmp_path: Path, parser: Parser, broken: bytes) -> None:
    read(source, tmp_path / "cache", parser)
    (entry,) = entries(tmp_path / "cache")
    whole = entry.read_bytes()
    entry.write_bytes(broken)
    assert read(source, tmp_path / "cache", parser) == b"one"
    assert parser.calls == 2
    assert entry.read_bytes() == whole


def test_one_changed_bit_is_noticed(source: Path, tmp_path: Path, parser: Parser) -> None:
    read(source, tmp_path / "cache", parser)
    (entry,) = entries(tmp_path / "cache")
    content = bytearray(entry.read_bytes())
    content[content.index(b"one")] ^= 1
    entry.write_bytes(content)
    assert read(source, tmp_path / "cache", parser) == b"one"


def test_broken_note_is_ignored(source: Path, tmp_path: Path, parser: Parser, settled: Callable[[], None]) -> None:
    settled()
    read(source, tmp_path / "cache", parser)
    (note,) = (tmp_path / "cache").glob("*.digest")
    note.write_bytes(b"\xff\xfe\x00")
    assert read(source, tmp_path / "cache", parser) == b"one"
    assert parser.calls == 1


def test_other_format_version_is_not_read(
    source: Path, tmp_path: Path, parser: Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(source, tmp_path / "cache", parser)
    monkeypatch.setattr("sbert_vcf.genes_cache.FORMAT_VERSION", 10**6)
    read(source, tmp_path / "cache", parser)
    assert parser.calls == 2
    assert len(entries(tmp_path / "cache")) == 2


def test_unwritable_folder_costs_one_warning(
    source: Path, tmp_path: Path, parser: Parser, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        assert read(source, tmp_path / "file" / "cache", parser) == b"one"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "gene cache not written" in caplog.text


def test_nothing_half_written_stays(source: Path, tmp_path: Path, parser: Parser) -> None:
    folder = tmp_path / "cache"
    read(source, folder, parser)
    (entry,) = entries(folder)
    entry.unlink()
    entry.mkdir()  # replacing it must fail
    assert read(source, folder, parser) == b"one"
    assert list(folder.iterdir()) == [entry]


def test_file_that_changes_while_it_is_parsed_is_not_stored(source: Path, tmp_path: Path) -> None:
    def parse(path: Path) -> Arrays:
        path.write_bytes(b"longer")
        return {"bytes": np.zeros(1, dtype=np.uint8)}

    cached_arrays(source, tmp_path / "cache", parse)
    assert not (tmp_path / "cache").exists()


def test_pipe_is_read_once_and_not_hashed(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    arrays = cached_arrays(pipe, tmp_path / "cache", lambda _: {"bytes": np.ones(1, dtype=np.uint8)})
    assert arrays["bytes"].tolist() == [1]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["missing.gtf", "."])
def test_unreadable_file_is_one_line(tmp_path: Path, name: str) -> None:
    def parse(path: Path) -> Arrays:
        raise InputError(f"{path}: from the parser")

    with pytest.raises(InputError) as caught:
        cached_arrays(tmp_path / name, tmp_path / "cache", parse)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SBERT_VCF_CACHE", str(tmp_path))
    assert default_folder() == tmp_path / "genes"
    monkeypatch.delenv("SBERT_VCF_CACHE")
    assert default_folder().parts[-2:] == ("sbert-vcf", "genes")
