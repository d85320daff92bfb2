"""Time until the command line answers: its help, and one variant from start to end.

Run: python benchmarks/bench_startup.py [REPEATS]     (default 5; the best time of them counts)
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model")]

from sbert_model import registry  # noqa: E402
from tests.world import World, build_world, vcf_text  # noqa: E402


def seconds(arguments: list[str], repeats: int) -> float:
    """Return the best wall time of a few runs."""
    path = os.pathsep.join(str(ROOT / folder) for folder in (".", "model", "train"))
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "sbert_vcf", *arguments],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        times.append(time.perf_counter() - started)
    return min(times)


def one_variant(world: World, model: str) -> list[str]:
    """The arguments that annotate one substitution in the middle of the world's first contig."""
    vcf = world.folder / "one.vcf"
    vcf.write_text(vcf_text([world.snv("chr1", 1200)]))
    return ["annotate", str(vcf), "-q", "-r", str(world.fasta), "-m", model, "--strand", "+", "--device", "cpu"]


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"--help                        {seconds(['--help'], repeats):6.2f} s")
    print(f"annotate --help               {seconds(['annotate', '--help'], repeats):6.2f} s")
    print(f"models list                   {seconds(['models', 'list'], repeats):6.2f} s")
    with tempfile.TemporaryDirectory() as name:
        world = build_world(Path(name))
        print(f"one variant, tiny model       {seconds(one_variant(world, str(world.model)), repeats):6.2f} s")
        if registry.is_complete(registry.MODELS[registry.DEFAULT].folder):
            print(f"one variant, bundled model    {seconds(one_variant(world, registry.DEFAULT), repeats):6.2f} s")
        else:
            print("one variant, bundled model    (no bundled model here)")


if __name__ == "__main__":
    main()
