"""The training commands: pretrain, evaluate, export."""

import importlib.util
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from sbert_model.errors import InputError, SbertError
from sbert_train.corpus import Genome, load_corpus
from sbert_train.recipe import Architecture, Recipe

Command = TypeVar("Command", bound=Callable[..., Any])

COUNT = click.IntRange(min=1)
POSITIVE = click.FloatRange(min=0, min_open=True)
ARCHITECTURE = Architecture()
RECIPE = Recipe()


@click.group()
def train() -> None:
    """Pretrain and evaluate models, for human or any species."""


def corpus_options(command: Command) -> Command:
    """Add the options that name the genomes and what is held out."""
    for option in (
        click.option(
            "--hold-out",
            "held_out",
            multiple=True,
            metavar="PATTERN",
            help="Contigs never trained on, in any species: a regular expression for whole names. Repeatable.",
        ),
        click.option(
            "--genomes",
            "table",
            type=click.Path(path_type=Path),
            metavar="TSV",
            help="Table without header: species, FASTA, GTF or GFF3; paths relative to the table.",
        ),
        click.option(
            "--genome",
            "pairs",
            type=(click.Path(path_type=Path), click.Path(path_type=Path)),
            multiple=True,
            metavar="FASTA GTF",
            help="A genome (indexed FASTA) and its genes (GTF or GFF3). Repeatable.",
        ),
    ):
        command = option(command)
    return command


@train.command()
@corpus_options
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="Where the run goes."
)
@click.option("--hidden-size", type=COUNT, default=ARCHITECTURE.hidden_size, show_default=True)
@click.option("--layers", type=COUNT, default=ARCHITECTURE.layers, show_default=True)
@click.option("--heads", type=COUNT, default=ARCHITECTURE.heads, show_default=True, help="Attention heads per layer.")
@click.option(
    "--ffn", type=COUNT, default=ARCHITECTURE.ffn, show_default=True, help="Width of the feed-forward layers."
)
@click.option(
    "--max-nt", type=COUNT, default=ARCHITECTURE.max_nt, show_default=True, help="Longest sequence it can read."
)
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), default=ARCHITECTURE.dropout, show_default=True)
@click.option(
    "--initializer-range",
    type=POSITIVE,
    default=ARCHITECTURE.initializer_range,
    show_default=True,
    help="Standard deviation of the first weights.",
)
@click.option(
    "--init",
    type=click.Choice(["random", "offset-heads"]),
    default="random",
    show_default=True,
    help="offset-heads: the first two layers start as heads that look at fixed neighbours; for little compute.",
)
@click.option(
    "--sequence-length",
    default=RECIPE.sequence_length,
    show_default=True,
    help="Nucleotides per sequence, or lengths with their share of the run: 128:0.6,1024:0.4.",
)
@click.option("--batch-tokens", type=COUNT, default=RECIPE.batch_tokens, show_default=True, help="Tokens per step.")
@click.option("--learning-rate", type=POSITIVE, default=RECIPE.learning_rate, show_default=True)
@click.option("--weight-decay", type=click.FloatRange(0), default=RECIPE.weight_decay, show_default=True)
@click.option("--warmup-steps", type=click.IntRange(0), default=RECIPE.warmup_steps, show_default=True)
@click.option("--max-steps", type=COUNT, help="End after so many optimizer steps.")
@click.option("--max-hours", type=POSITIVE, help="End after so many hours.")
@click.option(
    "--checkpoint-steps",
    type=COUNT,
    default=RECIPE.checkpoint_steps,
    show_default=True,
    help="Steps between checkpoints.",
)
@click.option("--bfloat16", is_flag=True, help="Mixed precision; the weights stay float32.")
@click.option("--seed", type=click.IntRange(0), default=RECIPE.seed, show_default=True)
@click.option("--threads", type=COUNT, metavar="N", help="CPU threads; default: all it may use.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in FOLDER.")
def pretrain(
    pairs: tuple[tuple[Path, Path], ...],
    table: Path | None,
    held_out: tuple[str, ...],
    out: Path,
    init: str,
    threads: int | None,
    resume: bool,
    **options: Any,
) -> None:
    """Train a model from scratch on the pre-mRNA of annotated genes."""
    _need_train_extra()
    from sbert_model.device import use_cpu_threads
    from sbert_train.pretrain import new_model
    from sbert_train.pretrain import pretrain as run

    use_cpu_threads(threads)
    architecture = Architecture(**{item.name: options[item.name] for item in fields(Architecture)})
    recipe = Recipe(**{item.name: options[item.name] for item in fields(Recipe)})
    corpus = load_corpus(read_genomes(pairs, table), held_out)
    for what, pieces in (("to train on", corpus.training), ("held out", corpus.validation)):
        click.echo(f"{sum(piece.ids.size for piece in pieces):,} nt in {len(pieces):,} pieces {what}", err=True)
    run(new_model(architecture, init, recipe.seed), corpus.training, recipe, out, resume)


