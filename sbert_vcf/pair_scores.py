"""The scores of one allele on one strand: what each of them asks of the model, and what it makes of the answer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from sbert_model.predict import Indices, LogProbs, Predictor
from sbert_model.scoring import delta_probability, kl_context, kl_divergence, splice_site_kl
from sbert_model.tokenizer import NUCLEOTIDES, Ids
from sbert_vcf.cache_keys import score_key
from sbert_vcf.windows import AlignedBases, WindowPair

LogProbsOf = Mapping[bytes, LogProbs]
"""Log-probabilities (W, 4) by the window's bytes."""


class Read(NamedTuple):
    """A window (W,) and its bases at which the model's answer is wanted."""

    window: Ids
    bases: Indices


class PairScore(Protocol):
    """A score of a pair of windows; equal to itself alone, so that it can stand in a table of values."""

    @property
    def pair(self) -> WindowPair:
        """The windows."""

    def key(self, seed: bytes) -> bytes:
        """Digest all that decides it; see sbert_vcf.cache_keys."""

    def reads(self) -> Sequence[Read]:
        """What has to be read for it."""

    def value(self, log_probs: LogProbsOf) -> float:
        """The score, when that was read."""


@dataclass(frozen=True, slots=True, eq=False)
class KLContext:
    """KL-context in nats."""

    pair: WindowPair
    strand: str

    def key(self, seed: bytes) -> bytes:
        """Digest all that decides it."""
        # A flank runs from its first base in a direction that the strand decides.
        edges = (int(side[0]) for flanks in (self.pair.reference_flanks, self.pair.alternate_flanks) for side in flanks)
        return score_key(seed, "kl", self.pair.reference, self.pair.alternate, edges, self.strand)

    def reads(self) -> Sequence[Read]:
        """Both windows at the flanks."""
        pair = self.pair
        return (
            Read(pair.reference, np.concatenate(pair.reference_flanks)),
            Read(pair.alternate, np.concatenate(pair.alternate_flanks)),
        )

    def value(self, log_probs: LogProbsOf) -> float:
        """KL-context; NaN where the model gives no finite probabilities."""
        reference = log_probs[self.pair.reference.tobytes()]  # (W, 4)
        alternate = log_probs[self.pair.alternate.tobytes()]  # (W, 4)
        left, right = (
            kl_divergence(alternate[alt_flank], reference[ref_flank])  # (100,)
            for alt_flank, ref_flank in zip(self.pair.alternate_flanks, self.pair.reference_flanks, strict=True)
        )
        return kl_context(left, right)


@dataclass(frozen=True, slots=True, eq=False)
class DeltaLogit:
    """p(alt) − p(ref) at the masked base of a single-nucleotide substitution."""

    pair: WindowPair
    strand: str

    def key(self, seed: bytes) -> bytes:
        """Digest all that decides it."""
        return score_key(seed, "delta", self.pair.reference, self.pair.alternate, [self.pair.centre], self.strand)

    def reads(self) -> Sequence[Read]:
        """The masked window at the masked base."""
        return (Read(self.pair.masked(), np.array([self.pair.centre])),)

    def value(self, log_probs: LogProbsOf) -> float:
        """p(alt) − p(ref), −1…1."""
        centre = self.pair.centre
        masked = log_probs[self.pair.masked().tobytes()][centre]  # (4,)
        ref, alt = (NUCLEOTIDES.index(ids[centre]) for ids in (self.pair.reference, self.pair.alternate))
        return delta_probability(masked, ref, alt)


@dataclass(frozen=True, slots=True, eq=False)
class SpliceSiteDivergence:
    """Splice-site KL in nats of one site, which has at least one base in both windows."""

    pair: WindowPair
    strand: str
    bases: AlignedBases

    def key(self, seed: bytes) -> bytes:
        """Digest all that decides it."""
        places = (*self.bases.reference, *self.bases.alternate)
        return score_key(seed, "site", self.pair.reference, self.pair.alternate, places, self.strand)

    def reads(self) -> Sequence[Read]:
        """Both windows at the site."""
        return (Read(self.pair.reference, self.bases.reference), Read(self.pair.alternate, self.bases.alternate))

    def value(self, log_probs: LogProbsOf) -> float:
        """KL averaged over the bases."""
        reference = log_probs[self.pair.reference.tobytes()]  # (W, 4)
        alternate = log_probs[self.pair.alternate.tobytes()]  # (W, 4)
        found = splice_site_kl(alternate[self.bases.alternate], reference[self.bases.reference])
        assert found is not None
        return found


def start_reading(reads: Iterable[Read], predictor: Predictor) -> Callable[[], dict[bytes, LogProbs]]:
    """Let every distinct window be read once, at all the bases wanted of it; what comes back waits for the answers."""
    windows, bases = [], []
    for window, wanted in reads:
        windows.append(window)
        bases.append(wanted)
    finish = predictor.start(windows, bases)
    return lambda: {window.tobytes(): found for window, found in zip(windows, finish(), strict=True)}


def start(scores: Iterable[PairScore], predictor: Predictor) -> Callable[[], dict[PairScore, float]]:
    """Let the windows of scores be read together; what comes back waits for their values."""
    scores = list(scores)
    finish = start_reading((one for score in scores for one in score.reads()), predictor)

    def values() -> dict[PairScore, float]:
        log_probs = finish()
        return {score: score.value(log_probs) for score in scores}

    return values
