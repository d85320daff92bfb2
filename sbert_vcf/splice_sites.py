"""The annotated splice sites by which an allele is judged: whose transcripts they are, and which bases."""

import sys
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from sbert_model.annotation import Transcript
from sbert_vcf.genes import VERSION, Genes
from sbert_vcf.strand import Placement
from sbert_vcf.variant import Allele

_REMEMBERED = 64
"""Placements whose sites are remembered: sorted alleles meet few genes at a time."""


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
    by_gene = [transcript for transcript in there if gene and _unversioned(transcript.gene_id) == gene]
    if by_gene:
        return by_gene
    by_symbol = [transcript for transcript in there if placement.symbol and transcript.gene_name == placement.symbol]
    if by_symbol:
        return by_symbol
    return [transcript for transcript in there if feature and _unversioned(transcript.transcript_id) == feature]


def splice_sites(transcript: Transcript, start: int, end: int) -> SpliceSites:
    """Return the sites of the exon that shares the most bases with [start, end), or else lies nearest to it.

    Of exons equally near, the first of the transcript. Its first exon has no acceptor, its last no donor, and a
    transcript without exons has neither. Of an intron of one base both sites are that base.
    """
    nearest = _nearest_exon(transcript, start, end)
    return SpliceSites(range(0), range(0)) if nearest is None else _sites_of_exon(transcript, nearest)


def _sites_of_exon(transcript: Transcript, index: int) -> SpliceSites:
    exons = transcript.exons
    exon_start, exon_end = exons[index]
    left = range(max(exon_start - 2, exons[index - 1][1]), exon_start) if index else range(0)
    last = index == len(exons) - 1
    right = range(0) if last else range(exon_end, min(exon_end + 2, exons[index + 1][0]))
    return SpliceSites(right, left) if transcript.strand == "+" else SpliceSites(left, right)


class _Stretch(NamedTuple):
    """[start, end) of a contig; all alleles in it, of at least one base, are judged by the same sites on one gene."""

    contig: str
    start: int
    end: int
    sites: list[SpliceSites]


class SitesAround:
    """Finds the splice sites by which alleles are judged; those of stretches seen last are remembered."""

    def __init__(self, genes: Genes) -> None:
        self._genes = genes
        self._last: OrderedDict[Placement, _Stretch] = OrderedDict()

    def of(self, placement: Placement, allele: Allele) -> list[SpliceSites]:
        """Return the sites of the transcripts that the allele touches on the gene where it is placed, each pair once.

        An insertion lies on no base, and is looked up by itself.
        """
        contig, start, end, _ = allele
        known = self._last.get(placement)
        if known is not None and known.contig == contig and known.start <= start < end <= known.end:
            return known.sites
        low, high = self._genes.unchanged_around(contig, start, end)
        found: dict[SpliceSites, None] = {}
        for transcript in transcripts_of(self._genes, placement, allele):
            sites, first, last = _sites_around(transcript, start, end)
            found[sites] = None
            low, high = max(low, first), min(high, last)
        self._last[placement] = _Stretch(contig, low, high, list(found))
        self._last.move_to_end(placement)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        return list(found)


def _sites_around(transcript: Transcript, start: int, end: int) -> tuple[SpliceSites, int, int]:
    """Return the sites for [start, end), and the first and last end of an interval whose parts have the same ones.

    Insertions aside. That interval lies in one exon or in one half of an intron; it is empty where [start, end) does
    not.
    """
    exons = transcript.exons
    behind = bisect_right(exons, start, key=itemgetter(0))  # the first exon that begins behind the start
    low, high = exons[behind - 1] if behind else (0, 0)
    exon = behind - 1
    if start >= high:  # in an intron, or before or behind all exons
        low, high = high, exons[behind][0] if behind < len(exons) else sys.maxsize
        if 0 < behind < len(exons):
            # Of two exons equally near, the first of the transcript: such a base belongs to neither half.
            left, right = (low + high) // 2, (low + high + 1) // 2
            if end <= left:
                high = left
            else:
                low, exon = right, behind
        elif behind == 0:
            exon = 0
    if not exons or not low <= start < end <= high:
        return splice_sites(transcript, start, end), start, start
    return _sites_of_exon(transcript, exon), low, high


def _nearest_exon(transcript: Transcript, start: int, end: int) -> int | None:
    """Return the index of that exon; candidates are those that the interval touches and one on either side."""
    exons = transcript.exons
    first = max(bisect_left(exons, start, key=itemgetter(1)) - 1, 0)
    last = bisect_right(exons, end, key=itemgetter(0)) + 1
    candidates = range(first, min(last, len(exons)))
    shared = {index: min(end, exons[index][1]) - max(start, exons[index][0]) for index in candidates}
    in_order = candidates if transcript.strand == "+" else reversed(candidates)
    return max(in_order, key=shared.__getitem__, default=None)


@lru_cache(maxsize=4096)
def _unversioned(name: str) -> str:
    return VERSION.sub("", name)
