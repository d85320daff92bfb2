"""Time to read a GENCODE-sized GTF once, to open it from the cache, and to look genes up.

Run: python benchmarks/bench_genes.py [LINES]     (default 3,000,000 lines; needs 2 GB in the temporary folder)
"""

import gzip
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model")]

from sbert_vcf.genes import Genes  # noqa: E402

T = TypeVar("T")
CONTIGS = [f"chr{name}" for name in (*range(1, 23), "X", "Y", "M")]
CONTIG_LENGTH = 130_000_000


def gtf_lines(count: int, seed: int = 1) -> Iterator[str]:
    """Yield about `count` lines in proportions, order and attributes like those of GENCODE's comprehensive GTF."""
    numbers = random.Random(seed)
    lines = 0
    per_contig = count // len(CONTIGS) + 1
    gene = transcript = exon = 0
    for row, contig in enumerate(CONTIGS, 1):
        start = 10_000
        while lines < row * per_contig:
            gene += 1
            strand = numbers.choice("+-")
            coding = numbers.random() < 0.33
            kind = "protein_coding" if coding else "lncRNA"
            end = start
            body: list[str] = []
            gene_attributes = f'gene_id "ENSG{gene:011d}.{gene % 9 + 1}"; '
            gene_text = f'gene_type "{kind}"; gene_name "GENE{gene}"; '
            for number in range(numbers.randint(4, 12) if coding else numbers.randint(1, 4)):
                transcript += 1
                position = start + numbers.randrange(500)
                exons = []
                for _ in range(numbers.randint(2, 18) if coding else numbers.randint(1, 6)):
                    exons.append((position + 1, position + numbers.randint(60, 300)))
                    position = exons[-1][1] + numbers.randint(200, 2500)
                end = max(end, exons[-1][1])
                attributes = (
                    f'{gene_attributes}transcript_id "ENST{transcript:011d}.{transcript % 7 + 1}"; {gene_text}'
                    f'transcript_type "{kind}"; transcript_name "GENE{gene}-{200 + number}"; '
                )
                rest = (
                    f'level 2; transcript_support_level "1"; hgnc_id "HGNC:{gene}"; tag "basic"; tag "CCDS"; '
                    f'havana_gene "OTTHUMG{gene:011d}.2"; havana_transcript "OTTHUMT{transcript:011d}.1";'
                )
                places = f"\t.\t{strand}\t.\t"
                body.append(f"{contig}\tHAVANA\ttranscript\t{exons[0][0]}\t{exons[-1][1]}{places}{attributes}{rest}\n")
                sense = exons if strand == "+" else exons[::-1]
                for index, (first, last) in enumerate(sense, 1):
                    exon += 1
                    more = f'{attributes}exon_number {index}; exon_id "ENSE{exon:011d}.1"; {rest}\n'
                    body.append(f"{contig}\tHAVANA\texon\t{first}\t{last}{places}{more}")
                    if coding:
                        outer = index in (1, len(sense))
                        body.append(f"{contig}\tHAVANA\t{'UTR' if outer else 'CDS'}\t{first}\t{last}{places}{more}")
                        if outer:
                            codon = "start_codon" if index == 1 else "stop_codon"
                            body.append(f"{contig}\tHAVANA\t{codon}\t{first}\t{first + 2}{places}{more}")
            yield (
                f"{contig}\tHAVANA\tgene\t{start + 1}\t{end}\t.\t{strand}\t.\t{gene_attributes}{gene_text}"
                f'level 2; hgnc_id "HGNC:{gene}"; havana_gene "OTTHUMG{gene:011d}.2";\n'
            )
            yield from body
            lines += 1 + len(body)
            start = end + numbers.randint(-3000, 30_000)


def timed(label: str, call: Callable[[], T]) -> T:
    """Run, print seconds on the clock and of the processor, and return the result."""
    clock, processor = time.perf_counter(), time.process_time()
    result = call()
    print(f"{label:<44}{time.perf_counter() - clock:8.2f} s{time.process_time() - processor:8.2f} s CPU", flush=True)
    return result


def look_up(genes: Genes, count: int) -> None:
    numbers = random.Random(2)
    places = [(numbers.choice(CONTIGS), numbers.randrange(CONTIG_LENGTH)) for _ in range(count)]
    for contig in CONTIGS:
        genes.overlapping(contig, 0, 1)
        genes.nearest_exon_edge(contig, 0, 1)
    timed(f"overlapping, {count:,} look-ups", lambda: [genes.overlapping(c, at, at + 1) for c, at in places])
    timed(
        f"nearest_exon_edge, {count:,} look-ups", lambda: [genes.nearest_exon_edge(c, at, at + 1) for c, at in places]
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, packed = folder / "genes.gtf", folder / "genes.gtf.gz"
        with plain.open("w") as file:
            file.writelines(gtf_lines(count))
        with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=4) as target:
            shutil.copyfileobj(source, target, 1 << 20)
        print(f"{count:,} lines, {plain.stat().st_size / 1e9:.2f} GB plain, {packed.stat().st_size / 1e6:.0f} MB gzip")
        for path in (plain, packed):
            timed(f"{path.name}: first time", lambda path=path: Genes.open(path, cache=folder / "cache"))
            genes = timed(f"{path.name}: from the cache", lambda path=path: Genes.open(path, cache=folder / "cache"))
            entry = max((folder / "cache").iterdir(), key=lambda file: file.stat().st_size)
            print(f"{len(genes):,} genes, cache entry of {entry.stat().st_size / 1e6:.0f} MB")
        look_up(genes, 100_000)


if __name__ == "__main__":
    main()
