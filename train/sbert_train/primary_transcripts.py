"""The primary transcripts of a genome: where they lie once overlapping ones are merged, and their regions."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sbert_model.annotation import Transcript
from sbert_model.contigs import ContigNames
from sbert_model.errors import InputError
from sbert_model.tokenizer import Ids, N
from sbert_train.corpus import REGIONS

MAX_N_RUN = 10  # longer runs of N (assembly gaps) are cut out, shorter ones stay
MIN_LENGTH = 64

PAINTED = ("intron", "exon", "utr3", "utr5", "cds")
"""Regions in the order in which they are laid over each other where transcripts overlap: the last one stays."""

Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Span:
    """Overlapping transcripts of one strand as one stretch of a contig; 0-based half-open, genomic.

    coding: whether one of them has a CDS; None where the annotation names no CDS at all.
    regions: rows (start, end, number of the region in REGIONS), later rows over earlier ones; the rest is unknown.
    """

    contig: str
    start: int
    end: int
    strand: str
    coding: bool | None
    regions: npt.NDArray[np.int64]  # (K, 3)


@dataclass(frozen=True, slots=True)
class ContigMatch:
    """The FASTA's name for each contig of the annotation that it has, in the FASTA's order, and those it has not."""

    names: dict[str, str]
    absent: tuple[str, ...]


def match_contigs(annotation: Path, contigs: set[str], fasta: Path, references: Iterable[str]) -> ContigMatch:
    """Find the contigs of an annotation in a FASTA. Raises InputError where more than half are absent."""
    order = {name: number for number, name in enumerate(references)}
    resolver = ContigNames(order)
    found = {contig: name for contig in sorted(contigs) if (name := resolver.resolve(contig)) is not None}
    names = dict(sorted(found.items(), key=lambda item: order[item[1]]))
    absent = tuple(sorted(contigs - set(names)))
    if 2 * len(absent) > len(contigs):
        raise InputError(
            f"{annotation}: {describe_absent(absent, len(contigs))} not in {fasta}; give the FASTA of the same assembly"
        )
    return ContigMatch(names, absent)


def describe_absent(absent: Sequence[str], total: int) -> str:
    """Name the first contigs that are missing: `3 of 9 contigs with genes (a, b, c)`, to be followed by a predicate."""
    more = ", …" if len(absent) > 3 else ""
    return f"{len(absent)} of {total} contigs with genes ({', '.join(absent[:3])}{more}) are"


def merged_spans(transcripts: Iterable[Transcript], names: Mapping[str, str]) -> list[Span]:
    """Merge the overlapping transcripts of each strand; transcripts on contigs without a name in `names` are left out.

    In the order of `names`, then by start, end and strand, whatever the order of the transcripts.
    """
    loci: dict[tuple[str, str], list[Transcript]] = defaultdict(list)
    has_cds = False
    for transcript in transcripts:
        has_cds = has_cds or bool(transcript.cds)
        if transcript.contig in names:
            loci[names[transcript.contig], transcript.strand].append(transcript)
    spans = [
        _span(contig, strand, group, has_cds)
        for (contig, strand), found in loci.items()
        for group in _overlapping(found)
    ]
    rank = {name: number for number, name in enumerate(names.values())}
    return sorted(spans, key=lambda span: (rank[span.contig], span.start, span.end, span.strand))


def _overlapping(transcripts: list[Transcript]) -> Iterator[list[Transcript]]:
    """Yield the transcripts in groups that overlap directly or through each other."""
    group: list[Transcript] = []
    end = 0
    for transcript in sorted(transcripts, key=lambda found: (found.start, found.end)):
        if group and transcript.start >= end:
            yield group
            group = []
        group.append(transcript)
        end = max(end, transcript.end) if len(group) > 1 else transcript.end
    if group:
        yield group


def _span(contig: str, strand: str, group: list[Transcript], has_cds: bool) -> Span:
    coding = any(transcript.cds for transcript in group) if has_cds else None
    start, end = group[0].start, max(transcript.end for transcript in group)
    return Span(contig, start, end, strand, coding, _regions(group, strand))


def _regions(group: list[Transcript], strand: str) -> npt.NDArray[np.int64]:
    found: dict[str, list[Interval]] = {name: [] for name in PAINTED}
    before, after = ("utr5", "utr3") if strand == "+" else ("utr3", "utr5")
    for transcript in group:
        exons = transcript.exons or transcript.cds
        if not exons:
            continue
        found["intron"].append((transcript.start, transcript.end))
        found["exon"] += exons
        found["cds"] += transcript.cds
        if transcript.cds:
            first, last = transcript.cds[0][0], transcript.cds[-1][1]
            found[before] += [(start, min(end, first)) for start, end in exons if start < first]
            found[after] += [(max(start, last), end) for start, end in exons if end > last]
    rows = [(start, end, REGIONS.index(name)) for name, intervals in found.items() for start, end in _merged(intervals)]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _merged(intervals: list[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def split_at_gaps(ids: Ids) -> list[Interval]:
    """Return the stretches between runs of more than 10 N in token ids (L,), without N at their ends."""
    unknown = np.zeros(ids.size + 2, dtype=np.int8)
    unknown[1:-1] = ids == N
    edges = np.flatnonzero(np.diff(unknown))
    starts, ends = edges[::2], edges[1::2]  # of the runs of N
    cut = (ends - starts > MAX_N_RUN) | (starts == 0) | (ends == ids.size)
    lefts = np.concatenate(([0], ends[cut]))
    rights = np.concatenate((starts[cut], [ids.size]))
    return [(int(left), int(right)) for left, right in zip(lefts, rights, strict=True) if left < right]
