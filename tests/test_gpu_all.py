"""benchmarks/gpu_all.py: its table, dry-run on a CPU; benchmarks/arithmetics.py."""

import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.arithmetics import arithmetic, modes
from tests.models import write_random_masked_lm

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu_all.py"


def test_arithmetics_leave_float32_as_it_was() -> None:
    for mode in modes(torch.device("cpu")):
        with arithmetic(mode):
            assert torch.get_float32_matmul_precision() == mode.matrices
        assert torch.get_float32_matmul_precision() == "highest"


def test_the_table(tmp_path: Path) -> None:
    model = write_random_masked_lm(tmp_path / "tiny", hidden=16, layers=2, heads=2, max_nt=402)
    sizes = ["--alleles", "6", "--timed", "12", "--records", "20"]
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--model", str(model), "--branchpoint-model", "none"]
    output = tmp_path / "gpu.md"
    done = subprocess.run([*command, *sizes, "-o", str(output)], check=True, capture_output=True, text=True)
    text = output.read_text()
    assert done.stdout == text
    head, _, columns, _, *rows, empty, long_run = text.splitlines()
    assert head.startswith("no GPU, a dry run; PyTorch ")
    assert head.endswith("; 6 alleles for the contract")
    assert empty == ""
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert {len(row) for row in cells} == {columns.count("|") - 1}
    assert [row[:2] for row in cells] == [["tiny", mode.name] for mode in modes(torch.device("cpu"))]
    by_mode = {row[1]: row for row in cells}
    assert all(float(row[2].replace(",", "")) > 0 and float(row[3].split("%")[0]) >= 0 for row in cells)
    assert [by_mode[name][-1] for name in ("float32", "bfloat16")] == ["kept", "not kept"]
    errors = {name: float(row[5]) for name, row in by_mode.items()}
    assert errors["float32"] < errors["float16"] < errors["bfloat16"]
    assert long_run.startswith("annotate, tiny: 20 records in ")
    assert long_run.endswith(" a second; utilisation not known")
