"""What is written into INFO: the one table of fields, their header lines and their values."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from sbert_vcf.results import AlleleResult, GeneScore
from sbert_vcf.variant import Status


class InfoField(NamedTuple):
    """One INFO field with one value per ALT: its header declaration and the value of a result."""

    id: str
    type: str
    description: str
    value: Callable[[AlleleResult], float | str | None]


class PackedColumn(NamedTuple):
    """One column of the packed field, with a value per ALT and gene."""

    name: str
    value: Callable[[AlleleResult, GeneScore], float | str | None]


DELTA_ID = "SBERT_DELTA"
SS_ID = "SBERT_SS"
BP_ID = "SBERT_BP"
OPTIONAL_IDS = frozenset({DELTA_ID, SS_ID, BP_ID})
"""Fields that only some runs write: what a run writes of them depends on its options and its annotation."""
FIELDS = (
    InfoField(
        "SBERT_KL",
        "Float",
        "KL-context: log divergence between SpliceBERT's predictions with and without the allele, summed over 100 "
        "flanking positions (nats; higher = more disruptive; floor -1381.55); maximum over strands",
        lambda result: result.kl,
    ),
    InfoField(
        SS_ID,
        "Float",
        "Splice-site KL: divergence between SpliceBERT's predictions with and without the allele at the nearest exon's "
        "splice sites, averaged over the two intronic bases of each, donor + acceptor (nats; higher = more "
        "disruptive); maximum over transcripts",
        lambda result: result.ss,
    ),
    InfoField(
        BP_ID,
        "Float",
        "Branchpoint disruption: largest loss of branchpoint probability 18-44 nt upstream of an acceptor (0 to 1); "
        "maximum over acceptors; only alleles that reach such a region",
        lambda result: result.bp,
    ),
    InfoField(
        DELTA_ID,
        "Float",
        "SpliceBERT probability of the ALT base minus that of the REF base at the masked position; single-nucleotide "
        "substitutions only; of largest magnitude over strands",
        lambda result: result.delta,
    ),
    InfoField(
        "SBERT_STATUS",
        "String",
        "OK, or why this ALT has no score: "
        + " ".join(status.value for status in Status if status not in (Status.OK, Status.NO_ALT)),
        lambda result: result.status.value,
    ),
)

PACKED_ID = "SBERT"
PACKED_COLUMNS = (
    PackedColumn("Allele", lambda result, score: result.alt),
    PackedColumn("ALLELE_NUM", lambda result, score: str(result.number)),
    PackedColumn("Consequence", lambda result, score: score.placement.consequence),
    PackedColumn("SYMBOL", lambda result, score: score.placement.symbol),
    PackedColumn("Gene", lambda result, score: score.placement.gene),
    PackedColumn("Feature", lambda result, score: score.placement.feature),
    PackedColumn("STRAND", lambda result, score: "1" if score.placement.strand == "+" else "-1"),
    PackedColumn("STRAND_SOURCE", lambda result, score: score.placement.source),
    PackedColumn("KL", lambda result, score: score.kl),
    PackedColumn("KL_DONOR", lambda result, score: score.splice_sites.donor),
    PackedColumn("KL_ACCEPTOR", lambda result, score: score.splice_sites.acceptor),
    PackedColumn("BP_LOSS", lambda result, score: score.branchpoint and score.branchpoint.loss),
    PackedColumn("BP_GAIN", lambda result, score: score.branchpoint and score.branchpoint.gain),
    PackedColumn("BP_POS", lambda result, score: score.branchpoint and _integer(score.branchpoint.position)),
    PackedColumn("BP_ACCEPTOR", lambda result, score: score.branchpoint and _integer(score.branchpoint.acceptor + 1)),
)


def _integer(value: int | None) -> str | None:
    return None if value is None else str(value)


OUR_IDS = frozenset([PACKED_ID, *(field.id for field in FIELDS)])

# Control characters, and those with a meaning inside an INFO value or in the packed field (VCF 4.3, section 1.2).
# Not %: what VEP has encoded stays as it is.
_ESCAPES = {code: f"%{code:02X}" for code in (*range(33), *map(ord, ",;=|"), 127)}


def header_lines(optional: Collection[str]) -> list[str]:
    """Return the ##INFO lines of the fields that are written; `optional`: those of OPTIONAL_IDS among them."""
    lines = [
        f'##INFO=<ID={field.id},Number=A,Type={field.type},Description="{field.description}">'
        for field in _written(optional)
    ]
    columns = "|".join(column.name for column in PACKED_COLUMNS)
    lines.append(
        f'##INFO=<ID={PACKED_ID},Number=.,Type=String,Description="SpliceBERT scores per ALT and gene. '
        f'Format: {columns}">'
    )
    return lines


def info_text(results: Sequence[AlleleResult], optional: Collection[str]) -> str:
    """Return our part of a record's INFO column for the results of its ALTs, in ALT order."""
    parts = [
        f"{field.id}={','.join(text(field.value(result)) or '.' for result in results)}" for field in _written(optional)
    ]
    packed = [
        "|".join(text(column.value(result, score)) for column in PACKED_COLUMNS)
        for result in results
        for score in result.scores
    ]
    if packed:
        parts.append(f"{PACKED_ID}={','.join(packed)}")
    return ";".join(parts)


def _written(optional: Collection[str]) -> list[InfoField]:
    return [field for field in FIELDS if field.id in optional or field.id not in OPTIONAL_IDS]


def text(value: float | str | None) -> str:
    """Six significant digits, as htslib prints the 32-bit floats of BCF; text is percent-encoded; None is empty."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value.translate(_ESCAPES)
