"""Time and peak memory of `sbert-vcf train corpus` on a generated genome: memory should not grow with the genome.

Run: python benchmarks/bench_corpus.py [MEGABASES]     (default 300; needs three times as much in the temporary folder)

The genome has one contig of 250 Mb and others of 50 Mb, a gene for every 75 kb on either strand, and, in the last run,
one more gene as long as the first contig, which no block-wise reading can split.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model"), str(ROOT / "train")]

from sbert_train.corpus import open_corpus  # noqa: E402

FIRST, OTHERS, LINE = 250_000_000, 50_000_000, 100
LETTERS = np.frombuffer(b"ACGTacgt", dtype=np.uint8)


def contig_lengths(megabases: int) -> dict[str, int]:
    lengths = {"chr1": min(FIRST, megabases * 1_000_000)}
    while (left := megabases * 1_000_000 - sum(lengths.values())) > 0:
        lengths[f"chr{len(lengths) + 1}"] = min(OTHERS, left)
    return lengths


def write_fasta(path: Path, lengths: dict[str, int]) -> None:
    numbers = np.random.default_rng(1)
    with path.open("wb") as file:
        for name, length in lengths.items():
            file.write(f">{name}\n".encode())
            for start in range(0, length, 10_000_000):
                rows = LETTERS[numbers.integers(0, 8, (min(10_000_000, length - start) // LINE, LINE), dtype=np.uint8)]
                file.write(np.pad(rows, ((0, 0), (0, 1)), constant_values=ord("\n")).tobytes())


def write_genes(path: Path, lengths: dict[str, int]) -> None:
    """A refGene table: genes of up to 100 kb with ten exons, the middle eight coding."""
    numbers = random.Random(1)
    with path.open("w") as file:
        for contig, length in lengths.items():
            start = 0
            while (start := start + numbers.randrange(1, 75_000)) + 100_000 < length:
                size = numbers.randrange(2_000, 100_000)
                starts = [start + size * number // 10 for number in range(10)]
                ends = [*(first + 150 for first in starts[:-1]), start + size]
                strand, places = numbers.choice("+-"), [",".join(map(str, places)) for places in (starts, ends)]
                columns = [0, f"N{start}", contig, strand, start, start + size, starts[1], ends[8], 10, *places]
                file.write("\t".join(map(str, columns)) + "\n")


def build(folder: Path, processes: int) -> tuple[float, float]:
    """Run the command line; returns the largest peak of any of its processes in MB, and seconds."""
    path = os.pathsep.join(str(ROOT / name) for name in (".", "model", "train"))
    table, out = str(folder / "species.tsv"), str(folder / "corpus")
    command = ["corpus", table, "-o", out, "--overwrite", "--processes", str(processes)]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "sbert_vcf", "train", *command],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"train corpus failed: status {status}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return usage.ru_maxrss * unit / 1e6, time.perf_counter() - started


def main() -> None:
    megabases = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    lengths = contig_lengths(megabases)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_fasta(folder / "genome.fa", lengths)
        write_genes(folder / "genes.txt", lengths)
        (folder / "species.tsv").write_text("generated\tgenome.fa\tgenes.txt\n")
        report("1 process, index made", folder, 1)
        report("1 process", folder, 1)
        report("2 processes", folder, 2)
        with (folder / "genes.txt").open("a") as file:
            file.write(f"0\tlong\tchr1\t-\t0\t{lengths['chr1']}\t0\t0\t1\t0,\t{lengths['chr1']},\n")
        report("1 process, gene as long as chr1", folder, 1)


def report(label: str, folder: Path, processes: int) -> None:
    peak, seconds = build(folder, processes)
    size = int(open_corpus(folder / "corpus").training.lengths.sum())
    print(
        f"{label:<34}{size / 1e6:7.1f} M nt{seconds:7.1f} s{size / seconds / 1e6:7.1f} M nt/s{peak:8.0f} MB", flush=True
    )


if __name__ == "__main__":
    main()
