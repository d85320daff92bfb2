"""Which number formats a device has, and what auto chooses."""

import importlib.metadata
import shutil
import sysconfig
from pathlib import Path

import click
import pytest
import torch

from sbert_model import precision
from sbert_model.errors import DeviceError
from sbert_model.precision import CHOICES, Precision, resolve_precision, why_not_split
from sbert_vcf.cli_annotate import annotate

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A GPU, and all that split precision needs there."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA A100")
    monkeypatch.setattr(precision, "_triton_version", lambda: "3.6.0")
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/gcc" if name == "gcc" else None)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(torch.version, "hip", None)
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))


@pytest.mark.parametrize("where", ["cpu", "mps"])
def test_auto_is_float32_without_an_nvidia_gpu(where: str) -> None:
    assert resolve_precision("auto", torch.device(where)) is Precision.FLOAT32


@pytest.mark.usefixtures("gpu")
def test_auto_is_split_on_a_gpu() -> None:
    assert resolve_precision("auto", GPU) is Precision.SPLIT
    assert resolve_precision("split", GPU) is Precision.SPLIT
    assert resolve_precision("float32", GPU) is Precision.FLOAT32


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("module", "name", "value", "reason"),
    [
        (torch.cuda, "get_device_capability", lambda _: (7, 5), "NVIDIA A100 is older than compute capability 8.0"),
        (precision, "_triton_version", lambda: None, "Triton is not installed"),
        (precision, "_triton_version", lambda: "3.5.1", "Triton 3.5.1 is older than 3.6"),
        (torch.version, "hip", "6.2", "NVIDIA A100 is no NVIDIA GPU"),
        (shutil, "which", lambda _: None, "no C compiler, which Triton needs, is found (cc, gcc, clang or $CC)"),
        (
            sysconfig,
            "get_path",
            lambda _: "/nowhere",
            "Python's C headers, which Triton needs, are not installed (python3-dev)",
        ),
    ],
)
def test_what_split_lacks(
    module: object, name: str, value: object, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, value)
    assert why_not_split(GPU) == reason
    assert resolve_precision("auto", GPU) is Precision.FLOAT32
    with pytest.raises(DeviceError) as refused:
        resolve_precision("split", GPU)
    assert str(refused.value) == f"precision split: {reason}; choose float32"


@pytest.mark.usefixtures("gpu")
def test_a_compiler_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setenv("CC", "/opt/bin/icx")
    assert why_not_split(GPU) is None


@pytest.mark.usefixtures("gpu")
def test_several_gpus_need_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0) if device.index else (9, 0))
    older = torch.device("cuda:1")
    assert resolve_precision("auto", GPU) is Precision.SPLIT
    assert resolve_precision("auto", GPU, older) is Precision.FLOAT32
    with pytest.raises(DeviceError, match=r"NVIDIA A100 is older than compute capability 8.0; choose float32"):
        resolve_precision("split", GPU, older)


def test_split_on_a_cpu() -> None:
    with pytest.raises(DeviceError, match=r"^precision split: cpu is no NVIDIA GPU; choose float32$"):
        resolve_precision("split", CPU)


def test_precision_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_precision("float32", CPU) is Precision.FLOAT32
    assert resolve_precision("float16", CPU) is Precision.FLOAT16
    assert resolve_precision("bfloat16", CPU) is Precision.BFLOAT16
    with pytest.raises(
        DeviceError, match=r"^unknown precision 'double'; choose one of auto, float32, split, float16, bfloat16$"
    ):
        resolve_precision("double", CPU)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla P100")
    with pytest.raises(DeviceError, match="Tesla P100 has no bfloat16; choose float32"):
        resolve_precision("bfloat16", GPU)


def test_float32_means_float32() -> None:
    torch.set_float32_matmul_precision("high")
    assert torch.backends.cuda.matmul.allow_tf32
    resolve_precision("auto", CPU)
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32


def test_version_of_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"{name} 3.7")
    assert precision._triton_version() == "triton 3.7"
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert precision._triton_version() is None


def test_types() -> None:
    assert Precision.SPLIT.dtype is Precision.FLOAT32.dtype is torch.float32
    assert Precision.FLOAT16.dtype is torch.float16
    assert set(precision.COSTS) == {Precision.FLOAT16, Precision.BFLOAT16}


def test_the_command_line_offers_them() -> None:
    (option,) = (option for option in annotate.params if option.name == "precision")
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == CHOICES
