"""Branchpoint disruption: which acceptors' regions an allele reaches, and what it does to the branchpoints in them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sbert_model.branchpoint import BRANCHPOINT, REGION, WINDOW, window_around
from sbert_model.checkpoint import Checkpoint
from sbert_model.errors import ModelError
from sbert_model.network import TokenClassifier
from sbert_model.predict import Predictor
from sbert_model.scoring import BranchpointChange, branchpoint_change
from sbert_model.tokenizer import Ids, encode, reverse_complement
from sbert_vcf.acceptors import Acceptor
from sbert_vcf.cache_keys import score_key
from sbert_vcf.pair_scores import Read
from sbert_vcf.reference import Reference
from sbert_vcf.results import BranchpointScore
from sbert_vcf.variant import Allele

Probabilities = npt.NDArray[np.float64]
NEARBY = 3
"""An allele this many nt from a region reaches it: the motif around a branchpoint is that wide."""
FARTHEST = (WINDOW - len(REGION)) // 2
"""Nucleotides on either side of a region that the model reads."""
_ABSENT = WINDOW
"""Stands, behind a window's last base, for a base that is not in the region there: its probability counts as 0."""


@dataclass(frozen=True, slots=True, eq=False)
class BranchpointPair:
    """Reference and alternate window before one acceptor, each (510,) uint8 ids on the sense strand, and their bases.

    A base of the region is at in_reference in the one window and at in_alternate in the other. The first are those of
    the reference's region, from its start; the others are only in the alternate one.
    """

    acceptor: Acceptor
    reference: Ids
    alternate: Ids
    in_reference: list[int]
    in_alternate: list[int]

    def key(self, seed: bytes) -> bytes:
        """Digest all that decides what the allele does to the region's branchpoints."""
        places = (*self.in_reference, *self.in_alternate)
        return score_key(seed, "branchpoint", self.reference, self.alternate, places)

    def reads(self) -> Sequence[Read]:
        """Both windows at the bases of the region."""
        windows = ((self.reference, self.in_reference), (self.alternate, self.in_alternate))
        return [
            Read(ids, np.array([base for base in bases if base != _ABSENT], dtype=np.intp)) for ids, bases in windows
        ]


class BranchpointScorer:
    """Scores alleles with one branchpoint model.

    distance: an allele this many nt from a region reaches it (3 at least). Raises ModelError for a model that is none
    for branchpoints.
    """

    def __init__(self, model: Checkpoint[TokenClassifier], predictor: Predictor, distance: int = 0) -> None:
        if model.config.num_labels != 2:
            raise ModelError(f"{model.name}: has {model.config.num_labels} classes; a branchpoint model has 2")
        if model.config.max_nucleotides < WINDOW:
            raise ModelError(
                f"{model.name}: reads {model.config.max_nucleotides} nt; a branchpoint model reads {WINDOW}"
            )
        self.model = model
        self.predictor = predictor
        self.distance = max(distance, NEARBY)

    @property
    def reach(self) -> int:
        """The farthest that an acceptor can lie from an allele that reaches its region, in nt."""
        return self.distance - REGION.start

    def pairs(self, allele: Allele, acceptors: Iterable[Acceptor], reference: Reference) -> list[BranchpointPair]:
        """Lay the windows before those of the acceptors whose region the allele reaches."""
        return [
            build_pair(acceptor, allele, reference)
            for acceptor in dict.fromkeys(acceptors)
            if reaches(acceptor, allele, self.distance)
        ]

    def changes(self, pairs: Iterable[BranchpointPair]) -> dict[BranchpointPair, BranchpointChange]:
        """Read every distinct window once and return what each allele does before each acceptor.

        Raises ModelError when that is not finite.
        """
        found = self.start(pairs)()
        if not all(change.is_finite for change in found.values()):
            raise ModelError(not_finite(self.model.name, "branchpoint probabilities"))
        return found

    def start(self, pairs: Iterable[BranchpointPair]) -> Callable[[], dict[BranchpointPair, BranchpointChange]]:
        """Let windows be read; what comes back waits for what `changes` returns, NaN where it is not finite."""
        pairs = list(pairs)
        finish = self._start_reading(pairs)

        def changes() -> dict[BranchpointPair, BranchpointChange]:
            found = finish()
            of_pairs = zip(pairs, found[::2], found[1::2], strict=True)
            return {pair: _change(pair, reference, alternate) for pair, reference, alternate in of_pairs}

        return changes

    def _start_reading(self, pairs: list[BranchpointPair]) -> Callable[[], list[Probabilities]]:
        """Let windows be read; what comes back waits for p(branchpoint) at the bases of each, two for every pair."""
        reads = [one for pair in pairs for one in pair.reads()]
        if not reads:
            return list
        finish = self.predictor.start_at([one.window for one in reads], [one.bases for one in reads])
        ends = np.cumsum([len(one.bases) for one in reads[:-1]])
        return lambda: np.split(np.exp(finish()[:, BRANCHPOINT]), ends)


