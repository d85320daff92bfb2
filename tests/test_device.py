"""Devices and precisions that are there are taken, others refused with what there is."""

import os
from pathlib import Path

import pytest
import torch

from sbert_model import device
from sbert_model.errors import DeviceError

CPU = torch.device("cpu")


def pretend(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    """Let PyTorch say that these devices are there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(0, False, "cpu"), (0, True, "mps"), (1, False, "cuda:0"), (2, True, "cuda:0")],
)
def test_auto_takes_the_fastest(monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, expected: str) -> None:
    pretend(monkeypatch, cuda=cuda, mps=mps)
    assert device.select_device() == torch.device(expected)
    assert device.select_device("cpu") == CPU


def test_a_cuda_device_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cuda=2)
    assert device.available_devices() == ["cpu", "cuda:0", "cuda:1"]
    assert device.select_device("cuda") == torch.device("cuda", 0)
    assert device.select_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(DeviceError, match=r"device 'cuda:2' is not available: .* finds cpu, cuda:0, cuda:1 on this"):
        device.select_device("cuda:2")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "gpu", "", "CPU", "cpu:0", "meta"])
def test_absent_and_unknown_devices_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pretend(monkeypatch)
    with pytest.raises(DeviceError, match=rf"device '{name}' is not available: PyTorch .* finds cpu on this machine"):
        device.select_device(name)


def test_several_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cuda=3)
    zero, one, two = (torch.device("cuda", index) for index in range(3))
    assert device.select_devices("cuda") == [zero, one, two]
    assert device.select_devices("cuda:2,cuda:0") == [two, zero]
    assert device.select_devices("cuda:1") == [one]
    assert device.select_devices() == [zero]
    assert device.select_devices("cpu") == [CPU]
    assert device.select_devices("cpu", workers=3) == [CPU] * 3


@pytest.mark.parametrize(
    ("name", "workers", "message"),
    [
        ("cuda:0,cuda:3", 1, r"device 'cuda:3' is not available: .* finds cpu, cuda:0, cuda:1 on this machine"),
        ("cuda:0,cuda:0", 1, "device 'cuda:0,cuda:0': several devices are GPUs, each named once"),
        ("cpu,cuda:0", 1, "device 'cpu,cuda:0': several devices are GPUs"),
        ("cpu,cpu", 1, "device 'cpu,cpu': several devices are GPUs"),
        ("cuda:0", 2, "2 workers on cuda:0: only the CPU has several; a GPU has one worker each"),
    ],
)
def test_devices_that_do_not_go_together(
    monkeypatch: pytest.MonkeyPatch, name: str, workers: int, message: str
) -> None:
    pretend(monkeypatch, cuda=2)
    with pytest.raises(DeviceError, match=message):
        device.select_devices(name, workers)


def test_gpus_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    monkeypatch.setattr(torch.version, "cuda", None)
    for name in ("cuda", "cuda:0", "cuda:0,cuda:1"):
        with pytest.raises(DeviceError, match=r"is not available: .*\(this PyTorch is built without CUDA\)$"):
            device.select_devices(name)


def test_passes_and_batches() -> None:
    assert device.windows_per_pass(CPU) == 1
    assert device.windows_per_pass(torch.device("cuda:0")) == 16
    assert device.default_batch_size(CPU) == 8
    assert device.default_batch_size(torch.device("cuda:0")) == 128


def test_many_threads_get_many_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 32)
    assert device.default_batch_size(CPU) == device.default_batch_size(CPU, 4) == 64
    assert device.default_batch_size(CPU, 20) == 160
    assert device.default_batch_size(torch.device("cuda:0")) == 128


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        assert device.use_cpu_threads(1) == 1
        assert torch.get_num_threads() == 1
        assert device.use_cpu_threads() == device.available_cores() == torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def test_cores_are_the_least_of_affinity_quota_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(device, "cgroup_quota", lambda: None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert device.available_cores() == 8
    monkeypatch.setattr(device, "cgroup_quota", lambda: 2.5)
    assert device.available_cores() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert device.available_cores() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert device.available_cores() == 3
    monkeypatch.setattr(device, "cgroup_quota", lambda: 0.2)
    assert device.available_cores() == 1


def test_cores_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(device, "cgroup_quota", lambda: None)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert device.available_cores() == 6


def test_quota_of_cgroups_2_is_the_least_on_the_way_up(tmp_path: Path) -> None:
    own = tmp_path / "self"
    own.write_text("0::/batch/job\n")
    job = tmp_path / "cgroup" / "batch" / "job"
    job.mkdir(parents=True)
    assert device.cgroup_quota(tmp_path / "cgroup", own) is None
    (job / "cpu.max").write_text("max 100000\n")
    assert device.cgroup_quota(tmp_path / "cgroup", own) is None
    (job.parent / "cpu.max").write_text("250000 100000\n")
    assert device.cgroup_quota(tmp_path / "cgroup", own) == 2.5
    (job / "cpu.max").write_text("150000 100000\n")
    assert device.cgroup_quota(tmp_path / "cgroup", own) == 1.5


def test_quota_in_a_container_is_that_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "self").write_text("0::/\n")
    (tmp_path / "cpu.max").write_text("400000 100000\n")
    assert device.cgroup_quota(tmp_path, tmp_path / "self") == 4.0


def test_quota_of_cgroups_1(tmp_path: Path) -> None:
    cpu = tmp_path / "cpu"
    cpu.mkdir()
    (cpu / "cpu.cfs_period_us").write_text("100000\n")
    (cpu / "cpu.cfs_quota_us").write_text("-1\n")
    own = tmp_path / "self"
    own.write_text("4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n")
    assert device.cgroup_quota(tmp_path, own) is None
    (cpu / "cpu.cfs_quota_us").write_text("300000\n")
    assert device.cgroup_quota(tmp_path, own) == 3.0


def test_no_cgroups_no_quota(tmp_path: Path) -> None:
    assert device.cgroup_quota(tmp_path / "none", tmp_path / "self") is None
