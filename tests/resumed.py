"""Resumable runs over a small VCF, cut off at a record that is counted, and what they leave."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.options import ScoringOptions
from sbert_vcf.resumable import Files, ResumableWriter
from sbert_vcf.variant import Status
from tests.world import World, vcf_text

SUFFIXES = {"v": "vcf", "z": "vcf.gz", "b": "bcf"}
RECORDS = 120


class Made(NamedTuple):
    """What a run makes."""

    output: bytes
    beside: bytes | None
    tally: Counter[Status]


class _CutError(Exception):
    """Ends a run in the middle of a group."""


def write_input(world: World) -> Path:
    """Write a VCF on two contigs, large enough for several blocks; one record in three has a score."""
    numbers = random.Random(3)
    lines = []
    for number in range(RECORDS):
        contig, first = ("chr1", 310) if number < RECORDS * 3 // 4 else ("chr2", 210)
        columns = world.snv(contig, first + 5 * number, f"TEXT={numbers.getrandbits(16000):x}é\rA").split("\t")
        if number % 3:
            columns[4] = "<DEL>"
        lines.append("\t".join(columns))
    path = world.folder / "in.vcf"
    path.write_text(vcf_text(lines))
    return path


@contextmanager
def at_record(number: int, act: Callable[[], object]) -> Iterator[None]:
    """Have something done once, when a resumable run is about to write its record with this number."""
    written = 0
    write = ResumableWriter.write

    def counting(writer: ResumableWriter, line: str, contig: str, start: int) -> None:
        nonlocal written
        written += 1
        if written == number:
            act()
        write(writer, line, contig, start)

    with mock.patch.object(ResumableWriter, "write", counting):
        yield


@dataclass(frozen=True)
class Bench:
    """Runs `vcf` into `folder`, in which there is nothing else, with a restart point behind every four alleles."""

    world: World
    vcf: Path
    folder: Path

    def run(self, output: str = "out.vcf.gz", scoring: ScoringOptions | None = None, **options: Any) -> Counter[Status]:
        """Annotate; returns the tally."""
        values = {"input": str(self.vcf), "resume": True, "restart_every": 0.0, **options}
        chosen = AnnotateOptions(output=str(self.folder / output), **values)
        return annotate(chosen, scoring or self.world.scoring(batch_size=4))

    def cut_off(self, output: str = "out.vcf.gz", record: int = 50, **options: Any) -> None:
        """Leave an unfinished run behind."""

        def cut() -> None:
            raise _CutError

        with at_record(record, cut), pytest.raises(_CutError):
            self.run(output, **options)

    def files(self, output: str = "out.vcf.gz") -> Files:
        """Return the files of an unfinished run, and check that there are no others."""
        letter = next(letter for letter, suffix in SUFFIXES.items() if output == f"out.{suffix}")
        files = Files.of(str(self.folder / output), letter)
        assert {path.name for path in self.folder.iterdir()} == {files.unfinished.name, files.restart.name}
        return files

    def made(self, output: str = "out.vcf.gz", tally: Counter[Status] | None = None) -> Made:
        """Return what a run has made, check that nothing else is left, and remove it."""
        suffix = {"out.vcf.gz": ".tbi", "out.bcf": ".csi"}.get(output)
        path, index = self.folder / output, self.folder / f"{output}{suffix}" if suffix else None
        assert set(self.folder.iterdir()) == {path, index} - {None}
        found = Made(path.read_bytes(), index.read_bytes() if index else None, tally or Counter())
        for file in (path, index):
            if file is not None:
                file.unlink()
        return found