def not_finite(model: str, what: str) -> str:
    """Tell that a model gives no numbers where there should be some, in the engine's last resort, float32, either."""
    return f"{model}: no finite {what}: its weights are broken, for activations overflow even with --precision float32"


def score_pairs(
    pairs: Sequence[BranchpointPair], changes: Mapping[BranchpointPair, BranchpointChange]
) -> BranchpointScore | None:
    """Return the disruption before the acceptor that loses most (of equals, gains most); None without an acceptor."""
    if not pairs:
        return None
    return max((_score(pair.acceptor, changes[pair]) for pair in pairs), key=lambda score: score[:2])


def _score(acceptor: Acceptor, change: BranchpointChange) -> BranchpointScore:
    position = None if change.lost is None else REGION[change.lost]
    return BranchpointScore(change.loss, change.gain, position, acceptor.position)


def _change(pair: BranchpointPair, reference: Probabilities, alternate: Probabilities) -> BranchpointChange:
    p_ref, p_alt = (
        _at(bases, found) for bases, found in ((pair.in_reference, reference), (pair.in_alternate, alternate))
    )
    return branchpoint_change(p_ref, p_alt)


def _at(bases: list[int], found: Probabilities) -> Probabilities:
    """Return p(branchpoint) of all bases (bases,) from that of those which are there."""
    there = np.array(bases) != _ABSENT
    probabilities = np.zeros(len(bases))
    probabilities[there] = found
    return probabilities


def reaches(acceptor: Acceptor, allele: Allele, distance: int) -> bool:
    """Tell whether the allele lies within `distance` nt of the acceptor's region or shifts bases into or out of it.

    Insertions and deletions between region and exon shift it. An insertion lies where it has bases of that stretch on
    both sides.
    """
    start, end = acceptor.offsets(allele)
    shifts = len(allele.alt) != end - start
    stop = REGION.stop + distance
    return start < (max(stop, 0) if shifts else stop) and end > REGION.start - distance


def build_pair(acceptor: Acceptor, allele: Allele, reference: Reference) -> BranchpointPair:
    """Lay 510 nt around the region before the acceptor, without and with the allele; N beyond the contig.

    In the alternate sequence the region lies 18-44 nt before the same first exon base; where the allele removes that
    base, before the first base of the exon that is left. Bases beside the allele are aligned by flank, those of an
    allele that keeps the length one by one.
    """
    start, end = acceptor.offsets(allele)  # sense direction, from the first exon base
    first, last = window_around(REGION.start, REGION.stop)
    added = encode(allele.alt) if acceptor.strand == "+" else reverse_complement(encode(allele.alt))
    added_stop = _alternate_stop(start, end, len(added))
    added_start = added_stop - len(added)
    # 510 bases on either side of the allele hold all that the alternate window may show.
    around = (_sense(acceptor, reference, start - WINDOW, start), added, _sense(acceptor, reference, end, end + WINDOW))
    cut = first - added_start + WINDOW
    alternate = np.concatenate(around)[cut : cut + WINDOW]
    kept = len(added) == end - start
    in_reference, in_alternate = [], []
    for offset in REGION:
        moved = offset  # of a base that an allele of the same length replaces
        if offset < start:
            moved += added_start - start
        elif offset >= end:
            moved += added_stop - end
        there = moved in REGION and (kept or not start <= offset < end)
        in_reference.append(offset - first)
        in_alternate.append(moved - first if there else _ABSENT)
    new = sorted({offset - first for offset in REGION} - set(in_alternate))
    return BranchpointPair(
        acceptor,
        _sense(acceptor, reference, first, last),
        alternate,
        in_reference + [_ABSENT] * len(new),
        in_alternate + new,
    )


def _alternate_stop(start: int, end: int, length: int) -> int:
    """Return where the alternate bases stop, counted from the first exon base that the alternate sequence has.

    An insertion right between intron and exon counts as exon, and so do, of an allele across that boundary, as many
    alternate bases as it replaces exon bases.
    """
    if start >= 0:
        return start + length
    return end if end <= 0 else min(length, end)


def _sense(acceptor: Acceptor, reference: Reference, start: int, end: int) -> Ids:
    """Return the ids of [start, end), counted in sense direction from the first exon base."""
    contig, position, strand = acceptor
    if strand == "+":
        return reference.ids(contig, position + start, position + end)
    return reverse_complement(reference.ids(contig, position + 1 - end, position + 1 - start))
