"""The entries of a consequence field: what they say of a transcript, and which of a record's ALTs they are about."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sbert_vcf.variant import shared_prefix

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

    @property
    def gene_name(self) -> str:
        """What tells this gene from others: its symbol, without one its ID, without both the transcript."""
        return self.symbol or self.gene or self.feature

    @property
    def allele_name(self) -> str:
        """The allele in upper case, without what SnpEff puts behind it (`G-C`: G in a tumour whose germline has C)."""
        return (self.allele.partition("-")[0] or self.allele).upper()


def entries_of_alt(entries: Sequence[Entry], ref: str, alts: Sequence[str], index: int) -> list[Entry]:
    """Return the entries that belong to ALT number `index` (0-based) of a record.

    By ALLELE_NUM where it is given; else by the allele, in the notation that explains most alleles of the entries:
    VEP's trimming over all ALTs of the record, the ALT as it stands (SnpEff), each ALT trimmed by itself, fully trimmed
    (VEP --minimal). Entries that no ALT explains belong to every ALT that has none of its own, so that a record with
    one ALT always has entries; those of a symbol (`deletion`) only to a symbolic ALT, where there is one. An entry
    without an allele belongs to every ALT.
    """
    if _are_numbered(entries, alts):
        return [entry for entry in entries if entry.allele_number == str(index + 1)]
    if len(alts) == 1 and len({entry.allele for entry in entries}) == 1:
        return list(entries)
    names = _names_of_alts(entries, ref, alts)
    own = [entry for entry in entries if entry.allele_name in ("", names[index])]
    if own:
        return own
    unclaimed = [entry for entry in entries if entry.allele_name not in names]
    if _is_plain(alts[index]) and not all(map(_is_plain, alts)):
        return [entry for entry in unclaimed if _BASES.fullmatch(entry.allele_name)]
    return unclaimed


def share_entries(entries: Sequence[Entry], ref: str, alts: Sequence[str]) -> bool:
    """Tell whether entries of a record belong to several of its ALTs because nothing tells these apart."""
    if len(alts) == 1 or _are_numbered(entries, alts):
        return False
    names = _names_of_alts(entries, ref, alts)
    written = {entry.allele_name for entry in entries}
    without = [name for name, alt in zip(names, alts, strict=True) if name not in written and _is_plain(alt)]
    unclaimed = [name for name in written.difference(names) if _BASES.fullmatch(name) or all(map(_is_plain, alts))]
    return "" in written or any(names.count(name) > 1 for name in written) or (len(without) > 1 and bool(unclaimed))


_BASES = re.compile("[ACGTN]+|-")


def _is_plain(alt: str) -> bool:
    return "<" not in alt and "[" not in alt and "]" not in alt


def _are_numbered(entries: Sequence[Entry], alts: Sequence[str]) -> bool:
    numbers = {entry.allele_number for entry in entries} - {""}
    # Numbers beyond the ALTs: the record was split after VEP, and they still count the ALTs that it had.
    return bool(numbers) and numbers.issubset(map(str, range(1, len(alts) + 1)))


def _names_of_alts(entries: Sequence[Entry], ref: str, alts: Sequence[str]) -> list[str]:
    """Return what each ALT is called in the notation that explains most alleles of the entries."""
    written = {entry.allele_name for entry in entries}
    upper_ref, upper_alts = ref.upper(), [alt.upper() for alt in alts]
    return max(
        (notation(upper_ref, upper_alts) for notation in _NOTATIONS), key=lambda names: len(written.intersection(names))
    )


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
