"""What is written into INFO: the one table of fields, their header lines and their values."""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sbert_vcf.results import AlleleResult, GeneScore
from sbert_vcf.strand import Placement
from sbert_vcf.variant import Status


class InfoField(NamedTuple):
    """One INFO field with one value per ALT: its header declaration and the value of a result."""

    id: str
    type: str
    description: str
    value: Callable[[AlleleResult], float | str | None]


class PackedColumn(NamedTuple):
    """One column of the packed field: its name, and its value of a result, a placement or a score."""

    name: str
    value: Callable[[Any], float | str | None]


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
ALLELE_COLUMNS = (
    PackedColumn("Allele", lambda result: result.alt),
    PackedColumn("ALLELE_NUM", lambda result: str(result.number)),
)
PLACEMENT_COLUMNS = (
    PackedColumn("Consequence", lambda placement: placement.consequence),
    PackedColumn("SYMBOL", lambda placement: placement.symbol),
    PackedColumn("Gene", lambda placement: placement.gene),
    PackedColumn("Feature", lambda placement: placement.feature),
    PackedColumn("STRAND", lambda placement: "1" if placement.strand == "+" else "-1"),
    PackedColumn("STRAND_SOURCE", lambda placement: placement.source),
)
SCORE_COLUMNS = (
    PackedColumn("KL", lambda score: score.kl),
    PackedColumn("KL_DONOR", lambda score: score.splice_sites.donor),
    PackedColumn("KL_ACCEPTOR", lambda score: score.splice_sites.acceptor),
    PackedColumn("BP_LOSS", lambda score: score.branchpoint and score.branchpoint.loss),
    PackedColumn("BP_GAIN", lambda score: score.branchpoint and score.branchpoint.gain),
    PackedColumn("BP_POS", lambda score: score.branchpoint and _integer(score.branchpoint.position)),
    PackedColumn("BP_ACCEPTOR", lambda score: score.branchpoint and _integer(score.branchpoint.acceptor + 1)),
)
PACKED_COLUMNS = (*ALLELE_COLUMNS, *PLACEMENT_COLUMNS, *SCORE_COLUMNS)
"""A value per ALT and gene each: of the AlleleResult, of the Placement, of the GeneScore."""


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
        for field in _written(frozenset(optional))
    ]
    columns = "|".join(column.name for column in PACKED_COLUMNS)
    lines.append(
        f'##INFO=<ID={PACKED_ID},Number=.,Type=String,Description="SpliceBERT scores per ALT and gene. '
        f'Format: {columns}">'
    )
    return lines


def info_text(results: Sequence[AlleleResult], optional: Collection[str]) -> str:
    """Return our part of a record's INFO column for the results of its ALTs, in ALT order."""
    written = _written(frozenset(optional))
    packed = [_packed(result, score) for result in results for score in result.scores]
    if not packed:
        return _unscored(tuple([result.status for result in results]), written)
    return f"{_per_allele(results, written)};{PACKED_ID}={','.join(packed)}"


def _per_allele(results: Sequence[AlleleResult], written: Sequence[InfoField]) -> str:
    return ";".join(
        [f"{field.id}={','.join([text(field.value(result)) or '.' for result in results])}" for field in written]
    )


@lru_cache(maxsize=1024)
def _unscored(statuses: tuple[Status, ...], written: tuple[InfoField, ...]) -> str:
    """Return the fields of alleles without a score: most records of a genome have the same ones."""
    return _per_allele([AlleleResult("", number, status) for number, status in enumerate(statuses, 1)], written)


def _packed(result: AlleleResult, score: GeneScore) -> str:
    """Return an entry of the packed field."""
    return f"{_columns(ALLELE_COLUMNS, result)}|{_placement_text(score.placement)}|{_columns(SCORE_COLUMNS, score)}"


def _columns(columns: Sequence[PackedColumn], of: AlleleResult | Placement | GeneScore) -> str:
    return "|".join([text(column.value(of)) for column in columns])


@lru_cache(maxsize=1024)
def _placement_text(placement: Placement) -> str:
    """Return the columns of a placement, which neighbours share."""
    return _columns(PLACEMENT_COLUMNS, placement)


@lru_cache
def _written(optional: frozenset[str]) -> tuple[InfoField, ...]:
    return tuple(field for field in FIELDS if field.id in optional or field.id not in OPTIONAL_IDS)


def text(value: float | str | None) -> str:
    """Six significant digits, as htslib prints the 32-bit floats of BCF; text is percent-encoded; None is empty."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value.translate(_ESCAPES)
