"""Results of a few variants as a table or as JSON."""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from sbert_vcf import fields
from sbert_vcf.results import AlleleResult, GeneScore
from sbert_vcf.variant import Variant

Scored = tuple[Variant, AlleleResult]


_OPTIONAL: dict[str, tuple[str, Callable[[GeneScore], float | None]]] = {
    fields.SS_ID: ("ss", lambda score: score.splice_sites.total),
    fields.BP_ID: ("bp", lambda score: score.branchpoint and score.branchpoint.loss),
    fields.DELTA_ID: ("delta", lambda score: score.delta),
}


def as_table(scored: Iterable[Scored], optional: Collection[str]) -> str:
    """Return tab-separated lines with a header: one per variant and gene, one for a variant without a score.

    Names of genes are percent-encoded, as they are in a VCF: a GFF3 may name one with a tab.
    optional: the INFO fields of fields.OPTIONAL_IDS that get a column.
    """
    chosen = [column for field, column in _OPTIONAL.items() if field in optional]
    columns = ["variant", "status", "symbol", "gene", "strand", "strand_source", "kl", *(name for name, _ in chosen)]
    rows = [columns]
    for variant, result in scored:
        head = [str(variant), result.status.value]
        if not result.scores:
            rows.append([*head, *["."] * (len(columns) - 2)])
        for score in result.scores:
            place = score.placement
            names = fields.text(place.symbol), fields.text(place.gene)
            row = [*head, *names, place.strand, place.source, fields.text(score.kl)]
            rows.append([cell or "." for cell in (*row, *(fields.text(value(score)) for _, value in chosen))])
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
            "ss": result.ss,
            "bp": result.bp,
            "delta": result.delta,
            "genes": [_gene_object(score) for score in result.scores],
        }
        for variant, result in scored
    ]
    return json.dumps(objects, indent=2) + "\n"


def _gene_object(score: GeneScore) -> dict[str, Any]:
    return {
        **{name: value for name, value in score.placement._asdict().items() if name != "hgvsc"},
        "kl": score.kl,
        "kl_donor": score.splice_sites.donor,
        "kl_acceptor": score.splice_sites.acceptor,
        "branchpoint": score.branchpoint and score.branchpoint._asdict(),
        "delta": score.delta,
    }
