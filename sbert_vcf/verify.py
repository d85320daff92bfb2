"""Check an annotated file: its header against what is here, and a sample of its records computed anew."""

import math
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice, zip_longest
from typing import NamedTuple

from sbert_model.device import select_devices
from sbert_model.errors import InputError, ModelError
from sbert_model.precision import Precision, why_not_split
from sbert_model.scoring import KL_FLOOR
from sbert_vcf import fields
from sbert_vcf.annotator import Annotator
from sbert_vcf.consequence import ConsequenceField, find_field
from sbert_vcf.header import Header
from sbert_vcf.notices import Notices
from sbert_vcf.options import NO_MODEL, ScoringOptions
from sbert_vcf.provenance import read_facts, run_facts
from sbert_vcf.strand import Site
from sbert_vcf.vcf_input import Record, VcfInput

SAMPLE = 200
_SPLIT = Precision.SPLIT.value
_FIXED_STRANDS = ("both", "+", "-")
_NEEDED = ("Version", "Model", "ModelSHA256", "Precision", "Device", "Strand", "ReferenceIndexSHA256")
# What has to be the same, by its name in the header. Lines of before StrandMode say nothing of what stands behind it.
_COMPARED = ("Version", "ModelSHA256", "BranchpointModelSHA256", "Window", "Precision", "ReferenceIndexSHA256")
_COMPARED_SINCE = ("GenesSHA256", "AliasesSHA256")


class Tolerance(NamedTuple):
    """How far two values may be apart: absolutely, or as a share of the value (of 1e-6 at least)."""

    limit: float
    relative: bool = False

    def difference(self, one: float, other: float) -> float:
        """Return the difference in the unit of the limit; NaN is infinitely far from everything."""
        found = abs(one - other) / (max(abs(one), abs(other), KL_FLOOR) if self.relative else 1)
        return math.inf if math.isnan(found) else found


_KL, _SITE, _PROBABILITY = Tolerance(0.05), Tolerance(0.01, relative=True), Tolerance(0.001)
TOLERANCES = {
    "SBERT_KL": _KL,
    fields.SS_ID: _SITE,
    fields.BP_ID: _PROBABILITY,
    fields.DELTA_ID: _PROBABILITY,
    "SBERT KL": _KL,
    "SBERT KL_DONOR": _SITE,
    "SBERT KL_ACCEPTOR": _SITE,
    "SBERT BP_LOSS": _PROBABILITY,
    "SBERT BP_GAIN": _PROBABILITY,
}
"""Of every field that is a number; all else has to be equal. They lie between what devices differ by and the accuracy
contract; scores are written with six digits, which is finer."""


@dataclass
class Row:
    """One field: how many values were compared and differ, and the largest difference in the tolerance's unit."""

    name: str
    compared: int = 0
    differing: int = 0
    largest: float = 0.0


@dataclass
class Verification:
    """What a check has found: settings that differ, values that differ, each as a text, and a row for each field."""

    model: str
    sha256: str
    precision: str
    made_on: str
    checked_on: str
    settings: list[str]
    records: int = 0
    sampled: int = 0
    alleles: int = 0
    rows: dict[str, Row] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def compare(self, record: Record, computed: str) -> None:
        """Compare the fields of a record with what is computed, as INFO text."""
        self.sampled += 1
        self.alleles += len(record.alts)
        written, anew = _ours(record.columns[7]), _ours(computed)
        for name in dict.fromkeys([*anew, *written]):
            split = _packed if name == fields.PACKED_ID else _by_alt
            pairs = zip_longest(split(name, written.get(name, "")), split(name, anew.get(name, "")), fillvalue=None)
            for one, other in pairs:
                cell = one or other
                assert cell is not None
                self._compare(record, cell.name, one.text if one else "nothing", other.text if other else "nothing")

    def _compare(self, record: Record, name: str, written: str, computed: str) -> None:
        tolerance = TOLERANCES.get(name)
        if tolerance and written == computed and written in ("", "."):
            return
        row = self.rows.setdefault(name, Row(name))
        row.compared += 1
        one, other = _number(written), _number(computed)
        if tolerance and one is not None and other is not None:
            difference = tolerance.difference(one, other)
            row.largest = max(row.largest, difference)
            if difference <= tolerance.limit:
                return
        elif written == computed:
            return
        row.differing += 1
        where = f"{record.contig}:{record.start + 1} {record.ref[:20]}>{','.join(record.alts)[:40]}"
        self.differences.append(f"{where} {name}: written {written or 'nothing'}, computed {computed or 'nothing'}")


class _Cell(NamedTuple):
    name: str
    text: str


def verify(name: str, options: ScoringOptions, sample: int = SAMPLE, seed: int = 1) -> Verification:
    """Compute a random sample of an annotated file's records anew, with the models and settings that its header names.

    options: where reference, genes and models are found here, and the device; None leaves a model to the header.
    Raises InputError for a file that annotate has not made or whose models, reference or genes are not those given,
    and SbertError subclasses as an annotator does.
    """
    notices = Notices()
    with VcfInput(name, notices) as vcf:
        facts = _facts(name, vcf.header)
        scoring = _scoring(name, vcf.header, facts, options)
        consequences = find_field(vcf.header.info, scoring.csq_field)
        with _open(scoring, consequences, vcf.header, notices) as annotator:
            settings = _differences(facts, annotator, vcf.header)
            if any(not text.startswith("Version ") for text in settings):
                raise InputError(f"{name}: cannot be verified: {'; '.join(settings)}")
            model, devices = annotator.model, annotator.devices
            found = Verification(model.name, model.sha256, facts["Precision"], facts["Device"], devices, settings)
            chosen = _sample(vcf, sample, seed, found)
            while group := list(islice(chosen, annotator.batch_size)):
                sites = [_site(record, consequences) for record in group]
                for record, results in zip(group, annotator.score_sites(sites), strict=True):
                    found.compare(record, fields.info_text(results, annotator.optional_fields))
    return found


