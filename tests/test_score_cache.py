"""The score cache of a run: exact values, several users, and no harm from files that are broken or foreign."""

import contextlib
import logging
import multiprocessing
import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from sbert_model.errors import InputError
from sbert_vcf import cache_file, score_cache
from sbert_vcf.cache_file import FORMAT_VERSION, facts
from sbert_vcf.cache_keys import Scorer
from sbert_vcf.score_cache import ScoreCache, Values
from tests.models import tiny_config

SCORER = Scorer("tiny", "ab" * 32, tiny_config(), "float32")
ODD_VALUES = (-1381.5510557964274, 0.1 + 0.2, 5e-324, -0.0, float("nan"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scores.db"


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("sbert_vcf"), "propagate", True)
    return caplog


def key(number: int) -> bytes:
    return random.Random(number).randbytes(16)


def fill(path: Path, numbers: range) -> None:
    with ScoreCache(path) as cache:
        cache.note(cache.model_id(SCORER), {key(number): (float(number),) for number in numbers})


def found(path: Path, numbers: range) -> dict[int, Values]:
    with ScoreCache(path) as cache:
        known = cache.find([key(number) for number in numbers])
    return {number: known[key(number)] for number in numbers if key(number) in known}


def test_values_come_back_to_the_bit(path: Path) -> None:
    with ScoreCache(path) as cache:
        cache.note(cache.model_id(SCORER), {key(1): ODD_VALUES, key(2): ()})
    with ScoreCache(path) as cache:
        known = cache.find([key(1), key(2), key(3)])
    assert list(map(float.hex, known[key(1)])) == list(map(float.hex, ODD_VALUES))
    assert known[key(2)] == ()
    assert key(3) not in known
    assert (cache.asked, cache.found) == (3, 2)


def test_found_before_it_is_written_and_across_many_questions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_cache, "_ROWS_PER_WRITE", 700)
    with ScoreCache(path) as cache:
        model = cache.model_id(SCORER)
        cache.note(model, {key(1): (1.0,)})
        assert facts(path).models == []
        assert cache.find([key(1), key(1)]) == {key(1): (1.0,)}
        assert (cache.asked, cache.found) == (2, 2)
        cache.note(model, {key(number): (float(number),) for number in range(1200)})
        assert facts(path).models[0].scores == 1200
    assert found(path, range(1300)) == {number: (float(number),) for number in range(1200)}


def test_noted_scores_are_written_after_some_seconds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_cache, "_SECONDS_PER_WRITE", -1.0)
    with ScoreCache(path) as cache:
        cache.note(cache.model_id(SCORER), {key(1): (1.0,)})
        assert facts(path).models[0].scores == 1


def test_the_summary_tells_hits_and_size(path: Path) -> None:
    fill(path, range(3))
    with ScoreCache(path) as cache:
        cache.find([key(number) for number in range(4)])
        assert cache.summary() == f"cache {path}: 75% of 4 scores found, {path.stat().st_size / 1e3:.0f} kB"


def test_use_is_noted_by_the_day(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, range(2))
    day = cache_file.today()
    monkeypatch.setattr(score_cache, "today", lambda: day + 40)
    assert list(found(path, range(1))) == [0]
    with sqlite3.connect(path) as connection:
        used = dict(connection.execute("SELECT key, used FROM score"))
    assert used == {key(0): day + 40, key(1): day}


@pytest.mark.parametrize(
    "content",
    [b"no database at all, only text " * 50, b"SQLite format 3\x00" + b"\x07" * 5000],
    ids=["text", "header only"],
)
def test_another_file_is_left_alone(path: Path, content: bytes, log: pytest.LogCaptureFixture) -> None:
    path.write_bytes(content)
    with ScoreCache(path) as cache:
        cache.note(cache.model_id(SCORER), {key(1): (1.0,)})
        assert not cache.usable
        assert cache.find([key(1)]) == {}
        assert cache.summary() == ""
    assert path.read_bytes() == content
    assert len(log.messages) == 1
    assert f"{path}: cannot be used" in log.messages[0]
    assert "the run goes on without it" in log.messages[0]


