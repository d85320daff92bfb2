"""The keys of cached scores: digests of all that decides a score, and of nothing else.

That is the model, its arithmetic, the two sequences that it reads and the bases at which they are compared. Where the
sequences come from is no part of it, so a key holds for any genome build and any notation of the change.
"""

import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from sbert_model.config import BertConfig
from sbert_model.tokenizer import Ids

SCORE_VERSION: Final = 1
"""Part of every key: raise it when a score of the same windows changes by its definition."""

_KEY_BYTES = 16


class Scorer(NamedTuple):
    """What reads the windows: a model's name (for people), the SHA-256 of its weights, its shape and the precision.

    The shape is part of it, for the same weights with another number of heads are another network.
    """

    name: str
    sha256: str
    config: BertConfig
    precision: str

    def seed(self) -> bytes:
        """Return what begins every key of this scorer, (32,) bytes; the name is left out."""
        return hashlib.sha256(repr((SCORE_VERSION, self.sha256, self.config, self.precision)).encode()).digest()


def score_key(
    seed: bytes, score: str, reference: Ids, alternate: Ids, places: Iterable[int], strand: str = ""
) -> bytes:
    """Return the key of a score, (16,) bytes: its name, its windows (W,) and the bases at which it looks in them."""
    numbers = np.array([len(reference), len(alternate), *places], dtype="<i4")
    digest = hashlib.blake2b(f"{score} {strand} {len(numbers)}\n".encode(), digest_size=_KEY_BYTES, key=seed)
    for part in (numbers, reference, alternate):
        digest.update(part.tobytes())
    return digest.digest()
