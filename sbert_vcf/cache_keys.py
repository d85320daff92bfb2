"""The keys of cached scores: digests of all that decides a score, and of nothing else.

That is the model, its arithmetic, the two sequences that it reads and the bases at which they are compared. Where the
sequences come from is no part of it, so a key holds for any genome build and any notation of the change.
"""

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sbert_model.network import BertConfig
from sbert_model.tokenizer import Ids
from sbert_vcf.branchpoints import BranchpointPair
from sbert_vcf.windows import AlignedBases, WindowPair

SCORE_VERSION = 1
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


def kl_context_key(seed: bytes, pair: WindowPair, strand: str) -> bytes:
    """Return the key of an allele's KL-context."""
    # A flank runs from its first base in a direction that the strand decides.
    edges = [int(side[0]) for flanks in (pair.reference_flanks, pair.alternate_flanks) for side in flanks]
    return _key(seed, "kl", pair.reference, pair.alternate, strand, edges)


def delta_key(seed: bytes, pair: WindowPair, strand: str) -> bytes:
    """Return the key of an allele's p(alt) - p(ref)."""
    return _key(seed, "delta", pair.reference, pair.alternate, strand, [pair.centre])


def splice_site_key(seed: bytes, pair: WindowPair, strand: str, bases: AlignedBases) -> bytes:
    """Return the key of the splice-site KL at some bases."""
    return _key(seed, "site", pair.reference, pair.alternate, strand, [*bases.reference, *bases.alternate])


def branchpoint_key(seed: bytes, pair: BranchpointPair) -> bytes:
    """Return the key of what an allele does to the branchpoints of a region; it is always read in sense direction."""
    return _key(seed, "branchpoint", pair.reference, pair.alternate, "", [*pair.in_reference, *pair.in_alternate])


def _key(seed: bytes, score: str, reference: Ids, alternate: Ids, strand: str, places: list[int]) -> bytes:
    numbers: npt.NDArray[np.int32] = np.array([len(reference), len(alternate), *places], dtype="<i4")
    digest = hashlib.blake2b(f"{score} {strand} {len(places)}\n".encode(), digest_size=_KEY_BYTES, key=seed)
    for part in (numbers, reference, alternate):
        digest.update(part.tobytes())
    return digest.digest()
