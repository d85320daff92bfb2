"""A genome of three contigs with branchpoint windows on both strands, as BED and as table."""

import random
from dataclasses import dataclass
from pathlib import Path

import pysam

from sbert_model.tokenizer import decode, encode, reverse_complement

REGION = 27
MOTIF = "TACTAAC"
BRANCH = 5  # index of the branchpoint A in the motif
FLANK = 300  # nt of sequence on either side of a region, in the table


@dataclass(frozen=True)
class TinyBranchpoints:
    """The files, and what each window is: contig, start, strand, and its labels in sense direction."""

    fasta: Path
    bed: Path
    table: Path
    windows: list[tuple[str, int, str, list[int]]]


def write_tiny_branchpoints(folder: Path, windows: int = 24, seed: int = 0) -> TinyBranchpoints:
    """Write windows 1,000 nt apart, one motif each, whose A is the branchpoint; a neighbour of it is ignored."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = random.Random(seed)
    contigs = ["chr1", "chr2", "chr3", "chr4"]
    bases = {name: numbers.choices("ACGT", k=1000 * (windows // len(contigs) + 2)) for name in contigs}
    found = []
    for number in range(windows):
        contig, start = contigs[number % len(contigs)], 700 + 1000 * (number // len(contigs))
        strand = "+-"[number // len(contigs) % 2]
        at = numbers.randrange(REGION - len(MOTIF))
        region = [base if base != "A" else "G" for base in numbers.choices("ACGT", k=REGION)]
        region[at : at + len(MOTIF)] = MOTIF
        labels = [0] * REGION
        labels[at + BRANCH] = 1
        labels[at + BRANCH + 1] = -100
        sense = "".join(region)
        bases[contig][start : start + REGION] = sense if strand == "+" else opposite(sense)
        found.append((contig, start, strand, labels))
    text = {name: "".join(letters) for name, letters in bases.items()}
    fasta = folder / "genome.fa"
    fasta.write_text("".join(f">{name}\n{letters}\n" for name, letters in text.items()))
    pysam.faidx(str(fasta))
    bed, table = folder / "windows.bed", folder / "windows.tsv"
    bed.write_text("".join(bed_line(*window) for window in found))
    lines = ["chrom\tstart0\tend\tstrand\tlabels\tup_len\tdown_len\tsequence\n"]
    for contig, start, strand, labels in found:
        sequence = text[contig][start - FLANK : start + REGION + FLANK]
        sequence = sequence if strand == "+" else opposite(sequence)
        cells = [contig, start, start + REGION, strand, ",".join(map(str, labels)), FLANK, FLANK, sequence]
        lines.append("\t".join(map(str, cells)) + "\n")
    table.write_text("".join(lines))
    return TinyBranchpoints(fasta, bed, table, found)


def bed_line(contig: str, start: int, strand: str, labels: list[int]) -> str:
    """Return a line of a BED, in which labels run with the genome, from labels in sense direction."""
    genomic = labels if strand == "+" else labels[::-1]
    return f"{contig}\t{start}\t{start + len(labels)}\tname\t{','.join(map(str, genomic))}\t{strand}\n"


def opposite(sequence: str) -> str:
    """Return the reverse complement."""
    return decode(reverse_complement(encode(sequence)))
