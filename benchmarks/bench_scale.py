"""How annotate copes with long and with wide files when the model takes no time: records/s, memory, genotypes.

The dummy model answers every forward pass at once with random logits that lie ready. All else is what a run does:
reading and inflating, planning, sequence access, windows, which windows run, scores from logits, formatting, bgzip.

Run: python benchmarks/bench_scale.py long [--records 5000000] [--in-genes 0.45] [--folder DIR]
     python benchmarks/bench_scale.py wide [--records 3000] [--samples 2500]

long: a genome of 600 nt for each record (3.1 Gb at most), GENCODE's density of genes, transcripts and exons; 88 %
substitutions, the rest indels, several ALTs, `*` and symbolic. The run is a process of its own on one core, whose
memory is read every second. wide: the same with many samples, against `bcftools view` as a copier in the same run.
"""

import argparse
import gzip
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

if TYPE_CHECKING:
    from sbert_model.passes import Collect, DeviceRunner, Pass

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model")]

from benchmarks.scale_input import CONTIGS, LONGEST_GENOME, NT_PER_RECORD, World, records, write_vcf  # noqa: E402

COVERED = 0.45


class Dummy:
    """Answers passes at once, with random logits that lie ready, other ones for every pass."""

    def __init__(self) -> None:
        from sbert_model.encoder import BLOCK

        self._bank = np.random.default_rng(4).normal(size=(1 << 14, BLOCK, 4)).astype(np.float32)
        self._turn = 0

    def submit(self, runner: "DeviceRunner", passes: Sequence["Pass"]) -> "Collect":
        """Stand in for DeviceRunner.submit."""
        classes = runner.network.num_classes
        answers = []
        for one in passes:
            count = one.places.shape[0] * one.places.shape[1]
            self._turn = (self._turn + 37) % (len(self._bank) - count)
            answers.append(self._bank[self._turn : self._turn + count, :, :classes])
        return lambda: answers


def annotate_with_dummy(arguments: argparse.Namespace) -> None:
    """Annotate in this process; what `long` and `wide` start."""
    from sbert_model import passes, predict
    from sbert_vcf.annotate import AnnotateOptions, annotate
    from sbert_vcf.options import ScoringOptions

    dummy = Dummy()
    passes.DeviceRunner.submit = lambda *arguments: dummy.submit(*arguments)  # type: ignore  # noqa: PLW0108 - becomes a method
    predict.windows_per_pass = lambda device: 16  # as on a GPU
    folder = arguments.folder
    scoring = ScoringOptions(
        reference=str(folder / "genome.fa"),
        genes=str(folder / "genes.gtf"),
        model=str(folder / "model"),
        branchpoint_model=str(folder / "branchpoints"),
        device="cpu",
        threads=1,
        batch_size=arguments.batch_size,
    )
    options = AnnotateOptions(str(folder / arguments.input), str(folder / "out.vcf.gz"), overwrite=True, index=False)
    started, cpu = time.perf_counter(), time.process_time()
    tally = annotate(options, scoring)
    print(
        f"{sum(tally.values()):,} alleles: " + ", ".join(f"{count:,} {status.value}" for status, count in tally.items())
    )
    tell(arguments.folder, time.perf_counter() - started, time.process_time() - cpu)


def copy(arguments: argparse.Namespace) -> None:
    """Copy a bgzipped VCF as `bcftools view -O z` does; what `wide` starts."""
    import pysam.bcftools

    source, target = arguments.folder / arguments.input, arguments.folder / "copy.vcf.gz"
    started, cpu = time.perf_counter(), time.process_time()
    pysam.bcftools.view("--no-version", "-O", "z", "-o", str(target), str(source), catch_stdout=False)
    tell(arguments.folder, time.perf_counter() - started, time.process_time() - cpu)


def tell(folder: Path, wall: float, cpu: float) -> None:
    """Tell the process that started this one how long its work took, without the start of Python."""
    (folder / "took.txt").write_text(f"{wall} {cpu}")


class Ran(NamedTuple):
    """Seconds by the clock and of CPU, and resident memory in MB at every second."""

    wall: float
    cpu: float
    memory: list[float]


