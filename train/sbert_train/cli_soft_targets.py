"""The command that makes soft targets for a corpus."""

from pathlib import Path

import click


@click.command("soft-targets")
@click.argument("corpus", type=click.Path(path_type=Path))
@click.argument("table", metavar="SPECIES.tsv", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="Where the targets go."
)
@click.option(
    "--half",
    "halves",
    multiple=True,
    required=True,
    metavar="PATTERN",
    help="Contigs of one half: a regular expression for whole names. Repeatable. Targets come from the other half.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=3_000_000,
    show_default=True,
    help="Bases that the mixing network is fitted on.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads; default: all it may use.")
def soft_targets(
    corpus: Path, table: Path, out: Path, halves: tuple[str, ...], sample: int, seed: int, threads: int | None
) -> None:
    """Give each training nucleotide of CORPUS the probabilities that other loci suggest.

    SPECIES.tsv is the table that CORPUS was built from. For `train pretrain --soft-targets`: with little compute a
    network learns much faster from them than from single masked bases. Takes about 7 GB of memory.
    """
    from sbert_model.device import use_cpu_threads
    from sbert_train.corpus import open_corpus
    from sbert_train.make_soft_targets import make_soft_targets
    from sbert_train.species_table import read_species_table

    use_cpu_threads(threads)
    make_soft_targets(open_corpus(corpus), read_species_table(table), halves, out, sample, seed)
