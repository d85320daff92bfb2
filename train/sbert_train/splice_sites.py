"""The boundaries of introns and exons in a corpus, and which bases stand around them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sbert_model.tokenizer import NUCLEOTIDES
from sbert_train.corpus import REGIONS, Piece, Pieces

STRETCH = 40
"""Nucleotides around a boundary, half of them on either side."""

Numbers = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float32]

_UNKNOWN, _INTRON = REGIONS.index("unknown"), REGIONS.index("intron")


class Sites(NamedTuple):
    """Stretches around boundaries: their first nucleotides (S,) in a piece, and whether each is a donor."""

    starts: Numbers
    donors: npt.NDArray[np.bool_]


def sites_of(piece: Piece) -> Sites:
    """Return the boundaries whose stretch lies within the piece, in its order."""
    regions = piece.regions
    intron = regions == _INTRON
    known = (regions[1:] != _UNKNOWN) & (regions[:-1] != _UNKNOWN)
    starts = np.flatnonzero((intron[1:] != intron[:-1]) & known) + 1 - STRETCH // 2
    starts = starts[(starts >= 0) & (starts + STRETCH <= len(piece))]
    return Sites(starts, intron[starts + STRETCH // 2])


@dataclass(frozen=True, slots=True)
class SiteFrequencies:
    """How often A, C, G and T stand where: around acceptors and donors (2, STRETCH, 4), and anywhere (4,)."""

    at_sites: Shares
    anywhere: Shares

    def sharpen(self, targets: Shares, sites: Sites) -> None:
        """Let probabilities (L, 4), of a piece's bases by their neighbours, know of its sites, in place.

        They are multiplied by how much more often each base stands at such a place of a site than anywhere, as if
        neighbours and place told of the base independently.
        """
        ratios = self.at_sites / self.anywhere  # (2, STRETCH, 4)
        for start, donor in zip(sites.starts.tolist(), sites.donors.tolist(), strict=True):
            rows = targets[start : start + STRETCH]  # (STRETCH, 4)
            rows *= ratios[int(donor)]
            rows /= rows.sum(axis=1, keepdims=True)


def site_frequencies(pieces: Pieces, chosen: npt.NDArray[np.bool_]) -> SiteFrequencies:
    """Count the bases of the chosen pieces; chosen: (P,). Every count begins at 1."""
    at_sites = np.ones((2, STRETCH, len(NUCLEOTIDES)), dtype=np.int64)
    anywhere = np.ones(len(NUCLEOTIDES), dtype=np.int64)
    for number in np.flatnonzero(chosen).tolist():
        piece = pieces[number]
        bases = piece.ids[:, None] == np.array(NUCLEOTIDES)  # (L, 4)
        anywhere += bases.sum(axis=0)
        sites = sites_of(piece)
        for donor in (False, True):
            places = sites.starts[sites.donors == donor][:, None] + np.arange(STRETCH)  # (S, STRETCH)
            at_sites[int(donor)] += bases[places].sum(axis=0)
    shares = at_sites / at_sites.sum(axis=2, keepdims=True)
    return SiteFrequencies(shares.astype(np.float32), (anywhere / anywhere.sum()).astype(np.float32))
