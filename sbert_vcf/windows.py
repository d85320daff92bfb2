"""The two sequences that the model reads for one allele, and where the allele's flanks lie in them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sbert_model.scoring import FLANK
from sbert_model.tokenizer import MASK, Ids, encode, reverse_complement
from sbert_vcf.reference import Reference
from sbert_vcf.variant import Allele, Status

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Flanks:
    """Indices into a window of the bases at distance 1…100 from the allele's genomic edges: left, then right ones."""

    both: Indices  # (200,)

    @property
    def left(self) -> Indices:
        """Those to the left, (100,)."""
        return self.both[:FLANK]

    @property
    def right(self) -> Indices:
        """Those to the right, (100,)."""
        return self.both[FLANK:]

    def __iter__(self) -> Iterator[Indices]:
        return iter((self.left, self.right))


class WindowPair(NamedTuple):
    """Reference and alternate window on the sense strand of one transcript, each (W,) uint8 token ids."""

    reference: Ids
    alternate: Ids
    reference_flanks: Flanks
    alternate_flanks: Flanks
    centre: int

    def masked(self) -> Ids:
        """Return the reference window with the base at the allele's start masked, (W,)."""
        ids: Ids = self.reference.copy()
        ids[self.centre] = MASK
        return ids


class AlignedBases(NamedTuple):
    """Indices into the reference and the alternate window of the same bases, each (bases,)."""

    reference: Indices
    alternate: Indices


NO_BASES = AlignedBases(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))


def fits(allele: Allele, size: int) -> bool:
    """Tell whether both windows of `size` nt have room for 100 flank bases to the right of the allele."""
    return max(allele.end - allele.start, len(allele.alt)) + FLANK <= size - size // 2


def flank_status(allele: Allele, reference: Reference) -> Status | None:
    """Return CONTIG_END or GAP when a base of the allele or of its 200 flank bases is not there or not known."""
    contig, start, end, _ = allele
    if start - FLANK < 0 or end + FLANK > reference.contigs[contig]:
        return Status.CONTIG_END
    if reference.has_gap(contig, start - FLANK, end + FLANK):
        return Status.GAP
    return None


def build_windows(allele: Allele, strand: str, reference: Reference, size: int) -> WindowPair:
    """Lay a window of `size` nt that starts size // 2 bases before the allele, without and with the change.

    The reference window depends on the allele's start alone, so that all alleles that start there share it.
    strand: '+' or '-'; on '-' both windows are reverse complemented.
    """
    contig, start, end, alt = allele
    half = size // 2
    first = start - half
    added = _sense(alt[: size - half], strand)
    behind = reference.ids(contig, end, end + size - half - len(added), strand)
    ref_ids = reference.ids(contig, first, first + size, strand)  # (W,)
    ref_flanks = _flanks(size, end - start, strand)
    alt_flanks = _flanks(size, len(alt), strand)
    if strand == "+":
        alt_ids = np.concatenate((ref_ids[:half], added, behind))  # (W,)
        return WindowPair(ref_ids, alt_ids, ref_flanks, alt_flanks, half)
    alt_ids = np.concatenate((behind, added, ref_ids[size - half :]))  # (W,)
    return WindowPair(ref_ids, alt_ids, ref_flanks, alt_flanks, size - 1 - half)


def align_bases(allele: Allele, strand: str, size: int, bases: Iterable[int]) -> AlignedBases:
    """Find reference bases (0-based coordinates) in both windows that `build_windows` lays.

    Bases beside the allele are aligned by flank, those of an allele that keeps the length one by one. Bases that an
    insertion or deletion replaces have no counterpart; they and bases outside either window are left out.
    """
    _, start, end, alt = allele
    first = start - size // 2
    grown = len(alt) - (end - start)
    pairs = [
        (base - first, base - first + (grown if base >= end else 0))
        for base in bases
        if first <= base < first + size and not (grown and start <= base < end)
    ]
    inside = [pair for pair in pairs if 0 <= pair[1] < size]
    if not inside:
        return NO_BASES
    indices = np.array(inside, dtype=np.intp)  # (bases, 2)
    if strand == "-":
        indices = size - 1 - indices
    return AlignedBases(indices[:, 0], indices[:, 1])


@lru_cache(maxsize=4096)
def _sense(alt: str, strand: str) -> Ids:
    """Return the ids of alternate bases in sense direction."""
    ids = encode(alt) if strand == "+" else reverse_complement(encode(alt))
    ids.flags.writeable = False  # shared by all alleles with these bases
    return ids


@lru_cache(maxsize=4096)
def _flanks(size: int, length: int, strand: str) -> Flanks:
    """Return the flanks of an allele of `length` nt that starts at size // 2; left and right are genomic."""
    half = size // 2
    distance = np.arange(1, FLANK + 1)
    both = np.concatenate((half - distance, half + length - 1 + distance))  # (200,)
    if strand == "-":
        both = size - 1 - both
    both.flags.writeable = False  # shared by all alleles of this length
    return Flanks(both)
