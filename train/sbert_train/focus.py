"""Places of a corpus where crops are drawn more often than by chance: certain soft targets, splice sites."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sbert_model.errors import InputError
from sbert_train import soft_targets, splice_sites
from sbert_train.corpus import Pieces
from sbert_train.soft_targets import SoftTargets

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Focus:
    """Stretches of `length` nt (S of them), on one of which lies a `share` of the crops.

    pieces, starts: (S,), number of the piece and nucleotide in it.
    """

    share: float
    pieces: Numbers
    starts: Numbers
    length: int


def certain_targets(soft: SoftTargets, share: float) -> Focus:
    """Return the stretches on which soft targets are certain: repeats. Raises InputError where there are none."""
    pieces, starts = soft.certain_stretches()
    if not pieces.size:
        raise InputError("soft_focus: the soft targets are nowhere certain; leave it at 0")
    return Focus(share, pieces, starts, soft_targets.STRETCH)


def boundaries(pieces: Pieces, share: float) -> Focus:
    """Return the stretches around splice sites. Raises InputError where there are none."""
    starts = [splice_sites.sites_of(piece).starts for piece in pieces]
    numbers = np.repeat(np.arange(len(starts)), [found.size for found in starts])
    if not numbers.size:
        raise InputError("site_focus: the corpus knows no boundary of intron and exon; leave it at 0")
    return Focus(share, numbers, np.concatenate(starts), splice_sites.STRETCH)
