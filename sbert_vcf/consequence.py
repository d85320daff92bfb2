"""The consequence field that VEP (CSQ), SnpEff (ANN) or bcftools csq (BCSQ) left in INFO: where it is, its layout."""

import re
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from sbert_model.errors import InputError
from sbert_vcf.consequence_entries import Entry, entries_of_alt, share_entries

# What SnpEff and bcftools csq call otherwise than VEP.
_OTHER_NAMES = {
    "Allele": ("dna_change",),
    "Consequence": ("Annotation",),
    "SYMBOL": ("Gene_Name", "gene"),
    "Gene": ("Gene_ID",),
    "Feature": ("Feature_ID", "transcript"),
    "STRAND": ("strand",),
    "HGVSc": ("HGVS.c",),
}
# Subfields that mark one transcript of a gene as the one to show; the first that the header has is used.
_PREFERRING = ("PICK", "CANONICAL", "MANE_SELECT")
_KNOWN_IDS = ("CSQ", "vep", "ANN")
_KNOWN_PROGRAMS = ("Ensembl VEP", "BCFtools/csq")
_STRANDS = {"1": "+", "+": "+", "-1": "-", "-": "-"}
# What follows the last "Format:" (VEP) or stands in quotes (SnpEff), up to a closing quote.
_FORMAT = re.compile(r".*format:[\s\\'\"(\[]*([^\\'\"]*)", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r"'([^'|]*\|[^']*)'")


class InfoDeclaration(NamedTuple):
    """One ##INFO line: its ID and its Description."""

    id: str
    description: str


class ConsequenceField:
    """Reads the entries of one INFO field whose subfields the header's Description names."""

    leaves_out_strands = False
    """Whether entries inside transcripts may lack their strand, and records outside genes the whole field."""

    def __init__(self, info_id: str, subfields: Sequence[str]) -> None:
        self.id = info_id
        self.subfields = list(subfields)
        self.declared_otherwise = False
        """Whether the header declares the field once more, with other subfields."""
        index = {name: subfields.index(name) for name in subfields}

        def place(name: str) -> int:
            # Absent subfields read the empty one that every entry gets at its end.
            return next((index[known] for known in (name, *_OTHER_NAMES.get(name, ())) if known in index), -1)

        names = ("Allele", "ALLELE_NUM", "Consequence", "SYMBOL", "Gene", "Feature", "STRAND", "HGVSc")
        places = [place(name) for name in names]
        preferring = next((index[name] for name in _PREFERRING if name in index), -1)
        self._pick = itemgetter(*places, preferring)
        self.has_strand = place("STRAND") >= 0
        self.has_hgvsc = place("HGVSc") >= 0
        self.has_consequence = place("Consequence") >= 0

    def entries(self, value: str) -> list[Entry]:
        """Parse the INFO value, one entry per comma; subfields that an entry lacks are empty."""
        return [self._entry(text.split("|")) for text in value.split(",")]

    def of_alt(self, entries: Sequence[Entry], start: int, ref: str, alts: Sequence[str], index: int) -> list[Entry]:
        """Return the entries about ALT number `index` (0-based) of a record at `start` (0-based)."""
        return entries_of_alt(entries, ref, alts, index)

    def share_entries(self, entries: Sequence[Entry], ref: str, alts: Sequence[str]) -> bool:
        """Tell whether several ALTs of a record have the same entries because nothing tells them apart."""
        return share_entries(entries, ref, alts)

    def _entry(self, parts: list[str]) -> Entry:
        parts += [""] * max(1, len(self.subfields) - len(parts))
        allele, number, consequence, symbol, gene, feature, strand, hgvsc, preferred = self._pick(parts)
        return Entry(
            allele,
            number,
            consequence,
            symbol,
            gene,
            feature,
            _STRANDS.get(strand, ""),
            preferred not in ("", "NO"),
            hgvsc,
        )


