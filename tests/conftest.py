"""What every test may use, the folder of the real data, and what is put back after every test."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# The models of the tests are tiny: a second thread only waits for the first, long on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# As sbert_model.device.use_cpu_threads does, which comes too late where a test has multiplied before.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # kernels of a GPU are tested without one; read when they are defined


def _data_folder() -> Path | None:
    folder = os.environ.get("SBERT_VCF_DATA")
    return Path(folder) if folder and Path(folder).is_dir() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if _data_folder() is not None:
        return
    skip = pytest.mark.skip(reason="real data not here: set SBERT_VCF_DATA to their folder")
    for item in items:
        if "real_data" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the real data; only for tests marked `real_data`."""
    folder = _data_folder()
    assert folder is not None
    return folder


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Put back what the command line sets for its process: signal handlers and loggers."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    loggers = [logging.getLogger(name) for name in ("sbert_vcf", "sbert_model", "sbert_train")]
    signals = [signal.getsignal(number) for number in numbers]
    states = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    yield
    for number, handler in zip(numbers, signals, strict=True):
        signal.signal(number, handler)
    for logger, (handlers, propagate, level) in zip(loggers, states, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
