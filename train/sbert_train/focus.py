"""Places of a corpus where crops are drawn more often than by chance: certain soft targets, splice sites."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sbert_model.errors import InputError
from sbert_train.corpus import REGION_BITS, REGION_SHIFT, REGIONS, Pieces
from sbert_train.soft_targets import STRETCH, SoftTargets

SITE_STRETCH = 40  # nt, half of them on either side of the boundary

Numbers = npt.NDArray[np.int64]

_UNKNOWN, _INTRON = REGIONS.index("unknown"), REGIONS.index("intron")


@dataclass(frozen=True, slots=True)
class Focus:
    """Stretches of `length` nt (S of them), on one of which lies a `share` of the crops.

    pieces, starts: (S,), number of the piece and nucleotide in it. true_bases: such crops learn those, no soft targets.
    """

    share: float
    pieces: Numbers
    starts: Numbers
    length: int
    true_bases: bool


def certain_targets(soft: SoftTargets, share: float) -> Focus:
    """Return the stretches on which soft targets are certain: repeats. Raises InputError where there are none."""
    pieces, starts = soft.certain_stretches()
    if not pieces.size:
        raise InputError("soft_focus: the soft targets are nowhere certain; leave it at 0")
    return Focus(share, pieces, starts, STRETCH, true_bases=False)


def splice_sites(pieces: Pieces, share: float) -> Focus:
    """Return the stretches around the boundaries of introns and exons, 20 nt from the ends of their piece or more.

    Soft targets come of a few neighbours, and know little of splice sites; so the true bases are learned there.
    Raises InputError where there are none.
    """
    numbers, starts = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for number, piece in enumerate(pieces):
        regions = (piece.codes >> np.uint8(REGION_SHIFT)) & np.uint8(REGION_BITS)
        changes = (regions[1:] == _INTRON) != (regions[:-1] == _INTRON)
        known = (regions[1:] != _UNKNOWN) & (regions[:-1] != _UNKNOWN)
        found = np.flatnonzero(changes & known) + 1 - SITE_STRETCH // 2
        found = found[(found >= 0) & (found + SITE_STRETCH <= len(piece))]
        numbers.append(np.full(found.size, number))
        starts.append(found)
    focus = Focus(share, np.concatenate(numbers), np.concatenate(starts), SITE_STRETCH, true_bases=True)
    if not focus.pieces.size:
        raise InputError("site_focus: the corpus knows no boundary of intron and exon; leave it at 0")
    return focus
