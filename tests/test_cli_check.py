"""sbert_vcf.cli_check: `sbert-vcf models check`."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sbert_model.errors import DeviceError, ModelError
from sbert_vcf.cli_check import check
from tests.models import write_random_masked_lm


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_masked_lm(tmp_path_factory.mktemp("models") / "mlm", hidden=16, layers=1, heads=2, max_nt=302)


def run(*arguments: str | Path) -> Result:
    more = ["--device", "cpu", "--threads", "1", "--branchpoint-model", "none", "-q"]
    return CliRunner().invoke(check, [*map(str, arguments), *more])


def test_the_table(model: Path) -> None:
    result = run(model, "--variants", "12")
    assert result.exit_code == 0
    head, data, _, columns, *rows = result.stdout.splitlines()
    assert head.startswith(f"{model} (sha256 ")
    assert head.endswith("…), float32 on cpu, against float64 on the CPU")
    assert data == "12 alleles of generated variants in generated genes; the contract is for at least 200"
    assert columns.split() == ["score", "figure", "values", "measured", "limit"]
    assert [row.split()[0] for row in rows] == ["KL-context", "KL-context", "splice-site"]
    assert all(row.endswith(" kept") for row in rows)
    assert ">= 0.999" in rows[0]


def test_outside_the_contract(model: Path) -> None:
    result = run(model, "--variants", "12", "--precision", "bfloat16")
    assert isinstance(result.exception, DeviceError)
    assert str(result.exception) == f"bfloat16 on cpu is outside the accuracy contract for {model}"
    assert "NOT KEPT" in result.stdout


def test_what_cannot_be_checked(model: Path, tmp_path: Path) -> None:
    assert run(model, "-r", "a.fa").exit_code == 2
    assert run(model, "--variants", "1").exit_code == 2
    assert isinstance(run(model, "--precision", "double").exception, DeviceError)
    assert isinstance(run("no-such-model").exception, ModelError)
