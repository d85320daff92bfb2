"""The acceptors before which an allele lies: from annotated exons, or from HGVS intronic offsets."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import NamedTuple

from sbert_model.annotation import Transcript
from sbert_vcf.genes import Genes
from sbert_vcf.splice_sites import transcripts_of
from sbert_vcf.strand import Placement
from sbert_vcf.variant import Allele


class Acceptor(NamedTuple):
    """A 3' splice site by the 0-based coordinate of its first exon base."""

    contig: str
    position: int
    strand: str

    def offsets(self, allele: Allele) -> tuple[int, int]:
        """Return the allele's reference bases [start, end) in sense direction, counted from the first exon base (0)."""
        if self.strand == "+":
            return allele.start - self.position, allele.end - self.position
        return self.position + 1 - allele.end, self.position + 1 - allele.start


def acceptors_of(
    placement: Placement, allele: Allele, exons: Genes | None, reach: int, fetch: Callable[[str, int, int], str]
) -> list[Acceptor]:
    """Return the acceptors within `reach` nt of the allele on the gene where it is placed.

    exons: the annotation that tells them. Without one, or of a gene that it does not have here, they follow from the
    HGVS descriptions of the placement. fetch(contig, start, end) returns upper-case reference letters.
    """
    first, last = allele.start - reach, allele.end + reach
    if exons is not None and not (placement.hgvsc or exons.has_splice_site(allele.contig, first, last)):
        return []
    transcripts = transcripts_of(exons, placement, allele) if exons is not None else []
    if transcripts:
        return [
            acceptor
            for transcript in transcripts
            for acceptor in acceptors_near(allele.contig, transcript, first, last)
        ]
    found = (acceptor_of_hgvs(text, placement.strand, allele, fetch) for text in placement.hgvsc)
    return [acceptor for acceptor in found if acceptor is not None]


def acceptors_near(contig: str, transcript: Transcript, start: int, end: int) -> Iterator[Acceptor]:
    """Yield the transcript's acceptors whose boundary of intron and exon lies in [start, end]."""
    # The side of an exon on which introns lie upstream: its start, on the minus strand its end.
    side = 0 if transcript.strand == "+" else 1
    with_acceptor = transcript.exons[1:] if transcript.strand == "+" else transcript.exons[:-1]
    first = bisect_left(with_acceptor, start, key=itemgetter(side))
    last = bisect_right(with_acceptor, end, key=itemgetter(side))
    for exon in with_acceptor[first:last]:
        yield Acceptor(contig, exon[side] - side, transcript.strand)


# The last position of a description (its only one, or the second of a range), upstream of an acceptor, and the edit.
_UPSTREAM = re.compile(r"[cn]\.(?:[^_]{1,40}_)?[*-]?\d+-(\d{1,12})(?!\d|_)(\D*)")


def acceptor_of_hgvs(
    description: str, strand: str, allele: Allele, fetch: Callable[[str, int, int], str]
) -> Acceptor | None:
    """Return the acceptor that an HGVS description like c.123-25A>G places the allele before, None where it tells none.

    None also for an insertion or deletion in a repeat: HGVS names another of its places than the VCF (it shifts towards
    the transcript's end, tools differ in whether they do), so that the offset is not that of the allele.
    fetch(contig, start, end) returns upper-case reference letters.
    """
    match = _UPSTREAM.search(description)
    if match is None or _can_be_shifted(allele, fetch):
        return None
    offset, edit = -int(match.group(1)), match.group(2)
    # Of an insertion the last position is the base after it.
    after = offset if edit.startswith("ins") else offset + 1
    position = allele.end - after if strand == "+" else allele.start + after - 1
    return Acceptor(allele.contig, position, strand)


def _can_be_shifted(allele: Allele, fetch: Callable[[str, int, int], str]) -> bool:
    contig, start, end, alt = allele
    if start < end and alt:
        return False
    moved = alt or fetch(contig, start, end)
    return moved[:1] == fetch(contig, end, end + 1) or not moved
