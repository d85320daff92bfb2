"""Alleles: what a VCF line says of a change, and the one form that every notation of it is brought to."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from sbert_model.errors import InputError


class Status(str, Enum):
    """`OK`, or why an ALT allele has no score. NO_ALT counts records whose ALT is `.`; it is never written."""

    OK = "OK"
    NO_GENE = "NO_GENE"
    SYMBOLIC = "SYMBOLIC"
    STAR = "STAR"
    BREAKEND = "BREAKEND"
    REF_MISMATCH = "REF_MISMATCH"
    CONTIG_MISSING = "CONTIG_MISSING"
    CONTIG_END = "CONTIG_END"
    GAP = "GAP"
    TOO_LONG = "TOO_LONG"
    NON_ACGT = "NON_ACGT"
    NO_ALT = "NO_ALT"

    __hash__ = str.__hash__  # every record is counted by its status, and Enum's own would be a call of Python


_WRITTEN = re.compile(r"(\S+):([0-9]{1,18}):([^:,\s]+):([^:,\s]+|[^,\s]*[][<][^,\s]*)")


@dataclass(frozen=True, slots=True)
class Variant:
    """One ALT allele as it is written: contig, 0-based start of REF, and the REF and ALT letters."""

    contig: str
    start: int
    ref: str
    alt: str

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """Read `contig:pos:ref:alt` (1-based pos; contig names, breakends and symbols may themselves hold colons).

        Raises InputError when the text has another form.
        """
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise InputError(
                f"variant {text!r}: expected contig:position:ref:alt with one ALT, for example chr7:117199644:ATCT:A"
            )
        contig, position, ref, alt = match.groups()
        return cls(contig, int(position) - 1, ref, alt)

    def __str__(self) -> str:
        return f"{self.contig}:{self.start + 1}:{self.ref}:{self.alt}"


class Allele(NamedTuple):
    """A trimmed, left-aligned change: bases [start, end) of the FASTA's contig become `alt` (upper case)."""

    contig: str
    start: int
    end: int
    alt: str


_BASES = re.compile("[ACGTacgt]+")


def unscorable(ref: str, alt: str) -> Status | None:
    """Return the status of an ALT that cannot be scored, as its text alone tells; None for plain bases A, C, G, T."""
    if _BASES.fullmatch(alt) and _BASES.fullmatch(ref):
        return None
    if alt == "*":
        return Status.STAR
    if "[" in alt or "]" in alt:
        return Status.BREAKEND
    if "<" in alt:
        return Status.SYMBOLIC
    if len(alt) > 1 and (alt[0] == "." or alt[-1] == "."):
        return Status.BREAKEND
    return Status.NON_ACGT


def trim(contig: str, start: int, ref: str, alt: str) -> Allele:
    """Drop the suffix and then the prefix that REF and ALT share (upper case; both may become empty)."""
    ref, alt = ref.upper(), alt.upper()
    if ref[-1:] == alt[-1:]:
        suffix = shared_prefix(ref[::-1], alt[::-1])
        ref, alt = ref[: len(ref) - suffix], alt[: len(alt) - suffix]
    prefix = shared_prefix(ref, alt) if ref[:1] == alt[:1] else 0
    return Allele(contig, start + prefix, start + len(ref), alt[prefix:])


def shared_prefix(left: str, right: str) -> int:
    """Return the length of the prefix that two strings share, in characters."""
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))


def left_align(allele: Allele, fetch: Callable[[str, int, int], str]) -> Allele:
    """Shift a pure insertion or deletion as far to the left as the reference allows.

    fetch(contig, start, end) returns upper-case reference letters; letters other than ACGT stop the shift.
    Source: Tan, Abecasis and Kang 2015 (Bioinformatics 31:2202), unified representation of variants.
    """
    contig, start, end, alt = allele
    if (start == end) == (not alt):
        return allele
    moved = alt or fetch(contig, start, end)
    shift = 0
    step = 64
    while shift < start:
        block = fetch(contig, max(0, start - shift - step), start - shift)
        matched = _matching_tail(block, moved, shift)
        shift += matched
        if matched < len(block):
            break
        step = min(step * 4, 65536)
    turn = shift % len(moved)
    rotated = moved[len(moved) - turn :] + moved[: len(moved) - turn]
    return Allele(contig, start - shift, end - shift, rotated if alt else "")


def _matching_tail(block: str, moved: str, shift: int) -> int:
    """Count the letters at the end of `block` that continue the repeat of `moved` after `shift` steps to the left."""
    for index in range(len(block)):
        letter = block[-1 - index]
        if letter not in "ACGT" or letter != moved[-1 - (shift + index) % len(moved)]:
            return index
    return len(block)
