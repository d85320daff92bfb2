"""Wide and long files: sample columns stay as they are, and no more records are under way than the stages may hold."""

import gzip
import random
from pathlib import Path

import pytest

from sbert_vcf import annotate as annotating
from sbert_vcf.annotate import AnnotateOptions, annotate
from sbert_vcf.vcf_input import Record, VcfInput
from sbert_vcf.vcf_output import Writer
from tests.world import CONTIG_LINES, World, build_world, vcf_text

SAMPLES = 2500
BATCH = 4
GROUPS_UNDER_WAY = 2 * annotating._GROUPS_WAITING + 3
"""Those that wait between the stages, and one in the hands of each."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world"))


def sample_columns(line: bytes) -> bytes:
    return line.split(b"\t", 8)[8]


@pytest.mark.parametrize("output", ["out.vcf", "out.vcf.gz"])
def test_genotypes_of_many_samples_are_the_same_bytes(world: World, tmp_path: Path, output: str) -> None:
    """Also those that no parser would leave as they are: padded numbers, bytes that are no UTF-8, missing subfields."""
    numbers = random.Random(5)
    cells = [b"0|0", b"0/1:007:1e-2", b".", b"./.", b"1|0:.:.", b"0/1:9:\xff\xfe", "0/1:9:ü".encode(), b"1"]
    head = vcf_text([], contigs=CONTIG_LINES, samples=[f"S{number}" for number in range(SAMPLES)]).encode()
    lines = [
        b"\t".join([world.snv("chr1", pos).encode(), b"GT:DP:X", *numbers.choices(cells, k=SAMPLES)])
        for pos in (20, 500, 501, 900, 2990)
    ]
    source, target = tmp_path / "in.vcf.gz", tmp_path / output
    source.write_bytes(gzip.compress(head + b"\n".join(lines) + b"\n"))
    annotate(AnnotateOptions(str(source), str(target), index=False), world.scoring())
    written = gzip.decompress(target.read_bytes()) if output.endswith(".gz") else target.read_bytes()
    records = [line for line in written.split(b"\n") if line and not line.startswith(b"#")]
    assert [sample_columns(line) for line in records] == [sample_columns(line) for line in lines]
    assert [line.split(b"\t")[:7] for line in records] == [line.split(b"\t")[:7] for line in lines]


def test_records_under_way_are_bounded(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 60 * BATCH
    source = tmp_path / "in.vcf"
    source.write_text(vcf_text([world.snv("chr1", 300 + number) for number in range(count)]))
    read = written = most = 0
    record_of, write = VcfInput._record, Writer.write

    def reading(vcf: VcfInput, line: str, columns: int) -> Record:
        nonlocal read, most
        read += 1
        most = max(most, read - written)
        return record_of(vcf, line, columns)

    def writing(writer: Writer, line: str, contig: str, start: int) -> None:
        nonlocal written
        written += 1
        write(writer, line, contig, start)

    monkeypatch.setattr(VcfInput, "_record", reading)
    monkeypatch.setattr(Writer, "write", writing)
    annotate(AnnotateOptions(str(source), str(tmp_path / "out.vcf")), world.scoring(batch_size=BATCH))
    assert (read, written) == (count, count)
    assert most <= GROUPS_UNDER_WAY * BATCH < count / 2
