"""Write a toy chromosome with genes and variants: toy.fa (with .fai), toy.gtf and toy.vcf.

Run: python examples/make_example.py OUT_FOLDER      (always the same files; nothing is downloaded)
"""

import sys
from pathlib import Path

import pysam
from toy_genome import CONTIG, ToyGenome, build_genome
from toy_variants import CSQ_COLUMNS, SAMPLE, Record, plant_variants

HEADER = f"""\
##fileformat=VCFv4.2
##source=make_example.py
##FILTER=<ID=PASS,Description="All filters passed">
##contig=<ID={CONTIG},length={{length}}>
##ALT=<ID=DEL,Description="Deletion">
##INFO=<ID=END,Number=1,Type=Integer,Description="Last base of a symbolic allele">
##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Type of structural variant">
##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations from Ensembl VEP. Format: {CSQ_COLUMNS}">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{SAMPLE}
"""


def write_fasta(path: Path, sequence: str) -> None:
    """Write 60 bases a line, and the index."""
    lines = [sequence[at : at + 60] for at in range(0, len(sequence), 60)]
    path.write_text(f">{CONTIG}\n" + "\n".join(lines) + "\n")
    pysam.faidx(str(path))


def write_gtf(path: Path, genome: ToyGenome) -> None:
    """Write gene, transcript and exon lines."""
    lines = []
    for gene in genome.genes:
        identity = f'gene_id "{gene.gene_id}"; gene_name "{gene.symbol}"; gene_biotype "protein_coding";'
        of_transcript = f'transcript_id "{gene.transcript_id}"; {identity}'
        rows = [("gene", gene.start, gene.end, identity), ("transcript", gene.start, gene.end, of_transcript)]
        for number, exon in enumerate(gene.exons, 1):
            start, end = gene.interval(*exon)
            rows.append(("exon", start, end, f'{of_transcript} exon_number "{number}";'))
        lines += [
            f"{CONTIG}\ttoy\t{feature}\t{start + 1}\t{end}\t.\t{gene.strand}\t.\t{attributes}\n"
            for feature, start, end, attributes in rows
        ]
    path.write_text("".join(lines))


def write_vcf(path: Path, records: list[Record], length: int) -> None:
    """Write the records by position."""
    lines = []
    for record in sorted(records, key=lambda record: record.start):
        site = f"{CONTIG}\t{record.start + 1}\t{record.name}\t{record.ref}\t{record.alt}"
        lines.append(f"{site}\t.\tPASS\t{record.info}\tGT\t{record.genotype}\n")
    path.write_text(HEADER.format(length=length) + "".join(lines))


def main() -> None:
    """Write the three files into the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: make_example.py OUT_FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    genome = build_genome()
    write_fasta(folder / "toy.fa", genome.sequence)
    write_gtf(folder / "toy.gtf", genome)
    write_vcf(folder / "toy.vcf", plant_variants(genome), len(genome.sequence))
    print(f"wrote toy.fa, toy.gtf and toy.vcf to {folder}")


if __name__ == "__main__":
    main()