def test_another_programs_database_is_left_alone(path: Path, log: pytest.LogCaptureFixture) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE score (key BLOB PRIMARY KEY, value BLOB)")
    content = path.read_bytes()
    assert found(path, range(3)) == {}
    assert path.read_bytes() == content
    assert log.messages == [f"cache: {path}: is no score cache of sbert-vcf; the run goes on without it"]


def test_a_newer_version_is_left_alone(path: Path, log: pytest.LogCaptureFixture) -> None:
    fill(path, range(3))
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={FORMAT_VERSION + 1}")
    content = path.read_bytes()
    assert found(path, range(3)) == {}
    assert path.read_bytes() == content
    assert "written by a newer sbert-vcf (format 2, this one knows 1)" in log.messages[0]


def test_an_empty_file_becomes_a_cache(path: Path) -> None:
    path.touch()
    fill(path, range(3))
    assert len(found(path, range(3))) == 3


def test_folders_missing_and_in_the_way(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    for path in (tmp_path / "missing" / "scores.db", tmp_path):
        fill(path, range(3))
    assert len(log.messages) == 2
    assert all("cannot be used (unable to open database file)" in message for message in log.messages)


def test_a_read_only_file(path: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, range(3))
    # Permissions would not stop the superuser, as whom tests may run.
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda name, **more: connect(name.replace("=rwc", "=ro"), **more))
    assert found(path, range(3)) == {}
    assert len(log.messages) == 1
    assert "attempt to write a readonly database" in log.messages[0]


def test_a_full_disk(path: Path, log: pytest.LogCaptureFixture) -> None:
    with ScoreCache(path) as cache:
        model = cache.model_id(SCORER)
        assert cache._connection is not None
        cache._connection.execute("PRAGMA max_page_count=6")
        cache.note(model, {key(number): (1.0,) for number in range(5000)})
        assert not cache.usable
        cache.note(model, {key(1): (1.0,)})
        assert cache.find([key(1)]) == {}
    assert len(log.messages) == 1
    assert "database or disk is full" in log.messages[0]
    assert facts(path).models == []


def test_no_turned_bit_becomes_a_score(path: Path, log: pytest.LogCaptureFixture) -> None:
    """Whatever byte the disk damages, a score that is found is the right one."""
    numbers = range(60)
    fill(path, numbers)
    content = path.read_bytes()
    right = {number: (float(number),) for number in numbers}
    places = random.Random(1).sample(range(len(content)), 150)
    refused = 0
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        log.clear()
        some = found(path, numbers)
        assert some.items() <= right.items()
        assert len(log.messages) <= 1
        refused += bool(log.messages)
    assert refused > 10


def test_a_value_under_another_key_is_damage(path: Path, log: pytest.LogCaptureFixture) -> None:
    fill(path, range(2))
    with sqlite3.connect(path) as connection:
        (value,) = connection.execute("SELECT value FROM score WHERE key = ?", (key(0),)).fetchone()
        connection.execute("UPDATE score SET value = ? WHERE key = ?", (value, key(1)))
    connection.close()
    assert found(path, range(2)) == {}
    assert "it holds a damaged value" in log.messages[0]


def write_many(path: Path, first: int, count: int) -> None:
    with ScoreCache(path) as cache:
        model = cache.model_id(SCORER)
        for number in range(first, first + count):
            cache.note(model, {key(number): (float(number),)})
            cache.find([key(number - count)])


def written(path: Path) -> bool:
    with contextlib.suppress(InputError):  # between the making of the file and that of its tables
        return bool(facts(path).models)
    return False


def write_until_killed(path: Path) -> None:
    score_cache._ROWS_PER_WRITE = 5
    write_many(path, 0, 10**9)


def test_several_runs_at_once(path: Path) -> None:
    """All of them also make the file, each believing that it is the first."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(path, 100 * number, 300)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert found(path, range(700)) == {number: (float(number),) for number in range(600)}
    assert len(facts(path).models) == 1


def test_a_killed_writer_leaves_a_valid_file(path: Path) -> None:
    writer = multiprocessing.get_context("fork").Process(target=write_until_killed, args=(path,))
    writer.start()
    patience = time.monotonic() + 60
    while time.monotonic() < patience and not (path.is_file() and written(path)):
        time.sleep(0.05)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    known = found(path, range(100))
    assert known
    assert known == {number: (float(number),) for number in known}
    fill(path, range(100))
    assert len(found(path, range(100))) == 100
