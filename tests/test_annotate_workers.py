"""A run shared by workers writes what one process writes; one that loses a worker leaves nothing behind."""

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sbert_model.errors import DeviceError
from sbert_model.passes import Collect, Pass
from sbert_model.workers import WorkerPool
from sbert_vcf.annotate import AnnotateOptions, annotate
from tests.world import World, build_world, records_of, vcf_text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def vcf(world: World) -> Path:
    path = world.folder / "in.vcf"
    path.write_text(vcf_text([world.snv("chr1", pos) for pos in range(500, 900, 20)]))
    return path


def header_without_command(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    return [line for line in lines if line.startswith("#") and not line.startswith("##sbert_vcf_command")]


def test_two_workers_write_what_one_process_writes(world: World, vcf: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.vcf", tmp_path / "two.vcf"
    scoring = world.scoring(genes=True, strand="both", batch_size=3)
    tallies = [
        annotate(AnnotateOptions(str(vcf), str(path)), replace(scoring, workers=workers, threads=2))
        for path, workers in ((one, 1), (two, 2))
    ]
    assert tallies[0] == tallies[1]
    assert records_of(two.read_text()) == records_of(one.read_text())
    assert header_without_command(two) == header_without_command(one)


def test_a_worker_that_dies_stops_the_run(
    world: World, vcf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted = 0
    submit = WorkerPool.submit

    def killing(pool: WorkerPool, network: int, passes: Sequence[Pass]) -> Collect:
        nonlocal submitted
        submitted += 1
        if submitted == 3:
            os.kill(pool._workers[0]._process.pid, signal.SIGKILL)
        return submit(pool, network, passes)

    monkeypatch.setattr(WorkerPool, "submit", killing)
    out = tmp_path / "out.vcf"
    with pytest.raises(DeviceError, match=r"^cpu: the worker process \d+ died \(killed by SIGKILL\); the run stops"):
        annotate(AnnotateOptions(str(vcf), str(out)), replace(world.scoring(batch_size=2), workers=2))
    assert submitted >= 3
    assert list(tmp_path.iterdir()) == []
