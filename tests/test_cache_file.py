"""The file of a score cache: what is in it and what pruning leaves."""

from pathlib import Path

import pytest

from sbert_model.errors import InputError
from sbert_vcf import cache_file, score_cache
from sbert_vcf.cache_file import ModelEntries, facts, open_cache, prune
from sbert_vcf.cache_keys import Scorer
from sbert_vcf.score_cache import ScoreCache
from tests.models import tiny_config

SCORER = Scorer("tiny", "ab" * 32, tiny_config(), "float32")
DAY = 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "odd name?#%20.db"


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def fill(path: Path, monkeypatch: pytest.MonkeyPatch, days_ago: int, numbers: range, scorer: Scorer = SCORER) -> None:
    for module in (cache_file, score_cache):
        monkeypatch.setattr(module, "today", lambda: DAY - days_ago)
    with ScoreCache(path) as cache:
        cache.note(cache.model_id(scorer), {key(number): (float(number),) for number in numbers})
    monkeypatch.setattr(cache_file, "today", lambda: DAY)


def known(path: Path, numbers: range) -> set[int]:
    with ScoreCache(path) as cache:
        found = cache.find([key(number) for number in numbers])
    return {number for number in numbers if key(number) in found}


def test_facts_tell_the_models(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, monkeypatch, 9, range(3))
    fill(path, monkeypatch, 2, range(3, 8), SCORER._replace(precision="float16"))
    found = facts(path)
    assert found.version == cache_file.FORMAT_VERSION
    assert found.size == path.stat().st_size
    assert found.models == [
        ModelEntries("tiny", "ab" * 32, "float32", 3, DAY - 9),
        ModelEntries("tiny", "ab" * 32, "float16", 5, DAY - 2),
    ]


def test_scores_unused_for_long_are_dropped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for days_ago, numbers in ((31, range(10)), (30, range(10, 20)), (0, range(20, 30))):
        fill(path, monkeypatch, days_ago, numbers)
    done = prune(path, unused_days=30)
    assert (done.removed, done.kept) == (10, 20)
    assert known(path, range(30)) == set(range(10, 30))


def test_pruned_to_a_size_the_latest_remain(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for days_ago in range(10, 0, -1):
        fill(path, monkeypatch, days_ago, range(1000 * days_ago, 1000 * days_ago + 400))
    before = path.stat().st_size
    assert before > 200_000
    done = prune(path, max_bytes=100_000)
    assert done.size_before == before
    assert 60_000 < done.size_after <= 100_000
    assert path.stat().st_size == done.size_after
    kept = [len(known(path, range(1000 * day, 1000 * day + 400))) for day in range(1, 11)]
    assert sum(kept) == done.kept == 4000 - done.removed
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == 400


def test_pruned_to_nothing_and_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, monkeypatch, 5, range(500))
    assert prune(path, max_bytes=10**9, unused_days=5).removed == 0
    assert prune(path, max_bytes=0).kept == 0
    assert known(path, range(500)) == set()


def test_pruning_does_not_disturb_a_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, monkeypatch, 50, range(500))
    with ScoreCache(path) as cache:
        assert len(cache.find([key(1)])) == 1
        prune(path, unused_days=10)
        assert cache.find([key(2)]) == {}
        cache.note(cache.model_id(SCORER), {key(2): (2.0,)})
        assert cache.usable
    assert known(path, range(500)) == {2}


def test_sizes_as_people_read_them() -> None:
    assert [cache_file.size_text(size) for size in (20_480, 999_499, 1_000_000, 2_345_678_901)] == [
        "20 kB",
        "999 kB",
        "1.0 MB",
        "2,345.7 MB",
    ]


def test_what_is_no_cache_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match="no such score cache"):
        facts(path)
    path.write_text("text " * 1000)
    with pytest.raises(InputError, match=r"cannot be used as a score cache \(file is not a database\)"):
        prune(path, max_bytes=1)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"is no score cache of sbert-vcf"):
        facts(path)
    open_cache(path, create=True).close()
    assert facts(path).models == []
