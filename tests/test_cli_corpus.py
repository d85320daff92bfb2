import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sbert_train.cli import train
from sbert_train.corpus import open_corpus
from tests.tiny_corpus import write_tiny_genome


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for seed, name in enumerate(("alpha", "beta")):
        write_tiny_genome(tmp_path / name, seed=seed)
    path = tmp_path / "species.tsv"
    rows = ["species\tFASTA\tannotation\tweight", "alpha\talpha/genome.fa\talpha/genes.gtf"]
    path.write_text("\n".join([*rows, "beta\tbeta/genome.fa\tbeta/genes.gtf\t2.5\n"]))
    return path


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sbert_vcf", "train", "corpus", *arguments], capture_output=True, text=True, check=False
    )


def test_options_reach_the_builder(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    arguments = [str(table), "-o", str(out), "--hold-out", "chr1", "--hold-out", "chr2", "--processes", "1"]
    assert CliRunner().invoke(train, ["corpus", *arguments]).exit_code == 0
    corpus = open_corpus(out)
    assert corpus.weights == (1.0, 2.5)
    assert {piece.contig for piece in corpus.training} == {"chr3"}
    drawn = [str(table), "-o", str(out), "--hold-out-random", "3", "--seed", "5", "--processes", "1"]
    assert CliRunner().invoke(train, ["corpus", *drawn]).exit_code == 1  # the folder is there
    assert CliRunner().invoke(train, ["corpus", *drawn, "--overwrite"]).exit_code == 0
    assert open_corpus(out).manifest["hold_out"] == {"contigs": [], "random_pieces": 3, "seed": 5}


def test_two_ways_of_holding_out_are_one_too_many(table: Path, tmp_path: Path) -> None:
    arguments = [str(table), "-o", str(tmp_path / "c"), "--hold-out", "chr1", "--hold-out-random", "3"]
    result = CliRunner().invoke(train, ["corpus", *arguments])
    assert result.exit_code == 2
    assert "give one of them" in result.output


def test_the_run_says_what_it_found_and_mistakes_in_one_line(table: Path, tmp_path: Path) -> None:
    done = _run(table, "-o", tmp_path / "corpus", "--hold-out", "chr3")
    assert (done.returncode, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert [line.split(":")[:2] for line in lines] == [
        ["sbert-vcf", name] for name in (" alpha", " beta", " training", " validation")
    ]
    assert lines[3].endswith(" nt in 8 pieces")
    failed = _run(table, "-o", tmp_path / "corpus")
    assert failed.returncode == 1
    assert (
        failed.stderr == f"sbert-vcf: error: {tmp_path / 'corpus'}: is there already; add --overwrite to replace it\n"
    )


def test_building_a_corpus_needs_no_torch(table: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from sbert_train.cli_corpus import corpus; "
        f"corpus([{str(table)!r}, '-o', {str(tmp_path / 'c')!r}, '--processes', '1'], standalone_mode=False); "
        "assert 'torch' not in sys.modules"
    )
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{root / 'model'}{os.pathsep}{root / 'train'}"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
