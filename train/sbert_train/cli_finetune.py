"""The commands that fine-tune a pretrained model."""

import importlib.util
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click

from sbert_model.errors import SbertError
from sbert_train.cli_pretrain import need_train_extra

Command = TypeVar("Command", bound=Callable[..., Any])

COUNT = click.IntRange(min=1)
ABOVE_ZERO = click.FloatRange(min=0, min_open=True)


def _training_options(batch_size: int, stalled_epochs: int) -> Callable[[Command], Command]:
    """Options of every fine-tuning, which become Settings; the defaults are the published values."""
    options = [
        click.option("--folds", type=click.IntRange(min=3), default=10, show_default=True, help="Folds."),
        click.option("--from-scratch", is_flag=True, help="Start from an untrained network of MODEL's shape."),
        click.option(
            "--freeze-layers",
            type=click.IntRange(min=0),
            metavar="N",
            help="Leave the embeddings and the first N layers as they are; default: train everything.",
        ),
        click.option("--learning-rate", type=ABOVE_ZERO, default=1e-5, show_default=True, help="Of AdamW."),
        click.option("--weight-decay", type=click.FloatRange(min=0), default=1e-6, show_default=True, help="Of AdamW."),
        click.option(
            "--dropout",
            type=click.FloatRange(0, 1, max_open=True),
            default=0.1,
            show_default=True,
            help="Of hidden states, attention and the head.",
        ),
        click.option("--batch-size", type=COUNT, default=batch_size, show_default=True, help="Sequences per step."),
        click.option("--max-epochs", type=COUNT, default=200, show_default=True, help="End after so many epochs."),
        click.option(
            "--patience",
            type=COUNT,
            default=10,
            show_default=True,
            help="End after so many epochs without a better mean validation figure.",
        ),
        click.option(
            "--stalled-epochs",
            type=COUNT,
            default=stalled_epochs,
            show_default=True,
            help="Halve the learning rate after so many epochs without a better one.",
        ),
        click.option(
            "--precision",
            type=click.Choice(["auto", "float32", "bfloat16"]),
            default="auto",
            show_default=True,
            help="Of all passes; auto: bfloat16 on a GPU that has it, float32 elsewhere.",
        ),
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of head, order, dropout."),
        click.option("--threads", type=COUNT, metavar="N", help="CPU threads; default: all it may use."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
        click.option("--resume", is_flag=True, help="Go on after the last whole epoch of the run in RUN."),
    ]

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_OUT = click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="RUN", help="Folder that the run goes to."
)


