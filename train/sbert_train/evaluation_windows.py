"""Which bases of the held-out pre-mRNA a model is asked for: windows side by side, some of their bases masked."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sbert_model.tokenizer import MASK, NUCLEOTIDES, Ids
from sbert_train.corpus import Pieces

Ints = npt.NDArray[np.int64]


class Place(NamedTuple):
    """Where a window lies: `start` in the piece (0-based, sense direction); `number` counts the species' windows."""

    species: int
    number: int
    piece: int
    start: int


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of held-out pre-mRNA, its masked bases and what the annotation says of them.

    masked: places of the masked bases (B,), in the window.
    regions: the corpus' region codes of these bases (B,); repeats: whether they are soft-masked (B,).
    """

    place: Place
    contig: str
    coding: bool | None
    ids: Ids  # (L,), the true bases
    masked: Ints
    regions: npt.NDArray[np.uint8]
    repeats: npt.NDArray[np.bool_]

    def seen(self) -> Ids:
        """Return what the model sees: [MASK] at all masked places at once (L,)."""
        ids: Ids = self.ids.copy()
        ids[self.masked] = MASK
        return ids

    def truth(self) -> Ints:
        """0 to 3 for the true A, C, G, T at the masked places (B,)."""
        return self.ids[self.masked].astype(np.int64) - min(NUCLEOTIDES)


def choose_places(
    pieces: Pieces, species: Sequence[str], length: int, per_species: int | None = None, seed: int = 0
) -> list[Place]:
    """Lay windows of `length` nt side by side over each piece; they begin at random within what is left over.

    Both ends of a gene are thus as likely to be asked for. Of each species at most `per_species` windows are taken, at
    random; they depend on the seed and on that species alone, and fewer of them are the first of more.
    """
    places: list[Place] = []
    for index, name in enumerate(species):
        members = np.flatnonzero(pieces.species_numbers == index)
        counts, rest = np.divmod(pieces.lengths[members], length)
        ends = np.cumsum(counts)
        rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
        offsets = rng.integers(rest + 1)
        numbers = np.sort(rng.permutation(int(counts.sum()))[:per_species])
        member = np.searchsorted(ends, numbers, side="right")
        starts = (numbers - (ends - counts)[member]) * length + offsets[member]
        rows = zip(numbers.tolist(), members[member].tolist(), starts.tolist(), strict=True)
        places += [Place(index, number, piece, start) for number, piece, start in rows]
    return places


def read_windows(
    pieces: Pieces, species: Sequence[str], places: Sequence[Place], length: int, rate: float = 0.15, seed: int = 0
) -> Iterator[Window]:
    """Yield the windows at `places` with `rate` of their bases chosen for masking; N is never chosen.

    The bases chosen depend on the seed, the species and the number of the window alone.
    """
    for place in places:
        piece = pieces[place.piece]
        # Cut before it is decoded: a gene may have a million bases.
        part = replace(piece, codes=piece.codes[place.start : place.start + length])
        ids = part.ids
        rng = np.random.default_rng((seed, zlib.crc32(species[place.species].encode()), place.number))
        masked = np.flatnonzero((rng.random(length) < rate) & np.isin(ids, NUCLEOTIDES))
        yield Window(
            place=place,
            contig=piece.contig,
            coding=piece.coding,
            ids=ids,
            masked=masked,
            regions=part.regions[masked],
            repeats=part.repeats[masked],
        )