def run_child(folder: Path, arguments: Sequence[str]) -> Ran:
    """Run this script in a process on one core."""
    core = sorted(os.sched_getaffinity(0))[0]
    process = subprocess.Popen(["taskset", "-c", str(core), sys.executable, __file__, *arguments])
    memory = []
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/statm").read_text().split()
        if status:
            memory.append(int(status[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
        time.sleep(0.02 if len(memory) < 2 else 1)
    if process.returncode:
        raise SystemExit(f"{arguments}: status {process.returncode}")
    wall, cpu = map(float, (folder / "took.txt").read_text().split())
    return Ran(wall, cpu, memory)


def genotype_digest(path: Path) -> str:
    """Return a digest of the records' FORMAT and sample columns."""
    digest = hashlib.sha256()
    with gzip.open(path) as lines:
        for line in lines:
            if not line.startswith(b"#"):
                digest.update(line.split(b"\t", 8)[8])
    return digest.hexdigest()


def report_wide(folder: Path, vcf: Path, child: Sequence[str]) -> None:
    """Compare annotate with a copier and a run on the same records without samples, side by side."""
    sites = folder / f"sites.{vcf.name}"
    with gzip.open(vcf, "rt") as lines:
        write_vcf(sites, ("\t".join(line.rstrip("\n").split("\t", 8)[:8]) for line in lines))
    ran = {}
    for what, arguments in {
        "bcftools view": ["copy", *child, "--input", vcf.name],
        "annotate, no samples": ["child", *child, "--input", sites.name],
        "annotate": ["child", *child, "--input", vcf.name],
    }.items():
        ran[what] = run_child(folder, arguments)
        print(f"{what:22} {ran[what].wall:7.2f} s  {ran[what].cpu:7.2f} s of CPU  {max(ran[what].memory):6.0f} MB")
    assert genotype_digest(vcf) == genotype_digest(folder / "out.vcf.gz")
    print("genotypes are the same bytes; zlib level 6 (the default of both) on either side")
    parts = ran["bcftools view"].cpu + ran["annotate, no samples"].cpu
    print(f"annotate / (copy + scoring): {ran['annotate'].cpu / parts:.2f} of CPU time")


def make(arguments: argparse.Namespace, samples: int) -> Path:
    """Write genome, genes, model and VCF unless they are there; returns the VCF."""
    from tests.models import write_random_masked_lm, write_random_token_classifier

    folder = arguments.folder
    folder.mkdir(exist_ok=True, parents=True)
    length = min(max(arguments.records * NT_PER_RECORD, CONTIGS * 1_000_000), LONGEST_GENOME)
    world = World(folder, length, COVERED)
    started = time.perf_counter()
    if not world.fasta.exists():
        world.write()
        write_random_masked_lm(world.model, hidden=16, layers=1, heads=2)
        write_random_token_classifier(folder / "branchpoints", hidden=16, layers=1, heads=2)
    vcf = folder / f"{arguments.records}x{samples}.{arguments.in_genes}.vcf.gz"
    if not vcf.exists():
        write_vcf(vcf, records(world, arguments.records, arguments.in_genes, samples))
        print(f"made {vcf} in {time.perf_counter() - started:.0f} s", flush=True)
    return vcf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["long", "wide", "make", "child", "copy"])
    parser.add_argument("--records", type=int, default=None)
    parser.add_argument("--samples", type=int, default=2500)
    parser.add_argument("--in-genes", type=float, default=COVERED)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--input")
    arguments = parser.parse_args()
    if arguments.what in ("child", "copy"):
        {"child": annotate_with_dummy, "copy": copy}[arguments.what](arguments)
        return
    arguments.records = arguments.records or (3000 if arguments.what == "wide" else 5_000_000)
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder = arguments.folder or Path(name)
        vcf = make(arguments, arguments.samples if arguments.what == "wide" else 1)
        child = ["--folder", str(folder), "--batch-size", str(arguments.batch_size)]
        if arguments.what == "wide":
            report_wide(folder, vcf, child)
        elif arguments.what == "long":
            ran = run_child(folder, ["child", *child, "--input", vcf.name])
            tenths = [ran.memory[len(ran.memory) * tenth // 10] for tenth in range(10)]
            print("memory over the run, MB: " + " ".join(f"{value:.0f}" for value in tenths))
            print(
                f"{arguments.records:,} records in {ran.wall:.1f} s, {ran.cpu:.1f} s of CPU: "
                f"{arguments.records / ran.wall:,.0f} records/s, {arguments.records / ran.cpu:,.0f} by CPU time"
            )


if __name__ == "__main__":
    main()