def _need_packages() -> None:
    need_train_extra()
    if importlib.util.find_spec("matplotlib") is None:
        raise SbertError("the figure needs matplotlib; run: pip install 'sbert-vcf[train]'")


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--fasta", type=click.Path(path_type=Path), metavar="FASTA", help="Genome of a BED.")
@_OUT
@click.option(
    "--group-by",
    type=click.Choice(["chromosome", "locus"]),
    default="chromosome",
    show_default=True,
    help="Windows that share a fold.",
)
@click.option(
    "--locus-distance",
    type=click.IntRange(min=0),
    default=100_000,
    show_default=True,
    metavar="NT",
    help="locus: neighbours no farther apart than this are of one locus.",
)
@click.option("--final", is_flag=True, help="Train a model on all windows as well, for the chosen number of epochs.")
@click.option(
    "--train-windows",
    type=COUNT,
    metavar="N",
    help="Train each fold on N of its windows: a point of a learning curve.",
)
@click.option(
    "--train-context",
    type=COUNT,
    default=510,
    show_default=True,
    metavar="NT",
    help="In training and validation read only so many nt around the region, at their places in the 510; saves time.",
)
@_training_options(batch_size=8, stalled_epochs=2)
def branchpoint(
    model: str,
    data: Path,
    fasta: Path | None,
    out: Path,
    folds: int,
    group_by: str,
    locus_distance: int,
    final: bool,
    train_windows: int | None,
    train_context: int,
    threads: int | None,
    device: str,
    resume: bool,
    **settings: Any,
) -> None:
    """Fine-tune a model to find branchpoints, in cross-validation beside baselines.

    MODEL is the folder or the name of a masked language model. DATA is a BED of contig, start, end, name, labels and
    strand, with --fasta, or a table with sequences. RUN gets the models of the folds (folds/), of all windows (final/),
    predictions.tsv.gz, metrics.json, precision_recall.png and epochs.jsonl.
    """
    _need_packages()
    if final and train_windows is not None:
        raise click.UsageError("--final trains on all windows, --train-windows on some; give one of them")
    from sbert_model.checkpoint import load_masked_lm
    from sbert_model.device import select_device, use_cpu_threads
    from sbert_model.registry import resolve
    from sbert_train.branchpoint import Protocol, train_branchpoint
    from sbert_train.branchpoint_data import read_branchpoints
    from sbert_train.branchpoint_report import summary, write_report
    from sbert_train.finetune import Settings
    from sbert_train.finetune_folder import close_folder

    chosen = Settings(**settings)
    protocol = Protocol(
        folds=folds,
        group_by=group_by,
        locus_distance=locus_distance,
        train_windows=train_windows,
        train_context=train_context,
        final=final,
    )
    use_cpu_threads(threads)
    windows = read_branchpoints(data, fasta)
    for reason, count in windows.left_out.items():
        click.echo(f"{data}: {count} windows left out: {reason}", err=True)
    checkpoint = load_masked_lm(resolve(model))
    result = train_branchpoint(checkpoint, windows, protocol, chosen, out, select_device(device), resume)
    provenance = {"model": checkpoint.name, "model_sha256": checkpoint.sha256, "settings": asdict(chosen)}
    write_report(out, result, windows.windows, provenance)
    close_folder(out)
    click.echo(summary(result.scores))


@click.command("splice-site")
@click.argument("model")
@click.argument("data")
@_OUT
@click.option(
    "--site", type=click.Choice(["donor", "acceptor"]), required=True, help="Which rows of a table with a column site."
)
@click.option("--test", "tests", multiple=True, metavar="FILE", help="Independent test set; may be given again.")
@click.option("--length", type=COUNT, default=400, show_default=True, metavar="NT", help="Nucleotides around a site.")
@click.option("--sequences", type=COUNT, metavar="N", help="Take N of DATA's sequences by chance; default: all.")
@_training_options(batch_size=16, stalled_epochs=10)
def splice_site(
    model: str,
    data: str,
    out: Path,
    site: str,
    tests: tuple[str, ...],
    length: int,
    sequences: int | None,
    folds: int,
    threads: int | None,
    device: str,
    resume: bool,
    **settings: Any,
) -> None:
    """Fine-tune a model to tell true from false splice sites, in cross-validation beside a position weight matrix.

    MODEL is the folder or the name of a masked language model. DATA and --test are tables with the columns sequence and
    label (and site and split, of which DATA takes train and --test takes test), or two of Spliceator's files:
    POSITIVES,NEGATIVES. RUN gets the models of the folds (folds/), predictions.tsv.gz, metrics.json and epochs.jsonl.
    """
    _need_packages()
    from sbert_model.checkpoint import load_masked_lm
    from sbert_model.device import select_device, use_cpu_threads
    from sbert_model.registry import resolve
    from sbert_train.finetune import Settings
    from sbert_train.finetune_folder import close_folder
    from sbert_train.splice_site import train_splice_site
    from sbert_train.splice_site_data import read_splice_sites
    from sbert_train.splice_site_report import summary, write_report

    chosen = Settings(**settings)
    use_cpu_threads(threads)
    training = read_splice_sites(data, site, "train", length)
    if sequences is not None:
        training = training.some(sequences, chosen.seed)
    independent = [read_splice_sites(test, site, "test", length) for test in tests]
    checkpoint = load_masked_lm(resolve(model))
    result = train_splice_site(checkpoint, training, independent, folds, chosen, out, select_device(device), resume)
    write_report(
        out,
        result,
        {
            "model": checkpoint.name,
            "model_sha256": checkpoint.sha256,
            "site": site,
            "length": length,
            "folds": folds,
            "settings": asdict(chosen),
        },
    )
    close_folder(out)
    click.echo(summary(result.scores))
