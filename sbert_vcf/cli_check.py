"""`sbert-vcf models check`."""

import sys
from typing import TYPE_CHECKING, Any

import click

from sbert_vcf.cli_options import verbosity_options

if TYPE_CHECKING:
    from sbert_vcf.accuracy import Check, Figure


@click.command()
@click.argument("name")
@click.argument("vcf", required=False)
@click.option("-r", "--reference", metavar="FASTA", help="Reference genome of VCF.")
@click.option("-g", "--genes", metavar="GTF", help="Genes of VCF, without which no splice sites are measured.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", default="auto", show_default=True, help="As for annotate.")
@click.option("--variants", type=click.IntRange(min=2), default=200, show_default=True, help="Alleles to score.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads; default: all it may use.")
@click.option("--branchpoint-model", metavar="NAME", help="As for annotate.")
@verbosity_options
def check(name: str, vcf: str | None, variants: int, quiet: bool, verbose: bool, **scoring: Any) -> None:
    """Measure how exact a model's scores are on this device.

    NAME is one that `models list` shows, or a model folder. Its scores of the first alleles of VCF are compared with
    those of the same model in float64, on the same NVIDIA GPU or else on the CPU, where that takes some seconds an
    allele. Without VCF the alleles are made up, around splice sites of made-up genes. Exit code 1: outside the accuracy
    contract.
    """
    from sbert_vcf.cli import set_verbosity

    set_verbosity(quiet, verbose)
    if vcf is None and (scoring["reference"] or scoring["genes"]):
        raise click.UsageError("--reference and --genes go with a VCF")

    from sbert_model.device import use_cpu_threads
    from sbert_model.errors import DeviceError
    from sbert_vcf.accuracy import check as measure
    from sbert_vcf.line_source import silence_htslib
    from sbert_vcf.options import ScoringOptions

    silence_htslib()
    use_cpu_threads(scoring["threads"])
    done = measure(ScoringOptions(model=name, **scoring), vcf, variants, progress=sys.stderr.isatty() and not quiet)
    click.echo(_table(done))
    if not done.kept:
        raise DeviceError(f"{done.precision} on {done.device} is outside the accuracy contract for {done.model}")


def _table(done: "Check") -> str:
    from sbert_vcf.accuracy import ALLELES

    few = "" if done.alleles >= ALLELES else f"; the contract is for at least {ALLELES}"
    rows = [("score", "figure", "values", "measured", "limit", ""), *map(_row, done.figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        [
            f"{done.model} (sha256 {done.sha256[:12]}…), {done.precision} on {done.device}, against float64 on the "
            f"{'GPU' if done.device.startswith('cuda') else 'CPU'}",
            f"{done.alleles} alleles of {done.data}{few}",
            "",
            *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows),
        ]
    )


def _row(figure: "Figure") -> tuple[str, ...]:
    limit = f"{'>=' if figure.at_least else '<='} {figure.limit:g}"
    measured = f"{figure.measured:.6f}" if figure.at_least else f"{figure.measured:.2g}"
    return figure.score, figure.name, f"{figure.values:,}", measured, limit, "kept" if figure.kept else "NOT KEPT"
