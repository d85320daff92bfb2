"""The command that scores a masked language model."""

import click


@click.command("evaluate-mlm")
def evaluate_mlm() -> None:
    """Score a model on masked bases of held-out pieces."""
