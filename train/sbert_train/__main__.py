"""`python -m sbert_train`: the training commands without the annotator."""

import sys

import click

from sbert_model.errors import SbertError
from sbert_train.cli import train

if __name__ == "__main__":
    try:
        train()
    except SbertError as error:
        click.echo(f"sbert_train: error: {error}", err=True)
        sys.exit(1)