def _open(
    scoring: ScoringOptions, consequences: ConsequenceField | None, header: Header, notices: Notices
) -> Annotator:
    try:
        return Annotator.open(scoring, field=consequences, header_reference=header.reference, notices=notices)
    except ModelError as error:
        raise ModelError(f"{error}; --model and --branchpoint-model tell where the header's models are") from error


def _facts(name: str, header: Header) -> dict[str, str]:
    runs = read_facts(header.lines)
    if not runs:
        raise InputError(f"{name}: has no ##sbert_vcf line: sbert-vcf has not annotated it, or its header was replaced")
    if len(runs) > 1:
        raise InputError(f"{name}: {len(runs)} ##sbert_vcf lines: it was put together from several runs; check each")
    if missing := [key for key in _NEEDED if key not in runs[0]]:
        raise InputError(f"{name}: its ##sbert_vcf line does not tell {' and '.join(missing)}")
    return runs[0]


def _scoring(name: str, header: Header, facts: Mapping[str, str], options: ScoringOptions) -> ScoringOptions:
    """Return the options of the run that the header tells of, with what is given here."""
    has_genes = "Genes" in facts or fields.SS_ID in header.ids("INFO")
    if has_genes and options.genes is None:
        raise InputError(f"{name}: was made with the genes of {facts.get('Genes', facts['Strand'])}; give --genes")
    strand = facts.get("StrandMode") or (facts["Strand"] if facts["Strand"] in _FIXED_STRANDS else "auto")
    return replace(
        options,
        model=options.model or facts["Model"],
        branchpoint_model=(options.branchpoint_model or facts["BranchpointModel"])
        if "BranchpointModel" in facts
        else NO_MODEL,
        bp_distance=int(facts.get("BranchpointDistance", 0)),
        strand=strand,
        csq_field=facts.get("ConsequenceField"),
        precision=_precision(facts["Precision"], options),
        delta=fields.DELTA_ID in header.ids("INFO"),
    )


def _precision(of_file: str, options: ScoringOptions) -> str:
    """Return the precision in which a file is checked: its own, or float32 where no device here has split."""
    here = select_devices(options.device, options.workers)
    return "float32" if of_file == _SPLIT and any(map(why_not_split, here)) else of_file


def _differences(facts: Mapping[str, str], annotator: Annotator, header: Header) -> list[str]:
    here = run_facts(annotator)
    names = _COMPARED + (_COMPARED_SINCE if "StrandMode" in facts else ())
    found = [
        f"{name} is {facts.get(name, 'none')} in the header and {here.get(name, 'none')} here"
        for name in names
        if facts.get(name) != here.get(name) and not (name == "Precision" and facts[name] == _SPLIT)
    ]
    expected = Header(fields.header_lines(annotator.optional_fields))
    if missing := {*expected.ids("INFO")} ^ (fields.OUR_IDS & {*header.ids("INFO")}):
        found.append(f"INFO {', '.join(sorted(missing))} is declared in the header or computed here, not both")
    columns = [declared.description for declared in header.info if declared.id == fields.PACKED_ID]
    if columns and columns != [declared.description for declared in expected.info if declared.id == fields.PACKED_ID]:
        found.append(f"INFO {fields.PACKED_ID} has other columns")
    return found


def _sample(records: Iterable[Record], size: int, seed: int, found: Verification) -> Iterator[Record]:
    """Draw records that have an ALT, each with the same chance, in one pass; they come in the order of the file."""
    numbers = random.Random(seed)
    drawn: list[tuple[int, Record]] = []
    for record in records:
        if not record.alts:
            continue
        found.records += 1
        if len(drawn) < size:
            drawn.append((found.records, record))
        elif (place := numbers.randrange(found.records)) < size:
            drawn[place] = (found.records, record)
    drawn.sort(key=lambda one: one[0])
    return (record for _, record in drawn)


def _site(record: Record, consequences: ConsequenceField | None) -> Site:
    text = record.info(consequences.id) if consequences else ""
    return Site(record.contig, record.start, record.ref, record.alts, text)


def _ours(info: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in info.split(";"))
    return {key: value for key, _, value in pairs if key in fields.OUR_IDS}


def _by_alt(name: str, value: str) -> list[_Cell]:
    return [_Cell(name, text) for text in value.split(",")]


def _packed(name: str, value: str) -> list[_Cell]:
    """Return the cells of the packed field: one of all that is no score, and one of each score, for every entry."""
    cells = []
    for entry in value.split(",") if value else []:
        texts = dict(zip((column.name for column in fields.PACKED_COLUMNS), entry.split("|"), strict=False))
        scores = {key: texts.pop(key) for key in list(texts) if f"{name} {key}" in TOLERANCES}
        cells.append(_Cell(f"{name} placement", "|".join(texts.values())))
        cells += [_Cell(f"{name} {key}", text) for key, text in scores.items()]
    return cells


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
