"""The consequence field that VEP (CSQ) or SnpEff (ANN) left in INFO: its layout, its entries and their alleles."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from sbert_model.errors import InputError

# SnpEff's names for what VEP calls otherwise.
_VEP_NAMES = {"Annotation": "Consequence", "Gene_Name": "SYMBOL", "Gene_ID": "Gene", "Feature_ID": "Feature"}
# Entries that do not place the variant inside a transcript.
_OUTSIDE = {
    "upstream_gene_variant",
    "downstream_gene_variant",
    "intergenic_variant",
    "intergenic_region",
    "regulatory_region_variant",
    "regulatory_region_ablation",
    "regulatory_region_amplification",
    "TF_binding_site_variant",
    "TFBS_ablation",
    "TFBS_amplification",
    "",
}
_KNOWN_IDS = ("CSQ", "vep", "ANN")


class InfoDeclaration(NamedTuple):
    """One ##INFO line: its ID and its Description."""

    id: str
    description: str


class Entry(NamedTuple):
    """One transcript's consequence for one allele. strand: '+', '-' or '' where the field does not say."""

    allele: str
    allele_number: str
    consequence: str
    symbol: str
    gene: str
    feature: str
    strand: str
    preferred: bool

    @property
    def in_transcript(self) -> bool:
        """True unless every consequence lies outside transcripts (upstream, downstream, intergenic, regulatory)."""
        return not all(term in _OUTSIDE for term in self.consequence.split("&"))


class ConsequenceField:
    """Reads the entries of one INFO field whose subfields the header's Description names."""

    def __init__(self, info_id: str, subfields: Sequence[str]) -> None:
        self.id = info_id
        names = [_VEP_NAMES.get(name, name) for name in subfields]
        self._index = {name: names.index(name) for name in reversed(names)}

    @property
    def has_strand(self) -> bool:
        """True when the subfields include STRAND."""
        return "STRAND" in self._index

    def entries(self, value: str) -> list[Entry]:
        """Parse the INFO value, one entry per comma."""
        return [self._entry(text.split("|")) for text in value.split(",")]

    def _entry(self, parts: list[str]) -> Entry:
        def get(name: str) -> str:
            index = self._index.get(name)
            return parts[index].strip() if index is not None and index < len(parts) else ""

        return Entry(
            allele=get("Allele"),
            allele_number=get("ALLELE_NUM"),
            consequence=get("Consequence"),
            symbol=get("SYMBOL"),
            gene=get("Gene"),
            feature=get("Feature"),
            strand={"1": "+", "-1": "-"}.get(get("STRAND"), ""),
            preferred=get("PICK") == "1" or get("CANONICAL") == "YES",
        )


def find_field(declarations: Sequence[InfoDeclaration], wanted: str | None = None) -> ConsequenceField | None:
    """Find the consequence field in a header: `wanted`, else the known one that has STRAND, else a known one.

    Raises InputError when `wanted` is not declared or its Description names no subfields.
    """
    if wanted is not None:
        for declaration in declarations:
            if declaration.id == wanted:
                subfields = subfields_of(declaration.description)
                if not subfields:
                    raise InputError(f"INFO {wanted}: its Description in the header names no subfields (Format: A|B|…)")
                return ConsequenceField(wanted, subfields)
        raise InputError(f"INFO {wanted} is not declared in the header; see --csq-field")
    fields = [
        ConsequenceField(declaration.id, subfields)
        for declaration in declarations
        if (subfields := subfields_of(declaration.description))
        and (declaration.id in _KNOWN_IDS or "Ensembl VEP" in declaration.description)
        and {"Consequence", "Annotation"} & set(subfields)
    ]
    fields.sort(key=lambda field: (not field.has_strand, field.id != "CSQ"))
    return fields[0] if fields else None


def subfields_of(description: str) -> list[str]:
    """Return the subfield names in a Description of VEP's (`Format: A|B`) or SnpEff's (`'A | B'`) form."""
    match = re.search(r"[Ff]ormat:\s*(.*)$", description) or re.search(r"'([^']*\|[^']*)'", description)
    if match is None or "|" not in match.group(1):
        return []
    return [name.strip().strip("'\"") for name in match.group(1).strip(" '\"").split("|")]


def entries_of_alt(entries: Sequence[Entry], ref: str, alts: Sequence[str], index: int) -> list[Entry]:
    """Return the entries that belong to ALT number `index` (0-based) of a record.

    By ALLELE_NUM where it is given; else by the allele as VEP writes it, in the order: VEP's trimming over all ALTs
    of the record, the ALT as it stands (SnpEff), each ALT trimmed by itself, fully trimmed (VEP --minimal). An entry
    without an allele belongs to every ALT, and in a record with one ALT every entry is that ALT's.
    """
    if any(entry.allele_number for entry in entries):
        return [entry for entry in entries if entry.allele_number == str(index + 1)]
    if len(alts) == 1:
        return list(entries)
    own = [entry for entry in entries if not entry.allele]
    for notation in (_over_all_alts, _as_written, _first_base, _minimal):
        name = notation(ref, alts, index)
        found = [entry for entry in entries if entry.allele == name]
        if found:
            return own + found
    return own


def _over_all_alts(ref: str, alts: Sequence[str], index: int) -> str:
    """Drop the first base of an indel record when REF and every ALT (but `*`) share it, as VEP does."""
    plain = [alt for alt in alts if "*" not in alt]
    indel = any(len(alt) != len(ref) for alt in alts)
    if indel and "*" not in alts[index] and len({allele[:1] for allele in [ref, *plain]}) == 1:
        return alts[index][1:] or "-"
    return alts[index]


def _as_written(ref: str, alts: Sequence[str], index: int) -> str:
    return alts[index]


def _first_base(ref: str, alts: Sequence[str], index: int) -> str:
    alt = alts[index]
    return (alt[1:] or "-") if ref[:1] == alt[:1] and len(ref) != len(alt) else alt


def _minimal(ref: str, alts: Sequence[str], index: int) -> str:
    alt = alts[index]
    while ref and alt and ref[0] == alt[0]:
        ref, alt = ref[1:], alt[1:]
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    return alt or "-"
