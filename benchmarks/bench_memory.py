"""Peak memory of `sbert-vcf annotate` on 100 and on 20,000 records: it should not grow with the file.

Run: python benchmarks/bench_memory.py [RECORDS]     (default 20,000; one in ten is scored, with a tiny model)
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model")]

from tests.world import World, build_world, vcf_text  # noqa: E402

SAMPLES = [f"sample{number}" for number in range(60)]


def record(world: World, number: int) -> str:
    """Substitutions that are scored, ALTs that cannot be, and, as in a gVCF, records without an ALT."""
    genotypes = "\t".join(["GT:AD", *["0/1:30,31"] * len(SAMPLES)])
    pos = 300 + number % 2400
    if number % 10 == 0:
        return f"{world.snv('chr1', pos, 'DP=99')}\t{genotypes}"
    return f"chr1\t{pos}\trs{number}\t{world.base('chr1', pos)}\t{'*.'[number % 2]}\t50\tPASS\tDP=99\t{genotypes}"


def peak_megabytes(arguments: list[str]) -> tuple[float, float]:
    """Run the command line; returns peak resident memory in MB and seconds."""
    path = os.pathsep.join(str(ROOT / folder) for folder in (".", "model", "train"))
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "sbert_vcf", "annotate", *arguments], env={**os.environ, "PYTHONPATH": path}
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"annotate failed: status {status}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return usage.ru_maxrss * unit / 1e6, time.perf_counter() - started


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = build_world(folder)
        for letter in ("v", "z", "b"):
            peaks = []
            for count in (100, most):
                vcf = folder / f"{count}.vcf"
                vcf.write_text(vcf_text([record(world, number) for number in range(count)], samples=SAMPLES))
                output = folder / f"out.{letter}"
                peak, seconds = peak_megabytes(
                    [str(vcf), "-q", "-o", str(output), "-O", letter, "--overwrite", "--no-index", *world.options()]
                )
                peaks.append(peak)
                print(f"-O {letter}  {count:>7,} records  {peak:7.1f} MB  {seconds:6.1f} s")
            print(f"-O {letter}  ratio {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
