"""What mutagenesis mutates: stretches of the genome, named by position or by a transcript's acceptor."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from sbert_model.annotation import Transcript
from sbert_model.errors import InputError
from sbert_vcf.acceptors import Acceptor
from sbert_vcf.genes import Genes
from sbert_vcf.reference import Reference

_REGION = re.compile(r"(\S+):([0-9,]+)-([0-9,]+)")
_ACCEPTOR = re.compile(r"(\S+):([0-9]+)")
_NAMED = 5  # transcripts that a message lists


class RegionTarget(NamedTuple):
    """Bases [start, end) of a contig, 0-based; text: as it was written."""

    text: str
    contig: str
    start: int
    end: int


class AcceptorTarget(NamedTuple):
    """The acceptor at the end of an intron (counted from 1) of a transcript, or of a gene that has only one."""

    text: str
    name: str
    intron: int


Target: TypeAlias = RegionTarget | AcceptorTarget


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bases [start, end) of a contig of the FASTA; name: as it was asked for.

    transcript, acceptor: those that were named, None of a region.
    """

    name: str
    contig: str
    start: int
    end: int
    transcript: Transcript | None = None
    acceptor: Acceptor | None = None

    def __len__(self) -> int:
        return self.end - self.start


def parse_target(text: str) -> Target:
    """Read `contig:start-end` (1-based, inclusive) or `TRANSCRIPT:INTRON`; raises InputError for another form."""
    if match := _REGION.fullmatch(text):
        contig = match.group(1)
        first, last = (int(digits.replace(",", "") or "0") for digits in match.groups()[1:])
        if not 1 <= first <= last:
            raise InputError(f"{text!r}: a region runs from a position, 1 or larger, to the same or a larger one")
        return RegionTarget(text, contig, first - 1, last)
    if match := _ACCEPTOR.fullmatch(text):
        return AcceptorTarget(text, match.group(1), int(match.group(2)))
    raise InputError(
        f"{text!r}: expected contig:start-end, such as chr7:117199500-117199600, or a transcript and the number of the "
        "intron before its acceptor, such as NM_000492:5"
    )


def locate(target: Target, reference: Reference, genes: Genes | None, upstream: int, downstream: int) -> Stretch:
    """Return the stretch of a target; of an acceptor so many nt upstream of the first exon base and downstream from it.

    Raises InputError for what the FASTA or the annotation does not have.
    """
    stretch = (
        _of_region(target, reference)
        if isinstance(target, RegionTarget)
        else _of_acceptor(target, reference, genes, upstream, downstream)
    )
    length = reference.contigs[stretch.contig]
    if stretch.start < 0 or stretch.end > length:
        raise InputError(
            f"{target.text}: {stretch.contig}:{stretch.start + 1}-{stretch.end} reaches over the end of the contig, "
            f"which has {length} nt in {reference.path}"
        )
    return stretch


def _of_region(target: RegionTarget, reference: Reference) -> Stretch:
    contig = reference.contig(target.contig)
    if contig is None:
        raise InputError(f"{target.text}: {reference.path} has no contig {target.contig}; --alias can name it")
    return Stretch(target.text, contig, target.start, target.end)


def _of_acceptor(
    target: AcceptorTarget, reference: Reference, genes: Genes | None, upstream: int, downstream: int
) -> Stretch:
    if genes is None:
        raise InputError(f"{target.text}: a transcript needs an annotation: name one with --genes")
    transcript = _only(target, genes.transcripts_by_name(target.name), reference, genes)
    contig = reference.contig(transcript.contig)
    assert contig is not None
    plus = transcript.strand == "+"
    exons = transcript.exons if plus else transcript.exons[::-1]
    if not exons:
        raise InputError(f"{target.text}: {genes.path} names no exons of {transcript.transcript_id}")
    if not 1 <= target.intron < len(exons):
        introns = f"introns 1 to {len(exons) - 1}" if len(exons) > 1 else "no intron"
        raise InputError(f"{target.text}: {transcript.transcript_id} has {introns}")
    position = exons[target.intron][0] if plus else exons[target.intron][1] - 1
    start = position - upstream if plus else position + 1 - downstream
    acceptor = Acceptor(contig, position, transcript.strand)
    return Stretch(target.text, contig, start, start + upstream + downstream, transcript, acceptor)


def _only(target: AcceptorTarget, found: Sequence[Transcript], reference: Reference, genes: Genes) -> Transcript:
    if not found:
        raise InputError(f"{target.text}: {genes.path} has no transcript or gene {target.name}")
    there = [transcript for transcript in found if reference.contig(transcript.contig) is not None]
    if not there:
        raise InputError(f"{target.text}: {reference.path} has no contig {found[0].contig}; --alias can name it")
    if len(there) == 1:
        return there[0]
    ids = list(dict.fromkeys(transcript.transcript_id for transcript in there))
    if len(ids) == 1:
        places = ", ".join(f"{item.contig}:{item.start + 1}-{item.end}" for item in there)
        raise InputError(f"{target.text}: {ids[0]} lies at {len(there)} places ({places}); give a region")
    more = ", …" if len(ids) > _NAMED else ""
    raise InputError(
        f"{target.text}: {target.name} has {len(ids)} transcripts; name one: {', '.join(ids[:_NAMED])}{more}"
    )