class BcftoolsField(ConsequenceField):
    """The field of bcftools csq. It has no allele: what changes the protein names it by its `dna_change`.

    Introns, splice sites and UTRs have no strand, `@123` points to the entry of another record, and records outside
    genes have no field at all.
    """

    leaves_out_strands = True

    def entries(self, value: str) -> list[Entry]:
        """Parse the INFO value; an entry without strand has that of another one of its gene, pointers go last."""
        entries = super().entries(value)
        entries = [entry for entry in entries if not entry.consequence.startswith("@")] or entries
        strands: dict[str, set[str]] = {}
        for entry in entries:
            strands.setdefault(entry.symbol, set()).update([entry.strand] if entry.strand else [])
        return [
            entry._replace(strand=next(iter(strands[entry.symbol])))
            if entry.symbol and not entry.strand and len(strands[entry.symbol]) == 1
            else entry
            for entry in entries
        ]

    def of_alt(self, entries: Sequence[Entry], start: int, ref: str, alts: Sequence[str], index: int) -> list[Entry]:
        """Return the entries whose `dna_change` is that of the ALT, then those that name no ALT of the record.

        Without either, those of the other ALTs: they are in the same gene, with a consequence of their own.
        """
        here = f"{start + 1}{ref}>"
        named = [{part for part in entry.allele.split("+") if part.startswith(here)} for entry in entries]
        own = [entry for entry, parts in zip(entries, named, strict=True) if here + alts[index] in parts]
        unnamed = [entry for entry, parts in zip(entries, named, strict=True) if not parts]
        return own + unnamed or [entry._replace(consequence=".") for entry in entries]

    def share_entries(self, entries: Sequence[Entry], ref: str, alts: Sequence[str]) -> bool:
        """Tell whether an entry of a record with several ALTs does not say which one it is about."""
        return len(alts) > 1 and not all(entry.allele for entry in entries)


def find_field(declarations: Sequence[InfoDeclaration], wanted: str | None = None) -> ConsequenceField | None:
    """Find the consequence field in a header: `wanted`, else the known one that has STRAND, else a known one.

    Of several declarations of one ID the first counts, as for htslib.
    Raises InputError when `wanted` is not declared or its Description names no subfields, Consequence among them.
    """
    field = _known_field(declarations) if wanted is None else _wanted_field(declarations, wanted)
    if field is not None:
        same = (subfields_of(declaration.description) for declaration in declarations if declaration.id == field.id)
        field.declared_otherwise = any(subfields != field.subfields for subfields in same)
    return field


def _known_field(declarations: Sequence[InfoDeclaration]) -> ConsequenceField | None:
    fields = [
        _field_of(declaration)
        for declaration in _first_of_each_id(declarations)
        if declaration.id in _KNOWN_IDS or any(program in declaration.description for program in _KNOWN_PROGRAMS)
    ]
    fields = [field for field in fields if field.has_consequence]
    fields.sort(key=lambda field: (not field.has_strand, field.leaves_out_strands, field.id != "CSQ"))
    return fields[0] if fields else None


def _first_of_each_id(declarations: Iterable[InfoDeclaration]) -> list[InfoDeclaration]:
    first: dict[str, InfoDeclaration] = {}
    for declaration in declarations:
        first.setdefault(declaration.id, declaration)
    return list(first.values())


def _wanted_field(declarations: Sequence[InfoDeclaration], wanted: str) -> ConsequenceField:
    declaration = next((declaration for declaration in declarations if declaration.id == wanted), None)
    if declaration is None:
        raise InputError(f"INFO {wanted} is not declared in the header; see --csq-field")
    field = _field_of(declaration)
    if not field.has_consequence:
        raise InputError(
            f"INFO {wanted}: its Description in the header names no subfields (Format: Allele|Consequence|…), or no "
            "Consequence among them"
        )
    return field


def _field_of(declaration: InfoDeclaration) -> ConsequenceField:
    subfields = subfields_of(declaration.description)
    kind = BcftoolsField if "dna_change" in subfields else ConsequenceField
    return kind(declaration.id, subfields)


def subfields_of(description: str) -> list[str]:
    """Return the subfield names in a Description of VEP's (`Format: A|B`) or SnpEff's (`'A | B'`) form."""
    match = _FORMAT.match(description) or _QUOTED.search(description)
    if match is None or "|" not in match.group(1):
        return []
    *names, last = (name.strip() for name in match.group(1).split("|"))
    # The sentence may end, or go on, behind the last name.
    return [*names, re.split(r"[.,;)\]]*(?:\s|$)", last, maxsplit=1)[0]]
