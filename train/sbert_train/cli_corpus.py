"""The command that builds a corpus folder."""

import os
from pathlib import Path

import click


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@click.command()
@click.argument("table", metavar="SPECIES.tsv", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="Where the corpus goes."
)
@click.option(
    "--hold-out",
    "contigs",
    multiple=True,
    metavar="PATTERN",
    help="Contigs never trained on, in any species: a regular expression for whole names. Repeatable.",
)
@click.option(
    "--hold-out-random",
    "random_pieces",
    type=click.IntRange(min=1),
    metavar="N",
    help="Instead: N pieces drawn at random from all species; the SpliceBERT paper drew 50,000.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Chooses those pieces.")
@click.option(
    "--processes", type=click.IntRange(min=1), metavar="N", help="Work on N shards at once; default: one a core."
)
@click.option("--overwrite", is_flag=True, help="Replace a corpus that is there.")
def corpus(
    table: Path,
    out: Path,
    contigs: tuple[str, ...],
    random_pieces: int | None,
    seed: int,
    processes: int | None,
    overwrite: bool,
) -> None:
    """Build a corpus of pre-mRNA from genomes and their genes.

    SPECIES.tsv has a line for each species, tab-separated: name, FASTA (plain or bgzip), annotation (GTF, GFF3 or UCSC
    genePred such as refGene.txt.gz) and, if wanted, a weight; paths relative to the table. The folder holds the
    transcripts with their introns, overlapping ones of a strand merged, in the sense direction; the same bytes whatever
    the number of processes.
    """
    from sbert_train.build_corpus import HoldOut, build_corpus
    from sbert_train.species_table import read_species_table

    if contigs and random_pieces:
        raise click.UsageError("--hold-out and --hold-out-random: give one of them")
    hold_out = HoldOut(contigs, random_pieces or 0, seed)
    build_corpus(read_species_table(table), out, hold_out, processes=processes or usable_cores(), overwrite=overwrite)
