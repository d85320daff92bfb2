"""sbert_vcf.cli_cache: `sbert-vcf cache info | prune`."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sbert_model.errors import InputError
from sbert_vcf import score_cache
from sbert_vcf.cache_keys import Scorer
from sbert_vcf.cli_cache import cache
from sbert_vcf.score_cache import ScoreCache
from tests.models import tiny_config


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(score_cache, "today", lambda: 20_000)
    with ScoreCache(tmp_path / "scores.db") as made:
        model = made.model_id(Scorer("tiny", "ab" * 32, tiny_config(), "float32"))
        made.note(model, {number.to_bytes(16, "big"): (1.0,) for number in range(1200)})
    return tmp_path / "scores.db"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cache, list(map(str, arguments)))


def test_info(path: Path) -> None:
    assert run("info", path).stdout.splitlines() == [
        f"file    {path}",
        "format  1",
        f"size    {path.stat().st_size / 1e3:.0f} kB",
        "scores  1,200",
        "  1,200 of model tiny (sha256 abababababab…) in float32, last used 2024-10-04",
    ]


def test_info_of_what_is_not_there(tmp_path: Path) -> None:
    result = run("info", tmp_path / "none.db")
    assert isinstance(result.exception, InputError)
    assert not (tmp_path / "none.db").exists()


def test_prune(path: Path) -> None:
    assert "0 scores removed, 1,200 kept" in run("prune", path, "--max-size", "0.5G").stdout
    assert "1,200 scores removed, 0 kept" in run("prune", path, "--unused", "3", "--max-size", "20kb").stdout


@pytest.mark.parametrize("wrong", [[], ["--max-size", "much"], ["--unused", "-1"]])
def test_prune_wants_to_know_what(path: Path, wrong: list[str]) -> None:
    assert run("prune", path, *wrong).exit_code == 2
