"""`sbert-vcf verify`."""

from typing import TYPE_CHECKING, Any

import click

from sbert_vcf.cli_options import verbosity_options

if TYPE_CHECKING:
    from sbert_vcf.verify import Row, Verification

_LISTED = 10


@click.command()
@click.argument("vcf", metavar="ANNOTATED")
@click.option("-r", "--reference", metavar="FASTA", help="The reference genome that annotate was given.")
@click.option("-g", "--genes", metavar="GTF", help="The genes that annotate was given, if any.")
@click.option("-m", "--model", metavar="NAME", help="The model, where it is not found under the header's name.")
@click.option("--branchpoint-model", metavar="NAME", help="The same for the branchpoint model.")
@click.option("--alias", metavar="TSV", help="The contig names that annotate was given, if any.")
@click.option("--sample", type=click.IntRange(min=1), default=200, show_default=True, help="Records to compute anew.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed draws other records.")
@click.option("--device", default="auto", show_default=True, help="As for annotate.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads; default: all it may use.")
@verbosity_options
def verify(vcf: str, sample: int, seed: int, quiet: bool, verbose: bool, **scoring: Any) -> None:
    """Check a VCF or BCF that annotate has made.

    Models, reference, genes and version are compared with those that the header of ANNOTATED names, then a random
    sample of its records is computed anew. Exit code 1: something differs.
    """
    from sbert_vcf.cli import set_verbosity

    set_verbosity(quiet, verbose)

    from sbert_model.device import use_cpu_threads
    from sbert_model.errors import InputError
    from sbert_vcf.options import ScoringOptions
    from sbert_vcf.verify import verify as check

    use_cpu_threads(scoring["threads"])
    found = check(vcf, ScoringOptions(**scoring), sample, seed)
    click.echo(_table(vcf, seed, found))
    reasons = list(found.settings)
    if found.differences:
        values = sum(row.compared for row in found.rows.values())
        reasons.append(f"{len(found.differences)} of {values} values differ")
    if reasons:
        raise InputError(f"{vcf}: not verified: {'; '.join(reasons)}")


def _table(vcf: str, seed: int, found: "Verification") -> str:
    rows = [("field", "compared", "differ", "largest difference", "tolerance"), *map(_cells, found.rows.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    more = len(found.differences) - _LISTED
    return "\n".join(
        [
            f"{vcf}: {found.model} (sha256 {found.sha256[:12]}…), {found.precision}",
            f"made on {found.made_on}, checked on {found.checked_on}",
            f"{found.sampled:,} of {found.records:,} records with an ALT (seed {seed}), {found.alleles:,} alleles",
            "",
            *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows),
            *(["", *found.differences[:_LISTED]] if found.differences else []),
            *([f"and {more:,} more"] if more > 0 else []),
        ]
    )


def _cells(row: "Row") -> tuple[str, ...]:
    from sbert_vcf.verify import TOLERANCES

    counts = row.name, f"{row.compared:,}", f"{row.differing:,}"
    if row.name not in TOLERANCES:
        return *counts, "", "none"
    limit, relative = TOLERANCES[row.name]
    return *counts, _amount(row.largest, relative), _amount(limit, relative)


def _amount(value: float, relative: bool) -> str:
    return f"{100 * value:.2g} %" if relative else f"{value:.2g}"
