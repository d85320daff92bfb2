"""The example of the Python interface runs and prints what the annotator scores."""

import subprocess
import sys
from pathlib import Path

import pytest

from sbert_vcf.annotator import Annotator
from sbert_vcf.options import ScoringOptions
from sbert_vcf.variant import Variant
from tests.models import write_random_masked_lm

ROOT = Path(__file__).parent.parent


def run(script: str, *arguments: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "examples" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def test_example_prints_the_scores_around_a_donor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'model'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = write_random_masked_lm(tmp_path / "tiny", hidden=8, heads=1, layers=1, max_nt=402)
    assert run("make_example.py", tmp_path).returncode == 0
    done = run("python_api.py", tmp_path, model)
    assert done.returncode == 0, done.stderr
    title, head, *rows = done.stdout.splitlines()
    assert title.startswith("KL-context around the first donor of TOY1, chrToy:")
    assert head.split() == ["base", "ref", "A", "C", "G", "T"]
    cells = [row.split() for row in rows]
    assert [row[0] for row in cells] == ["-3", "-2", "-1", "+1", "+2", "+3", "+4", "+5", "+6"]
    assert [row[1] for row in cells[3:5]] == ["G", "T"]
    donor = int(title.split(":")[1].split()[0]) - 1
    options = ScoringOptions(reference=str(tmp_path / "toy.fa"), model=str(model), device="cpu", strand="+")
    with Annotator.open(options) as annotator:
        (result,) = annotator.score([Variant("chrToy", donor, "G", "A")])
    assert result.kl is not None
    assert cells[3][2:] == [f"{result.kl:.2f}", cells[3][3], ".", cells[3][5]]
    assert all(row[2 + "ACGT".index(row[1])] == "." and row.count(".") == 1 for row in cells)


def test_example_says_how_to_run_it() -> None:
    done = run("python_api.py")
    assert done.returncode == 1
    assert done.stderr.startswith("usage: python_api.py")
