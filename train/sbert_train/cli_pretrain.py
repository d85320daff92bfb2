"""The commands that pretrain a model and make a small one of it."""

import importlib.util
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args

import click

from sbert_model.errors import SbertError

Command = TypeVar("Command", bound=Callable[..., Any])


def need_train_extra() -> None:
    """Raise SbertError where the packages of the train extra are missing."""
    packages = {"transformers": "transformers", "accelerate": "accelerate", "PyYAML": "yaml"}
    missing = [name for name, module in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise SbertError(f"training needs {' and '.join(missing)}; run: pip install 'sbert-vcf[train]'")


class _FieldOptions(click.Command):
    """A command with an option for each field of Config, made when they are needed: config.py imports PyYAML."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        need_train_extra()
        from sbert_train.config import Config

        given = super().get_params(ctx)
        return [*given, *(_option(item.name, item.type, item.default, item.metadata) for item in fields(Config))]


def _option(name: str, kind: Any, default: object, metadata: Any) -> click.Option:
    flag = "--" + name.replace("_", "-")
    kind = get_args(kind)[0] if isinstance(kind, UnionType) else kind
    shown = "" if default is None else f"  [{str(default).lower() if kind is bool else default}]"
    return click.Option(
        [f"{flag}/--no-{flag[2:]}" if kind is bool else flag],
        type=click.Choice(metadata["choices"]) if metadata["choices"] else kind,
        default=None,  # an option not given leaves the config as it is
        help=metadata["help"] + shown,
    )


@click.command(cls=_FieldOptions)
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="RUN", help="Folder that the run goes to."
)
@click.option(
    "--config",
    "source",
    metavar="NAME|FILE",
    help="stage1, stage2, human, mini, or a YAML or TOML file. Fields that it does not give have the values below.",
)
@click.option(
    "--init-from",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="Start from this model folder, as for stage 2 or another species; same architecture.",
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in RUN, with the config of RUN.")
def pretrain(
    corpus: Path, out: Path, source: str | None, init_from: Path | None, resume: bool, **values: object
) -> None:
    """Pretrain a masked language model on the folder CORPUS.

    RUN/last and RUN/best become model folders for `annotate -m`, RUN/metrics.jsonl has the losses. Several processes:
    `torchrun --nproc-per-node N -m sbert_vcf train pretrain …`. Every field of the config is an option.
    """
    need_train_extra()
    from sbert_model.device import use_cpu_threads
    from sbert_train.config import load_config
    from sbert_train.corpus import open_corpus
    from sbert_train.pretrain import pretrain as run
    from sbert_train.run_folder import RunFolder

    changes = {name: value for name, value in values.items() if value is not None}
    if resume and source is None:
        RunFolder(out).check_resumable()
        source = str(out / "config.yaml")
    config = load_config(source, changes)
    use_cpu_threads(config.threads)
    run(open_corpus(corpus), config, out, init_from, resume)


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--max-mb", type=click.FloatRange(min=0, min_open=True), default=25, show_default=True, help="Refuse a larger file."
)
def export(source: Path, out: Path, max_mb: float) -> None:
    """Make a small model folder of a run or of a model.

    SOURCE is the folder of a pretraining run, of which the best model counts, of a branchpoint run with --final, or of
    a model; OUT gets it as float16.
    """
    need_train_extra()
    from sbert_train.export import export as run

    click.echo(f"{out}: {run(source, out, int(max_mb * 1e6)) / 1e6:.1f} MB of weights", err=True)
