"""The consequence field that VEP (CSQ) or SnpEff (ANN) left in INFO: its layout, its entries and their alleles."""

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import NamedTuple

from sbert_model.errors import InputError
from sbert_vcf.variant import shared_prefix

# SnpEff's names for what VEP calls otherwise.
_SNPEFF_NAMES = {
    "Consequence": "Annotation",
    "SYMBOL": "Gene_Name",
    "Gene": "Gene_ID",
    "Feature": "Feature_ID",
    "HGVSc": "HGVS.c",
}
# Subfields that mark one transcript of a gene as the one to show; the first that the header has is used.
_PREFERRING = ("PICK", "CANONICAL", "MANE_SELECT")
# Entries that do not place the variant inside a transcript.
_OUTSIDE = frozenset(
    {
        "upstream_gene_variant",
        "downstream_gene_variant",
        "intergenic_variant",
        "intergenic_region",
        "conserved_intergenic_variant",
        "regulatory_region_variant",
        "regulatory_region_ablation",
        "regulatory_region_amplification",
        "TF_binding_site_variant",
        "TFBS_ablation",
        "TFBS_amplification",
        "custom",
        "",
    }
)
_KNOWN_IDS = ("CSQ", "vep", "ANN")
_STRANDS = {"1": "+", "+": "+", "-1": "-", "-": "-"}
# What follows the last "Format:" (VEP) or stands in quotes (SnpEff), up to a closing quote.
_FORMAT = re.compile(r".*format:[\s\\'\"(\[]*([^\\'\"]*)", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r"'([^']*\|[^']*)'")


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
    hgvsc: str = ""

    @property
    def in_transcript(self) -> bool:
        """True unless every consequence lies outside transcripts (upstream, downstream, intergenic, regulatory)."""
        return not _OUTSIDE.issuperset(self.consequence.split("&"))


class ConsequenceField:
    """Reads the entries of one INFO field whose subfields the header's Description names."""

    def __init__(self, info_id: str, subfields: Sequence[str]) -> None:
        self.id = info_id
        self._width = len(subfields)
        index = {name: subfields.index(name) for name in subfields}
        # Absent subfields read the empty one that every entry gets at its end.
        places = [
            index.get(name, index.get(_SNPEFF_NAMES.get(name, ""), -1))
            for name in ("Allele", "ALLELE_NUM", "Consequence", "SYMBOL", "Gene", "Feature", "STRAND", "HGVSc")
        ]
        preferring = next((index[name] for name in _PREFERRING if name in index), -1)
        self._pick = itemgetter(*places, preferring)
        self.has_strand = "STRAND" in index
        self.has_hgvsc = places[-1] >= 0
        self.has_consequence = places[2] >= 0

    def entries(self, value: str) -> list[Entry]:
        """Parse the INFO value, one entry per comma; subfields that an entry lacks are empty."""
        return [self._entry(text.split("|")) for text in value.split(",")]

    def _entry(self, parts: list[str]) -> Entry:
        parts += [""] * max(1, self._width - len(parts))
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


def find_field(declarations: Sequence[InfoDeclaration], wanted: str | None = None) -> ConsequenceField | None:
    """Find the consequence field in a header: `wanted`, else the known one that has STRAND, else a known one.

    Raises InputError when `wanted` is not declared or its Description names no subfields, Consequence among them.
    """
    if wanted is not None:
        return _wanted_field(declarations, wanted)
    fields = [
        ConsequenceField(declaration.id, subfields_of(declaration.description))
        for declaration in declarations
        if declaration.id in _KNOWN_IDS or "Ensembl VEP" in declaration.description
    ]
    fields = [field for field in fields if field.has_consequence]
    fields.sort(key=lambda field: (not field.has_strand, field.id != "CSQ"))
    return fields[0] if fields else None


def _wanted_field(declarations: Sequence[InfoDeclaration], wanted: str) -> ConsequenceField:
    description = next((declaration.description for declaration in declarations if declaration.id == wanted), None)
    if description is None:
        raise InputError(f"INFO {wanted} is not declared in the header; see --csq-field")
    field = ConsequenceField(wanted, subfields_of(description))
    if not field.has_consequence:
        raise InputError(
            f"INFO {wanted}: its Description in the header names no subfields (Format: Allele|Consequence|…), or no "
            "Consequence among them"
        )
    return field


def subfields_of(description: str) -> list[str]:
    """Return the subfield names in a Description of VEP's (`Format: A|B`) or SnpEff's (`'A | B'`) form."""
    match = _FORMAT.match(description) or _QUOTED.search(description)
    if match is None or "|" not in match.group(1):
        return []
    *names, last = (name.strip() for name in match.group(1).split("|"))
    # The sentence may end, or go on, behind the last name.
    return [*names, re.split(r"[.,;)\]]*(?:\s|$)", last, maxsplit=1)[0]]


def entries_of_alt(entries: Sequence[Entry], ref: str, alts: Sequence[str], index: int) -> list[Entry]:
    """Return the entries that belong to ALT number `index` (0-based) of a record.

    By ALLELE_NUM where it is given; else by the allele, in the notation that explains most alleles of the entries:
    VEP's trimming over all ALTs of the record, the ALT as it stands (SnpEff), each ALT trimmed by itself, fully trimmed
    (VEP --minimal). Entries that no ALT explains belong to every ALT that has none of its own, so that a record with
    one ALT always has entries. An entry without an allele belongs to every ALT.
    """
    numbers = {entry.allele_number for entry in entries} - {""}
    # Numbers beyond the ALTs: the record was split after VEP, and they still count the ALTs that it had.
    if numbers and numbers.issubset(map(str, range(1, len(alts) + 1))):
        return [entry for entry in entries if entry.allele_number == str(index + 1)]
    written = {entry.allele.upper() for entry in entries}
    if len(alts) == 1 and len(written) == 1:
        return list(entries)
    upper_ref, upper_alts = ref.upper(), [alt.upper() for alt in alts]
    names = max(
        (notation(upper_ref, upper_alts) for notation in _NOTATIONS), key=lambda names: len(written.intersection(names))
    )
    own = [entry for entry in entries if entry.allele.upper() in ("", names[index])]
    return own or [entry for entry in entries if entry.allele.upper() not in names]


def _over_all_alts(ref: str, alts: Sequence[str]) -> list[str]:
    """Drop the first base of an indel record when REF and every ALT (but those with `*`) share it, as VEP does."""
    indel = any(len(alt) != len(ref) for alt in alts)
    if indel and len({allele[:1] for allele in (ref, *alts) if "*" not in allele}) == 1:
        return [alt if "*" in alt else alt[1:] or "-" for alt in alts]
    return list(alts)


def _as_written(ref: str, alts: Sequence[str]) -> list[str]:
    return list(alts)


def _first_base(ref: str, alts: Sequence[str]) -> list[str]:
    return [_over_all_alts(ref, [alt])[0] for alt in alts]


def _minimal(ref: str, alts: Sequence[str]) -> list[str]:
    return [_trimmed(ref, alt) for alt in alts]


def _trimmed(ref: str, alt: str) -> str:
    """Drop the shared prefix and then the shared suffix, as VEP --minimal does."""
    prefix = shared_prefix(ref, alt)
    ref, alt = ref[prefix:], alt[prefix:]
    suffix = shared_prefix(ref[::-1], alt[::-1])
    return alt[: len(alt) - suffix] or "-"


_NOTATIONS: tuple[Callable[[str, Sequence[str]], list[str]], ...] = (
    _over_all_alts,
    _as_written,
    _first_base,
    _minimal,
)
