"""The annotated splice sites by which an allele is judged: whose transcripts they are, and which bases."""

from bisect import bisect_left, bisect_right
from operator import itemgetter
from typing import NamedTuple

from sbert_model.annotation import Transcript
from sbert_vcf.genes import VERSION, Genes
from sbert_vcf.strand import Placement
from sbert_vcf.variant import Allele


class SpliceSites(NamedTuple):
    """The intronic bases (0-based coordinates, at most two) beside an exon; empty where it borders on no intron."""

    donor: range
    acceptor: range


def transcripts_of(genes: Genes, placement: Placement, allele: Allele) -> list[Transcript]:
    """Return the transcripts that the allele touches, of the gene on which it is placed.

    That gene is found by its ID, else by its symbol, else by the transcript's ID, IDs without their version. A
    placement without any name (a bare strand) stands for every gene on that strand.
    """
    there = genes.transcripts_overlapping(allele.contig, allele.start, allele.end)
    there = [transcript for transcript in there if transcript.strand == placement.strand]
    gene, feature = _unversioned(placement.gene), _unversioned(placement.feature)
    if not (gene or feature or placement.symbol):
        return there
    for own in (
        [transcript for transcript in there if gene and _unversioned(transcript.gene_id) == gene],
        [transcript for transcript in there if placement.symbol and transcript.gene_name == placement.symbol],
        [transcript for transcript in there if feature and _unversioned(transcript.transcript_id) == feature],
    ):
        if own:
            return own
    return []


def splice_sites(transcript: Transcript, start: int, end: int) -> SpliceSites:
    """Return the sites of the exon that shares the most bases with [start, end), or else lies nearest to it.

    Of exons equally near, the first of the transcript. Its first exon has no acceptor, its last no donor, and a
    transcript without exons has neither. Of an intron of one base both sites are that base.
    """
    exons = transcript.exons
    nearest = _nearest_exon(transcript, start, end)
    if nearest is None:
        return SpliceSites(range(0), range(0))
    exon_start, exon_end = exons[nearest]
    left = range(max(exon_start - 2, exons[nearest - 1][1]), exon_start) if nearest else range(0)
    last = nearest == len(exons) - 1
    right = range(0) if last else range(exon_end, min(exon_end + 2, exons[nearest + 1][0]))
    return SpliceSites(right, left) if transcript.strand == "+" else SpliceSites(left, right)


def _nearest_exon(transcript: Transcript, start: int, end: int) -> int | None:
    """Return the index of that exon; candidates are those that the interval touches and one on either side."""
    exons = transcript.exons
    first = max(bisect_left(exons, start, key=itemgetter(1)) - 1, 0)
    last = bisect_right(exons, end, key=itemgetter(0)) + 1
    candidates = range(first, min(last, len(exons)))
    shared = {index: min(end, exons[index][1]) - max(start, exons[index][0]) for index in candidates}
    in_order = candidates if transcript.strand == "+" else reversed(candidates)
    return max(in_order, key=shared.__getitem__, default=None)


def _unversioned(name: str) -> str:
    return VERSION.sub("", name)
