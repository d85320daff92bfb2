"""250 unusual, hard and invalid VCFs of many programs, through the command line in three formats.

`odd_verdicts.tsv` holds the verdict on each: what is written, or in which words it is refused, and what bcftools makes
of the same file. A tiny random model does, and a FASTA made of the file's own REFs.
"""

import csv
import random
import re
from pathlib import Path
from typing import NamedTuple

import pysam.bcftools
import pytest
from pysam.utils import SamtoolsError

from tests.models import write_random_masked_lm
from tests.odd_runs import (
    FILEFORMAT,
    INDICES,
    REFUSES,
    CommandLine,
    as_bcftools_reads,
    check_text,
    content,
    lines_of,
    said_tally,
)
from tests.sparse_fasta import Contig, Piece, write_sparse_fasta
from tests.world import as_stdin

pytestmark = pytest.mark.real_data

AROUND = 300  # bases on either side of a record, more than the model's window needs


class Verdict(NamedTuple):
    """A row of the table.

    vcf: alleles by status, or the error; bcf: `same`, or why it cannot be written; bcftools: `reads` the file or
    `refuses` it; why: we do otherwise.
    """

    file: str
    vcf: str
    bcf: str
    bcftools: str
    why: str


def table() -> list[Verdict]:
    with Path(__file__).with_name("odd_verdicts.tsv").open(newline="") as rows:
        return [Verdict(**row) for row in csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_masked_lm(tmp_path_factory.mktemp("models"), hidden=16, heads=2, layers=1, max_nt=402)


@pytest.fixture
def run(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    options = ["-r", str(tmp_path / "ref.fa.gz"), "-m", str(model), "--branchpoint-model", "none"]
    return CommandLine(tmp_path, [*options, "--strand", "+", "--device", "cpu", "--threads", "1"], capsys)


def reference_of(text: bytes) -> dict[str, Contig]:
    """Contigs as long as the header says or the records need, with each REF in its place and random bases around."""
    lengths: dict[str, int] = {}
    refs: dict[str, list[Piece]] = {"none_of_these": []}
    for line in text.decode("utf-8", "replace").split("\n"):
        columns = line.split("\t")
        if match := re.match(r"##contig=<ID=([^,>]+).*\blength=(\d+)", line):
            lengths[match.group(1)] = int(match.group(2))
            refs.setdefault(match.group(1), [])
        elif line[:1] != "#" and len(columns) > 3 and columns[1].isdecimal() and columns[3].isalpha():
            refs.setdefault(columns[0], []).append(Piece(int(columns[1]) - 1, columns[3]))
    return {
        name: in_random_bases(pieces, lengths.get(name) or max(map(end, pieces), default=0) + AROUND)
        for name, pieces in refs.items()
    }


def end(piece: Piece) -> int:
    return piece.start + len(piece.letters)


def in_random_bases(pieces: list[Piece], length: int) -> Contig:
    numbers = random.Random(length)
    around, done = [], 0
    for piece in sorted(pieces):
        first, last = max(done, piece.start - AROUND, 0), min(length, end(piece) + AROUND)
        if first < last:
            around.append(Piece(first, "".join(numbers.choices("ACGT", k=last - first))))
            done = last
    return Contig(length, [*around, *reversed(pieces)])  # of REFs that disagree, the first is right


def observe(run: CommandLine, path: Path, folder: Path) -> tuple[str, str, str]:
    """Annotate a file into every format, check what comes out, and tell how it went as the table does."""
    text = content(path)
    write_sparse_fasta(folder / "ref.fa.gz", reference_of(text))
    plain, zipped, binary = (run(path, f"out.{suffix}") for suffix in ("vcf", "vcf.gz", "bcf"))
    bcftools = "refuses" if as_bcftools_reads(path) == REFUSES else "reads"
    assert plain.error == zipped.error
    if plain.code:
        assert binary.error == plain.error
        return f"error: {plain.error}", "same", bcftools
    tally = check_text(text, content(plain.output))
    assert said_tally(plain) == said_tally(zipped) == tally
    assert lines_of(content(zipped.output))[1] == lines_of(content(plain.output))[1]
    if not text.startswith(FILEFORMAT):
        path = folder / "with-fileformat.vcf"
        path.write_bytes(FILEFORMAT + b"v4.2\n" + text)
    expected = as_bcftools_reads(path)
    assert as_bcftools_reads(plain.output) == expected
    if binary.code:
        with pytest.raises(SamtoolsError):
            pysam.bcftools.view("-Ob", "-o", str(folder / "by-bcftools.bcf"), str(plain.output))
    else:
        assert as_bcftools_reads(binary.output) == expected
        assert said_tally(binary) == tally
    for done in (zipped, binary):
        if any(Path(f"{done.output}{suffix}").exists() for suffix in INDICES):
            assert int(str(pysam.bcftools.index("-n", str(done.output)))) == len(lines_of(content(plain.output))[1])
    counts = ", ".join(f"{status} {count}" for status, count in sorted(tally.items()))
    return counts or "no records", f"error: {binary.error.partition(';')[0]}" if binary.code else "same", bcftools


TABLE = table()


def test_table_names_every_file_and_says_why_where_bcftools_does_otherwise(data: Path) -> None:
    assert {row.file for row in TABLE} == {path.name for path in (data / "vcf/odd").glob("*.vcf*")}
    assert len(TABLE) == 250
    for row in TABLE:
        assert bool(row.why) == (row.vcf.startswith("error") != (row.bcftools == "refuses")), row.file


@pytest.mark.parametrize("row", TABLE, ids=[row.file for row in TABLE])
def test_verdict(data: Path, tmp_path: Path, run: CommandLine, row: Verdict) -> None:
    assert observe(run, data / "vcf/odd" / row.file, tmp_path) == (row.vcf, row.bcf, row.bcftools)


@pytest.mark.parametrize(
    "name",
    [
        "Pangolin.brca.vcf",
        "bcftools.norm.setref.vcf",
        "bcftools.weird-chr-names.vcf",
        "ensvar.freqs.vcf.gz",
        "spec.v43.failed.body_no_newline_000.vcf",
        "spec.v43.failed.meta_004.vcf",
        "vep.input_test.vcf.gz",
        "vg.inverting_miniFasta_VCFinversion.vcf.gz",
    ],
)
def test_standard_input(data: Path, tmp_path: Path, run: CommandLine, name: str) -> None:
    path = data / "vcf/odd" / name
    write_sparse_fasta(tmp_path / "ref.fa.gz", reference_of(content(path)))
    direct = run(path, "out.vcf")
    with as_stdin(path.read_bytes()):
        piped = run("-", "out.vcf")
    assert (piped.code, piped.error) == (direct.code, direct.error)
    if not direct.code:
        assert lines_of(content(piped.output))[1] == lines_of(content(direct.output))[1]
