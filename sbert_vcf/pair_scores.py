"""The scores of one allele on one strand: what each of them asks of the model, and what it makes of the answer."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from sbert_model.predict import Indices, LogProbs, Predictor
from sbert_model.scoring import FLANK, Floats, delta_probability, kl_contexts, kl_divergence, splice_site_kls
from sbert_model.tokenizer import NUCLEOTIDES, Ids
from sbert_vcf.cache_keys import score_key
from sbert_vcf.windows import AlignedBases, WindowPair


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

    @staticmethod
    def values(scores: "Sequence[Any]", log_probs: LogProbs) -> Floats:
        """The scores (B,) of several, from what was read for them, (B, reads, bases, classes)."""


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
        return (Read(pair.reference, pair.reference_flanks.both), Read(pair.alternate, pair.alternate_flanks.both))

    @staticmethod
    def values(scores: "Sequence[KLContext]", log_probs: LogProbs) -> Floats:
        """KL-contexts (B,) from (B, 2, 200, 4); NaN where the model gives no finite probabilities."""
        divergence = kl_divergence(log_probs[:, 1], log_probs[:, 0])  # (B, 200)
        return kl_contexts(divergence[:, :FLANK], divergence[:, FLANK:])


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

    @staticmethod
    def values(scores: "Sequence[DeltaLogit]", log_probs: LogProbs) -> Floats:
        """p(alt) − p(ref) (B,), −1…1, from (B, 1, 1, 4)."""
        found = zip(scores, log_probs[:, 0, 0], strict=True)
        return np.array([delta_probability(masked, *score.nucleotides) for score, masked in found])

    @property
    def nucleotides(self) -> tuple[int, int]:
        """Numbers of the reference and the alternate base, 0 = A … 3 = T."""
        centre = self.pair.centre
        return NUCLEOTIDES.index(self.pair.reference[centre]), NUCLEOTIDES.index(self.pair.alternate[centre])


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

    @staticmethod
    def values(scores: "Sequence[SpliceSiteDivergence]", log_probs: LogProbs) -> Floats:
        """KL averaged over the bases (B,), from (B, 2, bases, 4)."""
        return splice_site_kls(log_probs[:, 1], log_probs[:, 0])


def start(scores: Iterable[PairScore], predictor: Predictor) -> Callable[[], dict[PairScore, float]]:
    """Let the windows of scores be read together; what comes back waits for their values."""
    alike: defaultdict[tuple[type[PairScore], int], list[PairScore]] = defaultdict(list)
    reads: defaultdict[tuple[type[PairScore], int], list[Read]] = defaultdict(list)
    for score in scores:
        its_reads = score.reads()
        kind = type(score), len(its_reads[0].bases)
        alike[kind].append(score)
        reads[kind] += its_reads
    in_order = [read for of_kind in reads.values() for read in of_kind]
    if not in_order:
        return dict
    finish = predictor.start_at([read.window for read in in_order], [read.bases for read in in_order])

    def values() -> dict[PairScore, float]:
        log_probs, first = finish(), 0  # (all bases, classes)
        found: dict[PairScore, float] = {}
        for (kind, bases), of_kind in alike.items():
            last = first + bases * len(reads[kind, bases])
            shaped = log_probs[first:last].reshape(len(of_kind), -1, bases, log_probs.shape[1])
            found.update(zip(of_kind, kind.values(of_kind, shaped).tolist(), strict=True))
            first = last
        return found

    return values
