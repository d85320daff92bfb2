"""`sbert-vcf mutagenesis`."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sbert_model.errors import InputError
from sbert_vcf.cli_options import check_strand, scoring_options, verbosity_options

if TYPE_CHECKING:
    from sbert_vcf.mutagenesis_targets import Target

_BP_DISTANCE = 30
"""By default the branchpoint model judges every base of the stretch before an acceptor."""


def _parse_targets(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> "tuple[Target, ...]":
    from sbert_vcf.mutagenesis_targets import parse_target

    try:
        return tuple(map(parse_target, value))
    except InputError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _check_plot(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and Path(value).suffix not in (".png", ".svg"):
        raise click.BadParameter(f"{value!r}: the name of a figure ends with .png or .svg", ctx, param)
    return value


@click.command(context_settings={"default_map": {"bp_distance": _BP_DISTANCE}})
@click.argument("targets", nargs=-1, required=True, metavar="REGION|TRANSCRIPT:INTRON...", callback=_parse_targets)
@click.option("-o", "--output", default="-", metavar="FILE", help="TSV, or TSV.gz by suffix; default stdout.")
@click.option("--plot", callback=_check_plot, metavar="FILE", help="Also heat maps, as .png or .svg.")
@click.option(
    "--upstream",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    metavar="NT",
    help="Bases of the intron, before TRANSCRIPT's acceptor.",
)
@click.option(
    "--downstream",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="NT",
    help="Bases of the exon, behind TRANSCRIPT's acceptor.",
)
@scoring_options
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--progress/--no-progress", default=None, help="Progress on stderr; default: on a terminal.")
@verbosity_options
def mutagenesis(
    targets: tuple["Target", ...],
    output: str,
    plot: str | None,
    upstream: int,
    downstream: int,
    overwrite: bool,
    progress: bool | None,
    quiet: bool,
    verbose: bool,
    **scoring: Any,
) -> None:
    """Score every substitution in a region, or around a transcript's acceptor.

    REGION is contig:start-end (1-based, inclusive). TRANSCRIPT:INTRON is a transcript of --genes, or a gene that has
    only one, and the number of the intron that its acceptor ends, such as NM_000492:5.
    """
    from sbert_vcf.cli import set_verbosity

    set_verbosity(quiet, verbose)
    check_strand(scoring)
    if scoring["strand"] == "csq":
        raise click.UsageError("--strand csq is for annotate: there is no consequence field here")

    from sbert_vcf.line_source import silence_htslib
    from sbert_vcf.mutagenesis import MutagenesisOptions
    from sbert_vcf.mutagenesis import mutagenesis as run
    from sbert_vcf.mutagenesis_targets import AcceptorTarget
    from sbert_vcf.notices import LOGGER
    from sbert_vcf.options import ScoringOptions

    if scoring["genes"] is None and (named := [item for item in targets if isinstance(item, AcceptorTarget)]):
        raise click.UsageError(f"{named[0].text} is a transcript's acceptor, which needs --genes")
    silence_htslib()
    shown = (sys.stderr.isatty() and not quiet) if progress is None else progress
    options = MutagenesisOptions(output, plot, upstream, downstream, overwrite, shown)
    started = time.monotonic()
    tally = run(targets, options, ScoringOptions(**scoring))
    counts = ", ".join(f"{status.value} {count}" for status, count in tally.most_common())
    LOGGER.info("%s in %.1f s", counts, time.monotonic() - started)
