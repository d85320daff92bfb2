"""Branchpoint windows as they are published: a BED with labels and a FASTA, or a table with sequences.

Source: Mercer et al. 2015 (Genome Research 25:290), prepared as in Chen et al. 2024 (Briefings in Bioinformatics
25(3), bbae163): 18 to 44 nt upstream of an acceptor; 1 is a high-confidence branchpoint, -100 a base that counts
neither way. In the BED the labels run with the genome, in the table with the transcript.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pysam

from sbert_model.branchpoint import BRANCHPOINT, WINDOW, window_around
from sbert_model.contigs import ContigNames
from sbert_model.errors import InputError
from sbert_model.fasta import fetch, open_fasta
from sbert_model.tokenizer import Ids, N, encode, reverse_complement
from sbert_train.masking import IGNORED
from sbert_train.text_tables import cut, read_lines, read_sequence

COLUMNS = ("chrom", "start0", "end", "strand", "labels", "up_len", "down_len", "sequence")
LABELS = (0, BRANCHPOINT, IGNORED)

NO_BRANCHPOINT = "no branchpoint in the region"
NO_CONTIG = "contig not in the FASTA"
CONTIG_END = "region over the end of its contig"
HAS_N = "N in the region"


@dataclass(frozen=True, slots=True)
class Region:
    """A branchpoint region [start, end), 0-based genomic, and its labels (R,) int64 in sense direction."""

    contig: str
    start: int
    end: int
    strand: str
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Window:
    """A region and the sequence around it: ids (510,) on the sense strand, N beyond what is known."""

    region: Region
    ids: Ids

    @property
    def places(self) -> slice:
        """Where the region lies in the sequence."""
        first = -window_around(0, len(self.region.labels))[0]
        return slice(first, first + len(self.region.labels))

    @property
    def bases(self) -> Ids:
        """Ids (R,) of the region, sense strand."""
        return self.ids[self.places]


@dataclass(frozen=True, slots=True)
class BranchpointData:
    """The windows to learn from, in the order of the file, and how many were left out for what reason."""

    windows: list[Window]
    left_out: dict[str, int]


def read_branchpoints(path: Path, fasta: Path | None = None) -> BranchpointData:
    """Read a table with the columns above, or a BED (contig, start, end, name, labels, strand) with its FASTA.

    Windows without a branchpoint are left out as published, and so are those whose region the FASTA does not have or
    that holds N. Raises InputError for a line that does not fit, and when no window is left.
    """
    lines = read_lines(path)
    if set(COLUMNS) <= set(lines[0][1].split("\t")):
        if fasta is not None:
            raise InputError(f"{path}: has sequences of its own; leave --fasta {fasta} out")
        found = _read_table(lines)
    elif fasta is None:
        raise InputError(
            f"{path}: a BED has no sequences: give --fasta; a table with sequences has the columns {', '.join(COLUMNS)}"
        )
    else:
        found = _read_bed(lines, fasta)
    windows = [window for window in found if isinstance(window, Window)]
    left_out = dict(Counter(reason for reason in found if isinstance(reason, str)))
    if not windows:
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise InputError(f"{path}: no window is left to learn from: {reasons}")
    return BranchpointData(windows, left_out)


def share_of_a(windows: list[Window], strand: str) -> float:
    """Return the share of A among the branchpoints on a strand, NaN where there are none: about 0.8 where labels fit.

    Labels read in the wrong direction give the share of A among all bases, about 0.25.
    """
    bases = [window.bases[window.region.labels == BRANCHPOINT] for window in windows if window.region.strand == strand]
    found = np.concatenate(bases) if bases else np.empty(0)
    return float((found == encode("A")[0]).mean()) if len(found) else float("nan")


def _read_table(lines: list[tuple[str, str]]) -> list[Window | str]:
    header = lines[0][1].split("\t")
    found: list[Window | str] = []
    for place, line in lines[1:]:
        cells = line.split("\t")
        if len(cells) != len(header):
            raise InputError(f"{place}: {len(cells)} columns, the header has {len(header)}")
        row = dict(zip(header, cells, strict=True))
        region = _region(place, row["chrom"], row["start0"], row["end"], row["strand"], row["labels"])
        first, beyond = (_number(place, name, row[name]) for name in ("up_len", "down_len"))
        ids = read_sequence(place, row["sequence"])
        last = len(ids) - beyond
        if last - first != len(region.labels) or first < 0 or beyond < 0:
            raise InputError(
                f"{place}: {len(region.labels)} labels, but up_len {first} and down_len {beyond} leave "
                f"{last - first} of the sequence's {len(ids)} bases"
            )
        found.append(_window(region, cut(ids, *window_around(first, last))))
    return found


def _read_bed(lines: list[tuple[str, str]], path: Path) -> list[Window | str]:
    fasta = open_fasta(path)
    names = ContigNames(fasta.references)
    found: list[Window | str] = []
    for place, line in lines:
        cells = line.split("\t")
        if len(cells) != 6:
            raise InputError(f"{place}: expected contig, start, end, name, labels and strand, found {line[:80]!r}")
        region = _region(place, cells[0], cells[1], cells[2], cells[5], cells[4])
        if region.strand == "-":
            region.labels[:] = region.labels[::-1].copy()
        contig = names.resolve(region.contig)
        if BRANCHPOINT not in region.labels:
            found.append(NO_BRANCHPOINT)
        elif contig is None:
            found.append(NO_CONTIG)
        elif region.end > fasta.get_reference_length(contig):
            found.append(CONTIG_END)
        else:
            found.append(_window(region, _fetch(fasta, path, contig, region)))
    return found


def _region(place: str, contig: str, start: str, end: str, strand: str, labels: str) -> Region:
    first, last = _number(place, "start", start), _number(place, "end", end)
    if strand not in ("+", "-"):
        raise InputError(f"{place}: strand {strand!r}; expected + or -")
    if not 0 <= first < last:
        raise InputError(f"{place}: the interval {first} to {last} is none")
    if last - first > WINDOW:
        raise InputError(f"{place}: a region of {last - first} nt, the model reads {WINDOW}")
    values = [_number(place, "label", label) for label in labels.rstrip(",").split(",")]
    if len(values) != last - first:
        raise InputError(f"{place}: {len(values)} labels for the {last - first} nt of {contig}:{first}-{last}")
    if other := [value for value in values if value not in LABELS]:
        raise InputError(f"{place}: label {other[0]}; expected {', '.join(map(str, LABELS))}")
    return Region(contig, first, last, strand, np.array(values, dtype=np.int64))


def _number(place: str, name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{place}: {name} {text[:40]!r}; expected a whole number") from None


def _window(region: Region, ids: Ids) -> Window | str:
    """Return the window, or why it is left out."""
    if BRANCHPOINT not in region.labels:
        return NO_BRANCHPOINT
    window = Window(region, ids)
    return HAS_N if (window.bases == N).any() else window


def _fetch(fasta: pysam.FastaFile, path: Path, contig: str, region: Region) -> Ids:
    start, end = window_around(region.start, region.end, region.strand)
    first, last = max(start, 0), min(end, fasta.get_reference_length(contig))
    ids = cut(encode(fetch(fasta, path, contig, first, last)), start - first, end - first)
    return reverse_complement(ids) if region.strand == "-" else ids
