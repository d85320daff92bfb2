"""Print the scores of an annotated VCF as a table: one line per alternate allele.

Run: python examples/show.py ANNOTATED.vcf.gz
"""

import sys
from collections.abc import Iterator
from urllib.parse import unquote

from cyvcf2 import VCF, Variant

SCORES = {"SBERT_KL": ".2f", "SBERT_SS": ".4f", "SBERT_BP": ".3f"}
TITLES = ("variant", "gene", "strand", "consequence", *SCORES, "status")
WIDEST_ALLELE = 12


def packed_columns(vcf: VCF) -> list[str]:
    """Return the names of the columns in the SBERT field, which its header line lists behind `Format: `."""
    description: str = vcf.get_header_type("SBERT")["Description"]
    return description.strip('"').partition("Format: ")[2].split("|")


def rows(variant: Variant, columns: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield the texts of each ALT's line; genes that share an allele are joined by commas."""
    place = f"{variant.CHROM}:{variant.POS} {shortened(variant.REF)}>"
    if not variant.ALT:
        yield (f"{place}.", *[""] * (len(TITLES) - 2), "no ALT")
        return
    statuses = str(variant.INFO["SBERT_STATUS"]).split(",")
    scores = {name: per_alt(variant, name) for name in SCORES}
    packed = variant.INFO.get("SBERT")
    entries = [dict(zip(columns, entry.split("|"), strict=True)) for entry in packed.split(",")] if packed else []
    for number, (alt, status) in enumerate(zip(variant.ALT, statuses, strict=True), 1):
        own = [entry for entry in entries if entry["ALLELE_NUM"] == str(number)]
        yield (
            place + shortened(alt),
            joined(entry["SYMBOL"] or entry["Gene"] for entry in own),
            joined({"1": "+", "-1": "-"}[entry["STRAND"]] for entry in own),
            joined(entry["Consequence"] for entry in own),
            *(
                "" if (score := values[number - 1]) is None else format(score, SCORES[name])
                for name, values in scores.items()
            ),
            status,
        )


def per_alt(variant: Variant, name: str) -> tuple[float | None, ...]:
    """Return a score of each ALT, None where there is none."""
    values = variant.INFO.get(name)
    return values if isinstance(values, tuple) else (values,) * len(variant.ALT)


def joined(values: Iterator[str]) -> str:
    """Return the different values, first come first."""
    return ",".join(unquote(value) for value in dict.fromkeys(values) if value)


def shortened(allele: str) -> str:
    """Return the allele, or its beginning and its length."""
    return allele if len(allele) <= WIDEST_ALLELE else f"{allele[: WIDEST_ALLELE - 4]}…{len(allele)}"


def main() -> None:
    """Print the table of the file named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: show.py ANNOTATED.vcf.gz")
    try:
        vcf = VCF(sys.argv[1])
        columns = packed_columns(vcf)
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: cannot read: {error}")
    except KeyError:
        sys.exit(f"{sys.argv[1]}: no SBERT field in the header: annotate it first with `sbert-vcf annotate`")
    table = [TITLES, *(row for variant in vcf for row in rows(variant, columns))]
    widths = [max(len(row[column]) for row in table) for column in range(len(TITLES))]
    for row in table:
        cells = [
            text.rjust(width) if title in SCORES else text.ljust(width)
            for title, text, width in zip(TITLES, row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    main()
