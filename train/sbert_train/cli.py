"""The training commands, one file for each subject; what they need is imported when they run."""

import click

from sbert_train.cli_corpus import corpus
from sbert_train.cli_evaluate import evaluate_mlm
from sbert_train.cli_finetune import branchpoint, splice_site
from sbert_train.cli_pretrain import export, pretrain
from sbert_train.cli_soft_targets import soft_targets


@click.group()
def train() -> None:
    """Build corpora, pretrain and evaluate models, for human or any species."""


for command in (corpus, soft_targets, pretrain, evaluate_mlm, export, branchpoint, splice_site):
    train.add_command(command)
