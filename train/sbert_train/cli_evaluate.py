"""The command that scores a masked language model."""

import importlib.util
from pathlib import Path

import click

from sbert_model.errors import SbertError

COUNT = click.IntRange(min=1)


@click.command("evaluate-mlm")
@click.argument("model")
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="Where the scores go."
)
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
    "--markov-order",
    type=click.IntRange(1, 10),
    default=5,
    show_default=True,
    metavar="K",
    help="Bases that the Markov chain among the baselines looks back.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Chooses the windows and the masked bases."
)
@click.option("--threads", type=COUNT, metavar="N", help="CPU threads; default: all it may use.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--overwrite", is_flag=True, help="Replace scores that are in FOLDER.")
def evaluate_mlm(
    model: str,
    corpus: Path,
    out: Path,
    length: int,
    windows: int | None,
    mask_rate: float,
    markov_order: int,
    seed: int,
    threads: int | None,
    device: str,
    overwrite: bool,
) -> None:
    """Score a model on masked bases of the held-out part of a corpus.

    MODEL is a model folder or the name of a model, CORPUS a folder that `train corpus` wrote. Count models of the rest
    of the corpus and the untrained network are scored on the same bases. FOLDER gets scores.tsv, scores.json and
    figure.png; a short table goes to stdout.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise SbertError("the figure needs matplotlib; run: pip install 'sbert-vcf[train]'")
    from sbert_model.device import use_cpu_threads
    from sbert_train.evaluate_mlm import Settings, evaluate
    from sbert_train.evaluation_report import check_folder, summary, write_report

    check_folder(out, overwrite)
    use_cpu_threads(threads)
    settings = Settings(length, windows, mask_rate, seed, markov_order)
    evaluation = evaluate(model, corpus, settings, device)
    write_report(out, evaluation)
    click.echo(summary(evaluation.scores))
