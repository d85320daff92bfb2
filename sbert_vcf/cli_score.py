"""`sbert-vcf score`."""

from typing import Any

import click

from sbert_vcf.cli_options import check_strand, scoring_options, verbosity_options


@click.command()
@click.argument("variants", nargs=-1, required=True, metavar="CONTIG:POS:REF:ALT...")
@scoring_options
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@verbosity_options
def score(variants: tuple[str, ...], as_json: bool, quiet: bool, verbose: bool, **scoring: Any) -> None:
    """Score variants, for example chr7:117199644:ATCT:A, and print one line per variant and gene."""
    from sbert_vcf.cli import set_verbosity

    set_verbosity(quiet, verbose)
    check_strand(scoring)
    if scoring["strand"] == "csq":
        raise click.UsageError("--strand csq is for annotate: variants given here have no consequence field")

    from sbert_model.device import use_cpu_threads
    from sbert_vcf.annotator import Annotator
    from sbert_vcf.line_source import silence_htslib
    from sbert_vcf.notices import Notices
    from sbert_vcf.options import ScoringOptions
    from sbert_vcf.report import as_json_text, as_table
    from sbert_vcf.variant import Variant

    silence_htslib()
    parsed = [Variant.parse(text) for text in variants]
    options = ScoringOptions(**scoring)
    use_cpu_threads(options.threads)
    with Annotator.open(options, notices=Notices()) as annotator:
        results = list(zip(parsed, annotator.score(parsed), strict=True))
        annotator.log_windows()
    click.echo(as_json_text(results) if as_json else as_table(results, annotator.optional_fields), nl=False)
