"""How many records a second pass through annotate when the model takes no time, and what a record costs in long files.

Passes give the same logits at every base at once; what is left is all else: reading, planning, sequence access, which
windows run, scores, formatting and writing. Genes with exons are given, so that splice sites are scored as well.

Run: python benchmarks/bench_pipeline.py [RECORDS...]     (default 100 1000 10000)
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does, before torch is imported

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model")]

from sbert_model.encoder import BLOCK  # noqa: E402
from sbert_model.passes import Collect, DeviceRunner, Pass  # noqa: E402
from sbert_vcf.annotate import AnnotateOptions, annotate  # noqa: E402
from sbert_vcf.options import ScoringOptions  # noqa: E402
from tests.models import write_random_masked_lm  # noqa: E402
from tests.world import COLUMNS  # noqa: E402

LENGTH = 2_000_000
GENE = 20_000


def answer_at_once(runner: DeviceRunner, passes: Sequence[Pass]) -> Collect:
    """Stand in for DeviceRunner.submit."""
    logits = [np.zeros((one.places[..., 0].size, BLOCK, 4), dtype=np.float32) for one in passes]
    return lambda: logits


def write_world(folder: Path) -> tuple[str, ScoringOptions]:
    """Write a genome of one contig, genes of six exons on both strands and a model; returns the bases."""
    bases = "".join(random.Random(1).choices("ACGT", k=LENGTH))
    fasta, genes = folder / "genome.fa", folder / "genes.gtf"
    fasta.write_text(f">chr1\n{bases}\n")
    lines = []
    for number, start in enumerate(range(1000, LENGTH - GENE, GENE)):
        text = f'gene_id "G{number}"; transcript_id "T{number}"; gene_name "NAME{number}";'
        spans = [("transcript", start, start + GENE - 2000)]
        spans += [("exon", start + exon * 3500, start + exon * 3500 + 150) for exon in range(6)]
        lines += [
            f"chr1\tx\t{kind}\t{first}\t{last}\t.\t{'+-'[number % 2]}\t.\t{text}\n" for kind, first, last in spans
        ]
    genes.write_text("".join(lines))
    model = write_random_masked_lm(folder / "model", hidden=16, layers=1, heads=2)
    return bases, ScoringOptions(
        reference=str(fasta), genes=str(genes), model=str(model), branchpoint_model="none", device="cpu", threads=1
    )


def vcf(bases: str, records: int) -> str:
    """Substitutions with a few INFO fields, in order of their positions."""
    numbers = random.Random(2)
    lines = ["##fileformat=VCFv4.2", f"##contig=<ID=chr1,length={LENGTH}>", "\t".join(COLUMNS)]
    for start in sorted(numbers.sample(range(3000, LENGTH - GENE), records)):
        alt = numbers.choice([base for base in "ACGT" if base != bases[start]])
        lines.append(f"chr1\t{start + 1}\trs{start}\t{bases[start]}\t{alt}\t50\tPASS\tAC=2;AN=200;AF=0.01;DP=1234")
    return "".join(f"{line}\n" for line in lines)


def main() -> None:
    counts = [int(text) for text in sys.argv[1:]] or [100, 1000, 10_000]
    DeviceRunner.submit = answer_at_once  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bases, scoring = write_world(folder)
        for batch_size in (8, 128):
            for records in [counts[0], *counts]:  # the first of them reads the genes and warms up
                path = folder / f"{records}.vcf"
                path.write_text(vcf(bases, records))
                wall, cpu = time.perf_counter(), time.process_time()
                annotate(
                    AnnotateOptions(str(path), str(folder / "out.vcf"), overwrite=True),
                    replace(scoring, batch_size=batch_size),
                )
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                print(
                    f"batches of {batch_size:3}: {records:>7,} records {wall:6.2f} s  {records / wall:6,.0f} records/s "
                    f"{1e6 * wall / records:6.0f} µs each ({1e6 * cpu / records:.0f} µs of CPU)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
