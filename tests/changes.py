"""Changes of a random sequence that are trimmed and left-aligned as they are made, for tests that compute by hand."""

import random
from typing import NamedTuple

from sbert_vcf.variant import Variant


class Change(NamedTuple):
    """Reference bases [start, end), 0-based, become `bases`."""

    start: int
    end: int
    bases: str

    def variant(self, contig: str, sequence: str) -> Variant:
        """The change as a VCF has it, with the base before it."""
        before = self.start - 1
        return Variant(contig, before, sequence[before : self.end], sequence[before] + self.bases)


def change(sequence: str, start: int, deleted: int, inserted: int) -> Change:
    """A change at `start`, or at the first place after it where a deletion or insertion cannot be shifted."""
    numbers = random.Random(start)
    while deleted and not inserted and sequence[start - 1] == sequence[start + deleted - 1]:
        start += 1
    end = start + deleted
    letters = numbers.choices("ACGT", k=inserted)
    if inserted:
        # Neither edge is shared with the bases that are replaced, nor an insertion's last base with the one before it.
        letters[0] = _other(sequence[start])
        letters[-1] = _other(sequence[end - 1], letters[0] if deleted == inserted == 1 else "")
    return Change(start, end, "".join(letters))


def _other(*letters: str) -> str:
    return next(letter for letter in "GATC" if letter not in letters)


def haplotype(sequence: str, made: Change, first: int, length: int) -> tuple[str, list[int | None]]:
    """The changed sequence from `first`, which lies before the change, N beyond it, and where each base came from.

    Bases of a change that keeps the length stand for those that they replace; other new bases came from nowhere.
    """
    kept = made.end - made.start == len(made.bases)
    origins: list[int | None] = list(range(first, made.start))
    origins += range(made.start, made.end) if kept else [None] * len(made.bases)
    origins += range(made.end, made.end + length)
    text = padded(sequence, first, made.start) + made.bases + padded(sequence, made.end, made.end + length)
    return text[:length], origins[:length]


def padded(sequence: str, start: int, end: int) -> str:
    """The bases of [start, end), N outside the sequence."""
    return "".join(sequence[at] if 0 <= at < len(sequence) else "N" for at in range(start, end))
