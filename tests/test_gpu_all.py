"""benchmarks/gpu_all.py: its table, dry-run on a CPU; benchmarks/arithmetics.py: products of halves."""

import subprocess
import sys
from pathlib import Path

import torch
from torch.nn import functional

from benchmarks.arithmetics import MODES, arithmetic, split_linear
from sbert_model.checkpoint import load_masked_lm
from tests.models import write_random_masked_lm

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu_all.py"


def test_split_layers_are_nearer_to_float32_than_float16() -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(size, generator=generator) for size in ((2, 5, 64), (48, 64), (48,)))
    exact = functional.linear(x.double(), weight.double(), bias.double())
    plain = functional.linear
    with split_linear():
        split = functional.linear(x, weight, bias)
        again = functional.linear(x, weight[24:], bias[24:])
    assert functional.linear is plain
    rounded = functional.linear(x.half().double(), weight.half().double(), bias.double())
    assert (split - exact).abs().max() < (rounded - exact).abs().max() / 200
    torch.testing.assert_close(again, split[..., 24:])


def test_the_networks_layers_are_split(tmp_path: Path) -> None:
    network = load_masked_lm(write_random_masked_lm(tmp_path, max_nt=60)).network
    ids = torch.randint(6, 10, (1, 62), generator=torch.Generator().manual_seed(0))
    found = {}
    for mode in MODES:
        with arithmetic(mode), torch.inference_mode():
            found[mode.name] = network.to(mode.dtype)(ids).float()
        assert torch.get_float32_matmul_precision() == "highest"
    errors = {name: (logits - found["float32"]).abs().max().item() for name, logits in found.items()}
    assert 0 < errors["split float16"] < errors["float16"] / 20 < errors["bfloat16"] / 20


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
    assert [row[:2] for row in cells] == [["tiny", mode.name] for mode in MODES]
    by_mode = {row[1]: row for row in cells}
    assert all(float(row[2].replace(",", "")) > 0 and float(row[3].split("%")[0]) >= 0 for row in cells)
    assert [by_mode[name][-1] for name in ("float32", "bfloat16")] == ["kept", "not kept"]
    errors = {name: float(row[5]) for name, row in by_mode.items()}
    assert errors["split float16"] < errors["float16"] < errors["bfloat16"]
    assert long_run.startswith("annotate, tiny: 20 records in ")
    assert long_run.endswith(" a second, utilisation not known")