@train.command()
@click.argument("model", type=click.Path(path_type=Path))
@corpus_options
@click.option("--length", type=COUNT, default=1024, show_default=True, help="Nucleotides per window.")
@click.option("--windows", type=COUNT, metavar="N", help="At most N windows per species; default: all.")
@click.option(
    "--mask-rate",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.15,
    show_default=True,
    help="Share of the bases that are masked, all at once.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Chooses the windows and the masked bases."
)
@click.option("--threads", type=COUNT, metavar="N", help="CPU threads; default: all it may use.")
@click.option("--json", "json_out", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures here too.")
def evaluate(
    model: Path,
    pairs: tuple[tuple[Path, Path], ...],
    table: Path | None,
    held_out: tuple[str, ...],
    length: int,
    windows: int | None,
    mask_rate: float,
    seed: int,
    threads: int | None,
    json_out: Path | None,
) -> None:
    """Score a model on masked bases of held-out contigs.

    MODEL is a model folder. Count models of the other contigs are scored on the same bases.
    """
    from sbert_model.checkpoint import load_masked_lm
    from sbert_model.device import select_device, use_cpu_threads
    from sbert_model.predict import Predictor
    from sbert_train import evaluate as evaluation

    use_cpu_threads(threads)
    predictor = Predictor(load_masked_lm(model).network, select_device("auto"))
    corpus = load_corpus(read_genomes(pairs, table), held_out)
    chosen = evaluation.masked_windows(corpus.validation, length, windows, seed, mask_rate)
    scores = evaluation.evaluate(predictor.log_probs, chosen, corpus.training)
    click.echo(evaluation.table(scores))
    if json_out is not None:
        evaluation.write_json(json_out, scores)


@train.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def export(source: Path, out: Path) -> None:
    """Make a small model folder of a training folder.

    SOURCE is the folder of a run or one of its checkpoints; OUT gets its model as float16, ready to use and to ship.
    """
    _need_train_extra()
    from sbert_train.export import export as run

    click.echo(f"{out}: {run(source, out) / 1e6:.1f} MB of weights", err=True)


def read_genomes(pairs: tuple[tuple[Path, Path], ...], table: Path | None) -> list[Genome]:
    """Return the species given as pairs of FASTA and annotation, and those of a table.

    Raises InputError when there are none, for a table that cannot be read, and for a line without three columns.
    """
    genomes = [Genome(fasta.name.split(".")[0], fasta, annotation) for fasta, annotation in pairs]
    try:
        lines = table.read_text().splitlines() if table else []
    except OSError as error:
        raise InputError(f"{table}: cannot read the table of genomes: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = line.split("\t")
        if table is None or len(columns) != 3:
            raise InputError(f"{table}:{number}: expected three tab-separated columns: species, FASTA, GTF")
        genomes.append(Genome(columns[0], table.parent / columns[1], table.parent / columns[2]))
    if not genomes:
        raise InputError("no genome: give --genome FASTA GTF, or --genomes TSV")
    return genomes


def _need_train_extra() -> None:
    missing = [name for name in ("transformers", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise SbertError(f"training needs {' and '.join(missing)}; run: pip install 'sbert-vcf[train]'")
