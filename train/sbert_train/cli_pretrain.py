"""The commands that pretrain a model and make a small one of it."""

import importlib.util
from pathlib import Path

import click

from sbert_model.errors import SbertError


@click.command()
def pretrain() -> None:
    """Pretrain a masked language model on a corpus."""


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def export(source: Path, out: Path) -> None:
    """Make a small model folder of a training folder.

    SOURCE is the folder of a run or one of its checkpoints; OUT gets its model as float16, ready to use and to ship.
    """
    need_train_extra()
    from sbert_train.export import export as run

    click.echo(f"{out}: {run(source, out) / 1e6:.1f} MB of weights", err=True)


def need_train_extra() -> None:
    """Raise SbertError where the packages of the train extra are missing."""
    missing = [name for name in ("transformers", "accelerate", "yaml") if importlib.util.find_spec(name) is None]
    if missing:
        raise SbertError(f"training needs {' and '.join(missing)}; run: pip install 'sbert-vcf[train]'")
