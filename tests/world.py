"""A world of a few thousand bases: a FASTA, two genes, a tiny model, and VCF text that fits them."""

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pysam

from sbert_vcf.options import ScoringOptions
from tests.models import write_random_masked_lm

WINDOW = 402
LENGTHS = {"chr1": 3000, "chr2": 1500, "chrM": 900}
CONTIG_LINES = tuple(f"##contig=<ID={name},length={length}>" for name, length in LENGTHS.items())
INFO_LINES = (
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">',
    '##INFO=<ID=TEXT,Number=.,Type=String,Description="Any text, with a comma and \\"quotes\\"">',
    '##INFO=<ID=END,Number=1,Type=Integer,Description="End of the record">',
    '##INFO=<ID=FLAG,Number=0,Type=Flag,Description="A flag">',
)
OTHER_LINES = (
    '##FILTER=<ID=q10,Description="Quality below 10">',
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
    '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Allele depths">',
)
COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")


@dataclass(frozen=True)
class World:
    """Where the files are, and the bases by contig."""

    folder: Path
    fasta: Path
    genes: Path
    model: Path
    bases: dict[str, str]

    def base(self, contig: str, pos: int) -> str:
        """The base at a 1-based position."""
        return self.bases[contig][pos - 1]

    def snv(self, contig: str, pos: int, info: str = ".", name: str | None = None) -> str:
        """A record that changes the base at a 1-based position; `name` replaces the contig's."""
        ref = self.base(contig, pos)
        alt = "ACGT"["ACGT".index(ref) - 1]
        return f"{name or contig}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t{info}"

    def scoring(
        self,
        *,
        genes: bool = False,
        strand: str = "+",
        batch_size: int | None = None,
        csq_field: str | None = None,
        reference: Path | None = None,
    ) -> ScoringOptions:
        """The options of a run on one CPU thread."""
        return ScoringOptions(
            reference=str(reference or self.fasta),
            genes=str(self.genes) if genes else None,
            model=str(self.model),
            branchpoint_model="none",
            strand=strand,
            csq_field=csq_field,
            batch_size=batch_size,
            device="cpu",
            threads=1,
        )

    def options(self) -> list[str]:
        """The same for a command line."""
        models = ["-m", str(self.model), "--branchpoint-model", "none"]
        return ["-r", str(self.fasta), *models, "--strand", "+", "--device", "cpu", "--threads", "1"]


def build_world(folder: Path) -> World:
    """Write the files; the same every time."""
    numbers = random.Random(7)
    bases = {name: "".join(numbers.choices("ACGT", k=length)) for name, length in LENGTHS.items()}
    # A run, for one change in several notations.
    bases["chr1"] = bases["chr1"][:1500] + "CATATATATAG" + bases["chr1"][1511:]
    fasta = folder / "world.fa"
    fasta.write_text("".join(f">{name}\n{text}\n" for name, text in bases.items()))
    pysam.faidx(str(fasta))
    genes = folder / "world.gtf"
    genes.write_text(
        "".join(
            f'{contig}\ttest\t{kind}\t{start}\t{end}\t.\t{strand}\t.\tgene_id "{gene}"; transcript_id "{gene}.1"; '
            f'gene_name "NAME_{gene}";\n'
            for contig, start, end, strand, gene in (("chr1", 301, 1700, "+", "G1"), ("chr2", 201, 1300, "-", "G2"))
            for kind in ("gene", "transcript", "exon")
        )
    )
    model = write_random_masked_lm(folder / "model", hidden=16, layers=1, heads=2, max_nt=WINDOW)
    return World(folder, fasta, genes, model, bases)


def vcf_text(
    records: Sequence[str],
    *,
    contigs: Sequence[str] = CONTIG_LINES,
    extra: Sequence[str] = (),
    samples: Sequence[str] = (),
) -> str:
    """A VCF with these records; `extra` are more header lines."""
    columns = "\t".join([*COLUMNS, *(["FORMAT", *samples] if samples else [])])
    header = ["##fileformat=VCFv4.2", *contigs, *INFO_LINES, *OTHER_LINES, *extra, columns]
    return "".join(f"{line}\n" for line in [*header, *records])


def bgzip(path: Path, *, csi: bool = False) -> Path:
    """Compress a VCF beside itself and index it."""
    target = path.with_name(path.name + ".gz")
    pysam.tabix_compress(str(path), str(target), force=True)
    pysam.tabix_index(str(target), preset="vcf", force=True, csi=csi)
    return target


def to_bcf(path: Path, letter: str = "b") -> Path:
    """Convert a VCF to BCF beside itself; index it when it is compressed."""
    target = path.with_suffix(f".{letter}.bcf")
    with pysam.VariantFile(str(path)) as vcf, pysam.VariantFile(str(target), f"w{letter}", header=vcf.header) as bcf:
        for record in vcf:
            bcf.write(record)
    if letter == "b":
        pysam.tabix_index(str(target), preset="bcf", force=True)  # type: ignore[arg-type]
    return target


def records_of(text: str | bytes) -> list[str]:
    """The record lines of a VCF's text."""
    decoded = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    return [line for line in decoded.splitlines() if line and not line.startswith("#")]


def info_of(line: str) -> dict[str, str]:
    """The INFO column of a record line."""
    return dict(part.partition("=")[::2] for part in line.split("\t")[7].split(";"))


def block_starts(data: bytes) -> list[int]:
    """Where the blocks of a bgzipped file start."""
    starts, at = [], 0
    while at < len(data):
        starts.append(at)
        at += int.from_bytes(data[at + 16 : at + 18], "little") + 1
    return starts


@contextmanager
def as_stdin(data: bytes) -> Iterator[None]:
    """Let file descriptor 0 be a pipe that holds these bytes (at most 64 KiB)."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    before = os.dup(0)
    os.dup2(reader, 0)
    os.close(reader)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def open_descriptors() -> int:
    """How many files the process holds open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())
