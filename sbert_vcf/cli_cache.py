"""The commands about score caches: info, prune."""

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import click

_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def _bytes(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)B?", text.upper())
    if match is None:
        raise click.BadParameter(f"{text!r} is no size; write bytes, or for example 500M or 2G")
    return int(float(match[1]) * _UNITS[match[2]])


_FILE = click.Path(path_type=Path)


@click.group()
def cache() -> None:
    """Show and prune the score caches that `--cache FILE` makes."""


@cache.command()
@click.argument("file", type=_FILE)
def info(file: Path) -> None:
    """Show how large a score cache is, and of which models it has how many scores."""
    from sbert_vcf.cache_file import facts, size_text

    found = facts(file)
    click.echo(f"file    {file}\nformat  {found.version}\nsize    {size_text(found.size)}")
    click.echo(f"scores  {sum(entries.scores for entries in found.models):,}")
    for entries in found.models:
        day = datetime.fromtimestamp(entries.used * 86400, timezone.utc).date()
        click.echo(
            f"  {entries.scores:,} of model {entries.name} (sha256 {entries.sha256[:12]}…) in {entries.precision}, "
            f"last used {day}"
        )


@cache.command()
@click.argument("file", type=_FILE)
@click.option("--max-size", callback=_bytes, metavar="SIZE", help="Drop the least recently used scores: 500M, 2G.")
@click.option("--unused", type=click.IntRange(min=0), metavar="DAYS", help="Drop scores not used for this many days.")
def prune(file: Path, max_size: int | None, unused: int | None) -> None:
    """Drop scores from a cache, by the time since they were used, by size or both, and shrink the file."""
    from sbert_vcf.cache_file import prune as prune_file
    from sbert_vcf.cache_file import size_text

    if max_size is None and unused is None:
        raise click.UsageError("say what to drop: --max-size, --unused or both")
    done = prune_file(file, max_bytes=max_size, unused_days=unused)
    click.echo(
        f"{file}: {done.removed:,} scores removed, {done.kept:,} kept; "
        f"{size_text(done.size_before)} before, {size_text(done.size_after)} now"
    )
