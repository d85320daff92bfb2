"""Where the network runs: device, CPU threads and how many windows go together."""

import contextlib
import ctypes
import math
import os
from pathlib import Path

import torch

from sbert_model.errors import DeviceError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def select_device(name: str = "auto") -> torch.device:
    """The device called `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; auto takes CUDA, then MPS, then the CPU.

    Raises DeviceError for a device that is not there.
    """
    available = available_devices()
    if name == "auto":
        name = next(device for device in ("cuda:0", "mps", "cpu") if device in available)
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in available:
        reason = "" if torch.version.cuda or not name.startswith("cuda") else " (this PyTorch is built without CUDA)"
        raise DeviceError(
            f"device {name!r} is not available: PyTorch {torch.__version__} finds {', '.join(available)} on this "
            f"machine; choose one of these or auto{reason}"
        )
    return torch.device(wanted)


def select_devices(name: str = "auto", workers: int = 1) -> list[torch.device]:
    """The devices that share a run: one by its name, all GPUs for `cuda`, some for `cuda:0,cuda:2`, CPU workers.

    workers: how many processes share the CPU; a GPU has one. Raises DeviceError as `select_device` does.
    """
    names = name.split(",")
    if name == "cuda":
        names = [device for device in available_devices() if device.startswith("cuda:")] or ["cuda"]
    devices = [select_device(one) for one in names]
    if len(devices) > 1 and (len(set(devices)) < len(devices) or any(device.type != "cuda" for device in devices)):
        raise DeviceError(f"device {name!r}: several devices are GPUs, each named once, like cuda:0,cuda:2")
    if workers > 1 and devices[0].type != "cpu":
        raise DeviceError(f"{workers} workers on {devices[0]}: only the CPU has several; a GPU has one worker each")
    return devices * workers


def available_devices() -> list[str]:
    """Names of the devices that PyTorch can use here, the CPU first."""
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


def windows_per_pass(device: torch.device) -> int:
    """How many windows make one forward pass, always the same number on a device (see sbert_model.predict).

    One window of 1,026 tokens keeps a CPU busy, more of them only leave its caches; a GPU needs several.
    """
    return 1 if device.type == "cpu" else 16


def default_batch_size(device: torch.device, processes: int = 1) -> int:
    """How many alleles to gather, so that few passes run part-filled, and few processes and CPU threads wait."""
    several = 8 * windows_per_pass(device) * processes
    return max(several, 2 * torch.get_num_threads()) if device.type == "cpu" else several


def use_cpu_threads(threads: int | None = None) -> int:
    """Let PyTorch use this many CPU threads, by default all that the process may use; the number comes back.

    Numbers under 1.2e-38 count as 0 from then on: trained attention is full of them, and a CPU takes up to three times
    as long to train on a window of 1,024 nt with them. Sums come out the same however many threads share them, where
    PyTorch multiplies matrices with MKL and has not yet done so.
    """
    threads = threads or available_cores()
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    torch.set_flush_denormal(True)  # before the worker threads start: they inherit it
    _keep_freed_memory()
    torch.set_num_threads(threads)
    return threads


def _keep_freed_memory() -> None:
    """Let glibc keep what a pass gives back: to get it anew from the system, page by page, takes 5 % of a pass."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most that glibc takes
        mallopt(_TRIM_THRESHOLD, 1 << 30)


def available_cores() -> int:
    """CPU cores this process may use: its affinity, its container's quota and OMP_NUM_THREADS, whichever is least."""
    # macOS has no affinity.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    if quota is not None:
        cores = min(cores, math.ceil(quota))
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal():
        cores = min(cores, int(asked))
    return max(cores, 1)


def cgroup_quota(root: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> float | None:
    """CPU quota of the process in cores, or None where its cgroups (version 2, else 1) set none."""
    quotas = [
        quota for folder in _cgroup_folders(root, own) if (quota := _ratio(_words(folder / "cpu.max"))) is not None
    ]
    cpu = root / "cpu"
    version1 = _ratio(_words(cpu / "cpu.cfs_quota_us") + _words(cpu / "cpu.cfs_period_us"))
    return min(quotas, default=version1)


def _cgroup_folders(root: Path, own: Path) -> list[Path]:
    """The process's version 2 cgroup and those above it: the least of their quotas holds."""
    lines = _words(own)
    group = Path(next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), ""))
    return [root / group, *(root / parent for parent in group.parents)]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        # Quotas are a hint: where they cannot be read, there are none to keep to.
        return []


def _ratio(words: list[str]) -> float | None:
    """Quota over period; `max` and -1 mean no limit."""
    if len(words) != 2 or not all(word.isdecimal() and int(word) for word in words):
        return None
    return int(words[0]) / int(words[1])
