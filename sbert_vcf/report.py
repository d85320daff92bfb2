"""Results of a few variants as a table or as JSON."""

import json
from collections.abc import Iterable, Sequence

from sbert_vcf import fields
from sbert_vcf.results import AlleleResult
from sbert_vcf.variant import Variant

Scored = tuple[Variant, AlleleResult]


def as_table(scored: Iterable[Scored], delta: bool) -> str:
    """Return tab-separated lines with a header: one per variant and gene, one for a variant without a score."""
    columns = ["variant", "status", "symbol", "gene", "strand", "strand_source", "kl", *(["delta"] if delta else [])]
    rows = [columns]
    for variant, result in scored:
        head = [str(variant), result.status.value]
        if not result.scores:
            rows.append([*head, *["."] * (len(columns) - 2)])
        for score in result.scores:
            place = score.placement
            row = [*head, place.symbol, place.gene, place.strand, place.source, fields.text(score.kl)]
            rows.append([cell or "." for cell in (*row, *([fields.text(score.delta)] if delta else []))])
    return "".join("\t".join(row) + "\n" for row in rows)


def as_json_text(scored: Sequence[Scored]) -> str:
    """Return a JSON list with one object per variant, its scores by gene inside; floats in full."""
    objects = [
        {
            "variant": str(variant),
            "status": result.status.value,
            "allele": None
            if result.allele is None
            else {
                "contig": result.allele.contig,
                "start": result.allele.start,
                "end": result.allele.end,
                "alt": result.allele.alt,
            },
            "kl": result.kl,
            "delta": result.delta,
            "genes": [{**score.placement._asdict(), "kl": score.kl, "delta": score.delta} for score in result.scores],
        }
        for variant, result in scored
    ]
    return json.dumps(objects, indent=2) + "\n"
