"""`sbert-vcf annotate`."""

import sys
import time
from typing import Any

import click

from sbert_vcf.cli_options import check_strand, scoring_options, verbosity_options


@click.command()
@click.argument("vcf", metavar="VCF")
@click.option("-o", "--output", default="-", metavar="FILE", help="VCF, VCF.gz or BCF by suffix; default stdout.")
@click.option("-O", "--output-type", type=click.Choice(["v", "z", "u", "b"]), help="As bcftools: v, z VCF; u, b BCF.")
@scoring_options
@click.option("--csq-field", metavar="ID", help="INFO field of VEP, SnpEff or bcftools csq; default: found.")
@click.option("--region", metavar="REGION", help="contig or contig:start-end; the input needs an index.")
@click.option("--index/--no-index", default=True, help="Index .vcf.gz and .bcf output.", show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@click.option("--resume", is_flag=True, help="Go on where a run with --resume was cut off, and be ready for the next.")
@click.option(
    "--restart-every",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="With --resume: how often to write a restart point; default: 30.",
)
@click.option("--force", is_flag=True, help="Go on although the genome build looks wrong.")
@click.option("--progress/--no-progress", default=None, help="Progress on stderr; default: on a terminal.")
@verbosity_options
def annotate(
    vcf: str,
    output: str,
    output_type: str | None,
    csq_field: str | None,
    region: str | None,
    index: bool,
    overwrite: bool,
    resume: bool,
    restart_every: float | None,
    force: bool,
    progress: bool | None,
    quiet: bool,
    verbose: bool,
    **scoring: Any,
) -> None:
    """Annotate VCF (a .vcf, .vcf.gz or .bcf file, or - for stdin) with SpliceBERT scores.

    Every ALT allele leaves with a score or with a status that says why it has none.
    """
    from sbert_vcf.cli import set_verbosity

    set_verbosity(quiet, verbose)
    check_strand(scoring)
    if restart_every is not None and not resume:
        raise click.UsageError("--restart-every goes with --resume")

    from sbert_vcf.annotate import RESTART_EVERY, AnnotateOptions
    from sbert_vcf.annotate import annotate as run
    from sbert_vcf.notices import LOGGER
    from sbert_vcf.options import ScoringOptions

    options = AnnotateOptions(
        input=vcf,
        output=output,
        letter=output_type,
        index=index,
        region=region,
        overwrite=overwrite,
        resume=resume,
        restart_every=RESTART_EVERY if restart_every is None else restart_every,
        force=force,
        progress=(sys.stderr.isatty() and not quiet) if progress is None else progress,
    )
    started = time.monotonic()
    tally = run(options, ScoringOptions(csq_field=csq_field, **scoring))
    counts = ", ".join(f"{status.value} {count}" for status, count in tally.most_common() if count)
    LOGGER.info("%s in %.1f s", counts or "no records", time.monotonic() - started)
