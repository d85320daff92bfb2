"""Corpora in memory, for tests that need pieces whose every base is known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sbert_model.tokenizer import encode
from sbert_train.corpus import REGION_SHIFT, REGIONS, REPEAT_BIT, Corpus, Piece, Pieces


def piece(
    sequence: str,
    species: str = "human",
    contig: str = "chr1",
    region: str | Sequence[str] = "intron",
    coding: bool | None = None,
) -> Piece:
    """Return a piece; lower case is soft-masked; `region` is that of all bases or of each."""
    names = [region] * len(sequence) if isinstance(region, str) else region
    regions = np.array([REGIONS.index(name) for name in names], dtype=np.uint8)
    repeats = np.array([letter.islower() for letter in sequence])
    codes = encode(sequence) | (regions << np.uint8(REGION_SHIFT)) | (repeats * np.uint8(REPEAT_BIT))
    return Piece(species, contig, 0, len(sequence), "+", coding, codes)


class MemoryPieces(Pieces):
    """Pieces that are simply there."""

    def __init__(self, pieces: Sequence[Piece], species: tuple[str, ...]) -> None:
        self._pieces = list(pieces)
        self._names = species

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.array([len(piece) for piece in self._pieces], dtype=np.int64)

    @property
    def species_numbers(self) -> npt.NDArray[np.int64]:
        return np.array([self._names.index(piece.species) for piece in self._pieces], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._pieces)

    def __getitem__(self, number: int) -> Piece:  # type: ignore[override]
        return self._pieces[number]


def memory_corpus(training: Sequence[Piece], validation: Sequence[Piece]) -> Corpus:
    """Return a corpus of these pieces, the species in alphabetical order."""
    species = tuple(sorted({piece.species for piece in [*training, *validation]}))
    repeats = {piece.species for piece in [*training, *validation] if piece.repeats.any()}
    return Corpus(
        Path("corpus"),
        species,
        (1.0,) * len(species),
        MemoryPieces(training, species),
        MemoryPieces(validation, species),
        {"species": [{"name": name, "repeat": int(name in repeats)} for name in species]},
    )
