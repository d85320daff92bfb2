"""`sbert-vcf score`."""

from typing import Any

import click

from sbert_vcf.cli_options import scoring_options, verbosity_options


@click.command()
@click.argument("variants", nargs=-1, required=True, metavar="CONTIG:POS:REF:ALT...")
@scoring_options
@click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")
@verbosity_options
def score(variants: tuple[str, ...], as_json: bool, quiet: bool, verbose: bool, **scoring: Any) -> None:
    """Score variants, for example chr7:117199644:ATCT:A, and print one line per variant and gene."""
    from sbert_vcf.cli import set_verbosity

    set_verbosity(quiet, verbose)

    from sbert_model.device import use_cpu_threads
    from sbert_vcf.annotator import Annotator
    from sbert_vcf.notices import Notices
    from sbert_vcf.options import ScoringOptions
    from sbert_vcf.report import as_json_text, as_table
    from sbert_vcf.variant import Variant

    parsed = [Variant.parse(text) for text in variants]
    options = ScoringOptions(**scoring)
    use_cpu_threads(options.threads)
    with Annotator.open(options, notices=Notices()) as annotator:
        results = list(zip(parsed, annotator.score(parsed), strict=True))
    click.echo(as_json_text(results) if as_json else as_table(results, options.delta), nl=False)
