"""In silico mutagenesis: every substitution of a stretch, scored as any other allele and placed by its acceptor.

Source: Chen et al. 2024 (Briefings in Bioinformatics 25(3), bbae163), Figures 5C-E and 6.
"""

from collections.abc import Callable, Iterator
from itertools import tee
from typing import NamedTuple, TypeAlias

import numpy as np

from sbert_model.annotation import Transcript
from sbert_model.branchpoint import BRANCHPOINT, REGION, region_of, window_around
from sbert_model.tokenizer import decode, encode, reverse_complement
from sbert_vcf import fields
from sbert_vcf.acceptors import Acceptor, acceptors_near
from sbert_vcf.annotator import Annotator
from sbert_vcf.branchpoints import BranchpointScorer, Probabilities
from sbert_vcf.mutagenesis_targets import Stretch
from sbert_vcf.reference import Reference
from sbert_vcf.results import AlleleResult, BranchpointScore, GeneScore
from sbert_vcf.splice_sites import transcripts_of
from sbert_vcf.strand import Placement
from sbert_vcf.variant import Allele, Status, Variant

BASES = "ACGT"


class Track(NamedTuple):
    """One gene (or bare strand) along a stretch, with those of its transcripts that tell where the splice sites are."""

    stretch: Stretch
    placement: Placement
    transcripts: tuple[Transcript, ...]
    acceptors: tuple[Acceptor, ...]

    def nearest(self, position: int) -> tuple[Acceptor, int] | None:
        """Return the nearest acceptor, and where the base lies from its first exon base (0) in sense direction."""
        offsets = (
            (acceptor, acceptor.offsets(Allele(acceptor.contig, position, position + 1, ""))[0])
            for acceptor in self.acceptors
        )
        return min(offsets, key=lambda pair: abs(pair[1]), default=None)


class Row(NamedTuple):
    """A substitution and its scores on one track; without a track where it has none.

    acceptor, offset: of the track, the nearest one. reference_bp: p(branchpoint) of the base that is replaced, in the
    acceptor's region.
    """

    stretch: Stretch
    variant: Variant
    status: Status
    track: Track | None = None
    score: GeneScore | None = None
    acceptor: Acceptor | None = None
    offset: int | None = None
    reference_bp: float | None = None

    def sense(self, base: str) -> str | None:
        """Return a base of the plus strand as the transcript has it."""
        if self.track is None:
            return None
        return base if self.track.placement.strand == "+" else decode(reverse_complement(encode(base)))


def substitutions(stretch: Stretch, reference: Reference) -> Iterator[Variant]:
    """Yield the three substitutions of every base, in order; four of a base that is not known (N)."""
    for position in range(stretch.start, stretch.end):
        ref = reference.letters(stretch.contig, position, position + 1)
        for alt in BASES:
            if alt != ref:
                yield Variant(stretch.contig, position, ref, alt)


class Mutagenesis:
    """Scores the substitutions of stretches."""

    def __init__(self, annotator: Annotator) -> None:
        self._annotator = annotator

    def rows(self, stretch: Stretch) -> Iterator[Row]:
        """Yield the rows of a stretch by position, alternate base and gene; lazily.

        Of a stretch before a transcript's acceptor only that transcript's gene has rows.
        """
        tracks: dict[Placement, Track] = {}
        probabilities: dict[Acceptor, Probabilities] = {}
        ours, scored = tee(substitutions(stretch, self._annotator.reference))
        for variant, result in zip(ours, self._annotator.score(scored), strict=True):
            scores = [score for score in result.scores if _belongs(score.placement, stretch)]
            if not scores:
                yield Row(stretch, variant, Status.NO_GENE if result.status is Status.OK else result.status)
            for score in scores:
                if score.placement not in tracks:
                    tracks[score.placement] = self._track(stretch, score.placement)
                yield self._row(tracks[score.placement], variant, result, score, probabilities)

    def _row(
        self,
        track: Track,
        variant: Variant,
        result: AlleleResult,
        score: GeneScore,
        probabilities: dict[Acceptor, Probabilities],
    ) -> Row:
        row = Row(track.stretch, variant, result.status, track, score)
        nearest = track.nearest(variant.start)
        if nearest is None:
            return row
        acceptor, offset = nearest
        row = row._replace(acceptor=acceptor, offset=offset)
        scorer = self._annotator.branchpoints
        if scorer is None or offset not in REGION:
            return row
        if acceptor not in probabilities:
            probabilities[acceptor] = region_probabilities(scorer, acceptor, self._annotator.reference)
        return row._replace(reference_bp=float(probabilities[acceptor][offset - REGION.start]))

    def _track(self, stretch: Stretch, placement: Placement) -> Track:
        if stretch.transcript is not None and stretch.acceptor is not None:
            return Track(stretch, placement, (stretch.transcript,), (stretch.acceptor,))
        genes = self._annotator.genes
        if genes is None:
            return Track(stretch, placement, (), ())
        everywhere = Allele(stretch.contig, stretch.start, stretch.end, "")
        transcripts = tuple(transcripts_of(genes, placement, everywhere))
        acceptors = (
            acceptor
            for transcript in transcripts
            for acceptor in acceptors_near(stretch.contig, transcript, transcript.start, transcript.end)
        )
        return Track(stretch, placement, transcripts, tuple(dict.fromkeys(acceptors)))


