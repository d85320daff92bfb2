"""Options that `annotate` and `score` share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

STRANDS = ("auto", "csq", "genes", "both", "+", "-")
_Command = TypeVar("_Command", bound=Callable[..., Any])

_SCORING = (
    click.option("-r", "--reference", metavar="FASTA", help="Reference genome, plain or bgzipped."),
    click.option("-g", "--genes", metavar="GTF", help="Genes (GTF or GFF3) that tell strands and exons."),
    click.option("-m", "--model", metavar="NAME", help="A model of `sbert-vcf models list`, or a model folder."),
    click.option(
        "--strand",
        type=click.Choice(STRANDS),
        default="auto",
        show_default=True,
        help="Where the strand comes from: auto = CSQ, else --genes, else both strands.",
    ),
    click.option("--alias", metavar="TSV", help="Two tab-separated names of one contig a line."),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="auto, cpu, mps, cuda (all GPUs) or some of them: cuda:0 or cuda:0,cuda:2.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="N",
        help="Processes that share the CPU (a GPU has one each).",
    ),
    click.option(
        "--precision",
        type=click.Choice(["auto", "float32", "split", "float16", "bfloat16"]),
        default="auto",
        show_default=True,
        help="auto: split on NVIDIA GPUs, else float32, which is as exact; half precision ruins KL-context.",
    ),
    click.option(
        "--batch-size", type=click.IntRange(min=1), metavar="N", help="Alleles gathered for the model at a time."
    ),
    click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads; default: all it may use."),
    click.option(
        "--branchpoint-model",
        metavar="NAME",
        help="Of branchpoint disruption, a name or a model folder; none leaves it out. "
        "Default: bundled-branchpoint, where acceptors are known (--genes with exons, or HGVSc).",
    ),
    click.option(
        "--bp-distance",
        type=click.IntRange(0, 241),
        default=0,
        show_default=True,
        metavar="NT",
        help="Branchpoints also of variants this far from the 18-44 nt region before an acceptor (3 at least).",
    ),
    click.option(
        "--cache", metavar="FILE", help="Score cache: look scores up in it, and note new ones for later runs."
    ),
    click.option("--delta", is_flag=True, help="Also p(alt) - p(ref) at the masked position (one more pass per SNV)."),
)


def scoring_options(command: _Command) -> _Command:
    """Add the options that choose reference, genes, model, strand and device."""
    for option in reversed(_SCORING):
        command = option(command)
    return command


def check_strand(scoring: dict[str, Any]) -> None:
    """Raise UsageError for a --strand that lacks the option it needs."""
    if scoring["strand"] == "genes" and scoring["genes"] is None:
        raise click.UsageError("--strand genes needs --genes")


def verbosity_options(command: _Command) -> _Command:
    """Add -q and -v."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Say more on stderr: window, batches, threads."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors on stderr."),
    ):
        command = option(command)
    return command
