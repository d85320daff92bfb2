"""The command that builds a corpus folder."""

import click


@click.command()
def corpus() -> None:
    """Build a corpus folder."""