def _belongs(placement: Placement, stretch: Stretch) -> bool:
    named = stretch.transcript
    if named is None:
        return True
    return placement.strand == named.strand and placement.gene in ("", named.gene_id)


def region_probabilities(scorer: BranchpointScorer, acceptor: Acceptor, reference: Reference) -> Probabilities:
    """Return p(branchpoint) (27,) of the reference's bases in the acceptor's region, in sense direction."""
    start, end = window_around(*region_of(acceptor.position, acceptor.strand), acceptor.strand)
    ids = reference.ids(acceptor.contig, start, end)
    (log_probs,) = scorer.predictor.log_probs([ids if acceptor.strand == "+" else reverse_complement(ids)])
    first = -window_around(0, len(REGION))[0]
    found: Probabilities = np.exp(log_probs[first : first + len(REGION), BRANCHPOINT])
    return found


Value: TypeAlias = float | int | str | None


def _of_score(value: Callable[[GeneScore], Value]) -> Callable[[Row], Value]:
    return lambda row: None if row.score is None else value(row.score)


def _of_branchpoint(value: Callable[[BranchpointScore], Value]) -> Callable[[Row], Value]:
    return _of_score(lambda score: None if score.branchpoint is None else value(score.branchpoint))


def _transcript(row: Row) -> str | None:
    if row.score is None:
        return None
    named = row.stretch.transcript
    return row.score.placement.feature if named is None else named.transcript_id


COLUMNS: tuple[tuple[str, Callable[[Row], Value]], ...] = (
    ("target", lambda row: row.stretch.name),
    ("contig", lambda row: row.variant.contig),
    ("pos", lambda row: row.variant.start + 1),
    ("strand", _of_score(lambda score: score.placement.strand)),
    ("ref", lambda row: row.variant.ref),
    ("alt", lambda row: row.variant.alt),
    ("sense_ref", lambda row: row.sense(row.variant.ref)),
    ("sense_alt", lambda row: row.sense(row.variant.alt)),
    ("status", lambda row: row.status.value),
    ("symbol", _of_score(lambda score: score.placement.symbol)),
    ("gene", _of_score(lambda score: score.placement.gene)),
    ("transcript", _transcript),
    ("acceptor", lambda row: None if row.acceptor is None else row.acceptor.position + 1),
    ("offset", lambda row: row.offset),
    ("bp_ref", lambda row: row.reference_bp),
    ("kl", _of_score(lambda score: score.kl)),
    ("kl_donor", _of_score(lambda score: score.splice_sites.donor)),
    ("kl_acceptor", _of_score(lambda score: score.splice_sites.acceptor)),
    ("bp_loss", _of_branchpoint(lambda branchpoint: branchpoint.loss)),
    ("bp_gain", _of_branchpoint(lambda branchpoint: branchpoint.gain)),
    ("bp_pos", _of_branchpoint(lambda branchpoint: branchpoint.position)),
    ("bp_acceptor", _of_branchpoint(lambda branchpoint: branchpoint.acceptor + 1)),
    ("delta", _of_score(lambda score: score.delta)),
)
"""The columns of the table; positions are 1-based, of acceptors that of the first exon base."""
HEADER = "\t".join(name for name, _ in COLUMNS)


def line(row: Row) -> str:
    """Return a row as tab-separated text, `.` for what there is not."""
    return "\t".join(_cell(value(row)) for _, value in COLUMNS) + "\n"


def _cell(value: Value) -> str:
    return str(value) if isinstance(value, int) else fields.text(value) or "."
