"""The commands about models: list, info, fetch, use, check."""

from collections.abc import Iterable
from pathlib import Path

import click

from sbert_model import registry
from sbert_model.description import describe, sha256_of
from sbert_model.errors import ModelError
from sbert_vcf import settings
from sbert_vcf.cli_check import check

_MASKED_LM = "BertForMaskedLM"
_USE_IT_WITH = f"the default has to be a masked language model ({_MASKED_LM}); name it with --branchpoint-model instead"


@click.group()
def models() -> None:
    """Show, fetch and choose the models that score variants."""


models.add_command(check)


@models.command("list")
def list_models() -> None:
    """List the models; * marks those that are used without -m and --branchpoint-model."""
    default = settings.load().model or registry.DEFAULT
    names = [*registry.MODELS, *([] if default in registry.MODELS else [default])]
    used = (default, registry.default_branchpoint())
    rows = [("", "NAME", "KIND", "INSTALLED", "SIZE", "WINDOW", "WHERE")]
    rows += [("*" if name in used else "", *_row(name)) for name in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(name: str) -> tuple[str, str, str, str, str, str]:
    model = registry.MODELS.get(name)
    folder = model.folder if model else Path(name).expanduser()
    kind = model.kind if model else registry.Kind.MASKED_LM  # a folder that is listed is the user's default
    if not registry.is_complete(folder):
        where = f"sbert-vcf models fetch {name}" if model and model.published else str(folder)
        return name, kind.value, "no", "-", "-", where
    shape = describe(folder)
    return name, kind.value, "yes", _megabytes(shape.weights_bytes), f"{shape.max_nucleotides} nt", str(folder)


@models.command()
@click.argument("name")
def info(name: str) -> None:
    """Describe a model: NAME is one that `models list` shows, or a model folder."""
    model = registry.MODELS.get(name)
    facts = [("name", name)]
    if model:
        facts += [("kind", model.kind.value), ("summary", model.summary)]
        facts += [("source", model.source), ("licence", model.licence)]
    if model and model.published and not registry.is_complete(model.folder):
        facts.append(("folder", f"not fetched yet; run: sbert-vcf models fetch {name}"))
    else:
        facts += _folder_facts(registry.resolve(name), model)
    width = max(len(key) for key, _ in facts)
    for key, value in facts:
        click.echo(f"{key.ljust(width)}  {value}")


def _folder_facts(folder: Path, model: registry.Model | None) -> Iterable[tuple[str, str]]:
    shape = describe(folder)
    digest = sha256_of(shape.weights)
    published = model.sha256.get(shape.weights.name) if model else None
    verdict = "" if published is None else " (as published)" if digest == published else " (NOT the published weights)"
    yield (
        "architecture",
        f"{shape.architecture}: {shape.layers} layers, {shape.heads} heads, hidden size {shape.hidden_size}",
    )
    yield "parameters", f"{shape.parameters:,}"
    yield "window", f"up to {shape.max_nucleotides} nt"
    yield "weights", f"{shape.weights.name}, {_megabytes(shape.weights_bytes)}"
    yield "SHA-256", f"{digest}{verdict}"
    yield "folder", str(folder)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


@models.command()
@click.argument("name")
@click.option(
    "--from-file",
    "archive",
    metavar="ARCHIVE",
    type=click.Path(path_type=Path),
    help="Take the model from this models.tar.gz instead of downloading it.",
)
@click.option("--force", is_flag=True, help="Replace the model where it is already there.")
def fetch(name: str, archive: Path | None, force: bool) -> None:
    """Fetch a published model and check it.

    NAME is one that `models list` shows. The download is the authors' archive of all three models, 218 MB; one model
    takes 79 MB on disk.
    """
    from sbert_model.download import fetch as fetch_model  # imports a web client, which the other commands don't need

    model = registry.find(name)
    there = not force and registry.is_complete(model.folder)
    folder = fetch_model(name, archive, force=force)
    click.echo(f"{name} is already there (--force replaces it): {folder}" if there else f"{name} is now in {folder}")


@models.command()
@click.argument("name")
def use(name: str) -> None:
    """Choose the model that is used without -m.

    NAME is one that `models list` shows, or a model folder.
    """
    model = registry.MODELS.get(name)
    if model is not None and model.kind is registry.Kind.BRANCHPOINT:
        raise ModelError(f"model {name} finds branchpoints, {_USE_IT_WITH}")
    folder = registry.resolve(name)
    if (architecture := describe(folder).architecture) != _MASKED_LM:
        raise ModelError(f"{name}: the model is {architecture}, {_USE_IT_WITH}")
    chosen = name if name in registry.MODELS else str(folder.resolve())
    path = settings.save_model(chosen)
    click.echo(f"default model: {chosen} (written to {path})")
