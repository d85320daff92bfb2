"""The two sequences that the model reads for one allele, and where the allele's flanks lie in them."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sbert_model.scoring import FLANK
from sbert_model.tokenizer import MASK, Ids, encode, reverse_complement
from sbert_vcf.reference import Reference
from sbert_vcf.variant import Allele, Status

Indices = npt.NDArray[np.intp]


class Flanks(NamedTuple):
    """Indices into a window of the bases at distance 1…100 from the allele's genomic edges, each (100,)."""

    left: Indices
    right: Indices


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
    bases = reference.ids(contig, first, first + size + end - start)  # (size + deleted,)
    ref_ids = bases[:size]  # (W,)
    right = bases[half + end - start :]
    alt_ids = np.concatenate((bases[:half], encode(alt), right))[:size]  # (W,)
    ref_flanks = _flanks(size, end - start, strand)
    alt_flanks = _flanks(size, len(alt), strand)
    if strand == "+":
        return WindowPair(ref_ids, alt_ids, ref_flanks, alt_flanks, half)
    return WindowPair(reverse_complement(ref_ids), reverse_complement(alt_ids), ref_flanks, alt_flanks, size - 1 - half)


def align_bases(allele: Allele, strand: str, size: int, bases: Iterable[int]) -> AlignedBases:
    """Find reference bases (0-based coordinates) in both windows that `build_windows` lays.

    Bases beside the allele are aligned by flank, those of an allele that keeps the length one by one. Bases that an
    insertion or deletion replaces have no counterpart; they and bases outside either window are left out.
    """
    first = allele.start - size // 2
    grown = len(allele.alt) - (allele.end - allele.start)
    pairs = [
        (base - first, base - first + (grown if base >= allele.end else 0))
        for base in bases
        if not grown or not allele.start <= base < allele.end
    ]
    inside = [pair for pair in pairs if min(pair) >= 0 and max(pair) < size]
    indices = np.array(inside, dtype=np.intp).reshape(-1, 2)  # (bases, 2)
    if strand == "-":
        indices = size - 1 - indices
    return AlignedBases(indices[:, 0], indices[:, 1])


@lru_cache(maxsize=4096)
def _flanks(size: int, length: int, strand: str) -> Flanks:
    """Return the flanks of an allele of `length` nt that starts at size // 2; left and right are genomic."""
    half = size // 2
    distance = np.arange(1, FLANK + 1)
    left, right = half - distance, half + length - 1 + distance
    if strand == "-":
        left, right = size - 1 - left, size - 1 - right
    left.flags.writeable = right.flags.writeable = False  # shared by all alleles of this length
    return Flanks(left, right)
