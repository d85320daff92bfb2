"""The annotated genes that an allele touches, with their transcripts, exons and splice sites."""

import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sbert_model.annotation import Transcript, read_transcripts
from sbert_model.contigs import ContigNames
from sbert_vcf.genes_cache import cached_arrays, default_folder
from sbert_vcf.genes_columns import Gene, GeneColumns

__all__ = ["VERSION", "ExonEdge", "Gene", "Genes"]

_GENES_KEPT = 256
VERSION = re.compile(r"\.\d+(_\d+)?(_PAR_Y)?$")
"""The version of a stable ID: ENST00000456328.2, GENCODE's lifted ENSG00000223972.5_2 and ENSG00000182378.15_PAR_Y."""


class ExonEdge(NamedTuple):
    """The splice site nearest to an interval.

    position: 0-based; the boundary of exon and intron lies before the base with this coordinate.
    distance: in nt, in the sense direction of `strand`: +1 is the first base 3' of the boundary (donor: first intron
        base; acceptor: first exon base), -1 the last base 5' of it (acceptor: the G of AG). 0: the interval lies
        across the boundary, or is an insertion at it.
    """

    position: int
    side: Literal["acceptor", "donor"]
    strand: str
    distance: int


class Genes:
    """Genes by position and by name. Intervals are 0-based half-open; contigs are found under any usual spelling.

    Transcripts with one gene ID are one gene where they lie on one contig and strand and overlap, directly or through
    each other; further copies (PAR of X and Y, duplicates in UCSC tables) are genes of their own.
    """

    def __init__(self, path: Path, columns: GeneColumns, aliases: Iterable[tuple[str, str]] = ()) -> None:
        """Look up in `columns`; `path` is the file that they come from, for messages and reports."""
        self.path = path
        self._columns = columns
        self._names = ContigNames(columns.contigs, aliases)
        self._row = {contig: row for row, contig in enumerate(columns.contigs)}
        self._contigs: dict[int, _ContigGenes] = {}
        self._found: dict[str, _ContigGenes | None] = {}
        # Variants come sorted: the genes seen last are those asked for next.
        self._transcripts = lru_cache(maxsize=_GENES_KEPT)(self._read_transcripts)

    @classmethod
    def open(cls, path: Path, aliases: Iterable[tuple[str, str]] = (), cache: Path | None = None) -> "Genes":
        """Read a GTF or GFF3, or what the folder `cache` (None: `genes_cache.default_folder()`) holds of it.

        Raises InputError for a file that is unreadable, broken or without genes.
        """
        arrays = cached_arrays(path, default_folder() if cache is None else cache, _parse)
        return cls(path, GeneColumns.from_arrays(arrays), aliases)

    def __len__(self) -> int:
        return len(self._columns.gene_ids)

    def __iter__(self) -> Iterator[Gene]:
        for row in range(len(self._columns.contigs)):
            yield from self._columns.genes(row)

    @property
    def has_exons(self) -> bool:
        """Whether the annotation names any exon."""
        return len(self._columns.exon_start) > 0

    def digest(self) -> str:
        """Return the SHA-256 of what was read: compression and comments do not count."""
        return self._columns.digest()

    def has_contig(self, contig: str) -> bool:
        """Say whether the annotation has genes on this contig, under any of its names."""
        return self._names.resolve(contig) is not None

    def overlapping(self, contig: str, start: int, end: int) -> list[Gene]:
        """Return the genes that the interval touches, by start, end and ID.

        An insertion (start == end) touches a gene when bases of the gene lie on both sides of it.
        """
        found = self._find(contig)
        return [found.genes[index] for index in found.overlapping(start, end)] if found else []

    def transcripts_overlapping(self, contig: str, start: int, end: int) -> list[Transcript]:
        """Return the transcripts that the interval touches, with all their exons; gene by gene, by start and end."""
        found = self._find(contig)
        if not found:
            return []
        return [
            transcript
            for index in found.overlapping(start, end)
            for transcript in self._transcripts(found.genes[index], found.first_gene + index)
            if transcript.start < end and transcript.end > start
        ]

    def unchanged_around(self, contig: str, start: int, end: int) -> tuple[int, int]:
        """Return the longest interval around this one of at least a base whose parts all touch the same transcripts.

        That is, insertions aside: no transcript begins or ends inside it. It is empty where one does inside this one.
        """
        found = self._find(contig)
        if not found:
            return start, end
        edges = found.edges(self._columns)
        index = bisect_right(edges, start)
        low, high = edges[index - 1] if index else 0, edges[index] if index < len(edges) else sys.maxsize
        return (low, high) if end <= high else (start, start)

    def has_splice_site(self, contig: str, start: int, end: int) -> bool:
        """Tell whether a boundary of exon and intron, of any transcript, lies in [start, end]."""
        found = self._find(contig)
        if not found:
            return False
        boundaries = found.boundaries(self._columns)
        index = bisect_left(boundaries, start)
        return index < len(boundaries) and boundaries[index] <= end

    def _read_transcripts(self, gene: Gene, row: int) -> tuple[Transcript, ...]:
        return tuple(self._columns.transcripts(gene, row))

    def strands_by_name(self, contig: str, name: str) -> set[str]:
        """Return the strands of the contig's genes with this gene ID, symbol or transcript ID.

        A gene with exactly this name goes first; else IDs (not symbols) are compared without their version.
        """
        found = self._find(contig)
        if not found:
            return set()
        exact, unversioned = found.strands(self._columns)
        return set(exact.get(name) or unversioned.get(VERSION.sub("", name), set()))

    def transcripts_by_name(self, name: str) -> list[Transcript]:
        """Return the transcripts with this ID, else with it but for the version, else those of genes with this name.

        A gene's name is its symbol or its ID. One ID may stand for several places (PAR of X and Y, copies in UCSC
        tables); the order is that of contigs and positions.
        """
        ids, bare = self._columns.transcript_ids, VERSION.sub("", name)
        rows = [row for row, found in enumerate(ids) if found == name] or [
            row for row, found in enumerate(ids) if found.startswith(bare) and VERSION.sub("", found) == bare
        ]
        offsets = self._columns.gene_transcripts
        if rows:
            genes = (np.searchsorted(offsets, rows, side="right") - 1).tolist()
            return [self._transcripts_of(gene)[row - int(offsets[gene])] for row, gene in zip(rows, genes, strict=True)]
        names = zip(self._columns.gene_names, self._columns.gene_ids, strict=True)
        genes = [gene for gene, (symbol, gene_id) in enumerate(names) if name in (symbol, gene_id)]
        return [transcript for gene in genes for transcript in self._transcripts_of(gene)]

    def _transcripts_of(self, row: int) -> tuple[Transcript, ...]:
        contig = int(np.searchsorted(self._columns.contig_genes, row, side="right")) - 1
        found = self._find(self._columns.contigs[contig])
        assert found is not None
        return self._transcripts(found.genes[row - found.first_gene], row)

    def nearest_exon_edge(self, contig: str, start: int, end: int, gene: Gene | None = None) -> ExonEdge | None:
        """Return the splice site nearest to the interval, of `gene` or else of any gene on the contig.

        None where there is no intron. The two ends of a transcript are no splice sites. Of two sites equally near,
        the one with the lower coordinate.
        """
        found = self._find(contig)
        if not found:
            return None
        if gene is None:
            return _nearest(found.splice_sites(self._columns), start, end)
        row = found.first_gene + found.genes.index(gene, bisect_left(found.starts, gene.start))
        return _nearest(_splice_sites(self._columns, row, row + 1), start, end)

    def _find(self, contig: str) -> "_ContigGenes | None":
        if contig not in self._found:
            name = self._names.resolve(contig)
            self._found[contig] = None if name is None else self._of_contig(self._row[name])
        return self._found[contig]

    def _of_contig(self, row: int) -> "_ContigGenes":
        if row not in self._contigs:
            self._contigs[row] = _ContigGenes(int(self._columns.contig_genes[row]), self._columns.genes(row))
        return self._contigs[row]


class _ContigGenes:
    """The genes of one contig; what is derived from them is made when it is first asked for."""

    def __init__(self, first_gene: int, genes: list[Gene]) -> None:
        self.first_gene = first_gene
        self.genes = genes
        self.starts = [gene.start for gene in genes]
        self._reach = list(accumulate((gene.end for gene in genes), max))
        self._strands: tuple[dict[str, set[str]], dict[str, set[str]]] | None = None
        self._splice_sites: NDArray[np.int64] | None = None
        self._edges: list[int] | None = None
        self._boundaries: list[int] | None = None

    def overlapping(self, start: int, end: int) -> list[int]:
        """Return the indices of the genes that the interval touches.

        They lie between the first gene whose running maximum of ends passes `start` and the first that starts at
        `end` or later.
        """
        first, last = bisect_right(self._reach, start), bisect_left(self.starts, end)
        return [index for index in range(first, last) if self.genes[index].end > start]

    def edges(self, columns: GeneColumns) -> list[int]:
        """Return the starts and ends of all transcripts, each once, sorted."""
        if self._edges is None:
            rows = slice(*columns.gene_transcripts[[self.first_gene, self.first_gene + len(self.genes)]].tolist())
            self._edges = np.union1d(columns.transcript_start[rows], columns.transcript_end[rows]).tolist()
        return self._edges

    def boundaries(self, columns: GeneColumns) -> list[int]:
        """Return the positions of all splice sites, each once, sorted."""
        if self._boundaries is None:
            self._boundaries = np.unique(self.splice_sites(columns) >> 2).tolist()
        return self._boundaries

    def strands(self, columns: GeneColumns) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        """Return the strands by every name and by ID without version."""
        if self._strands is None:
            exact: dict[str, set[str]] = {}
            unversioned: dict[str, set[str]] = {}
            for row, gene in enumerate(self.genes, self.first_gene):
                transcripts = slice(*columns.gene_transcripts[row : row + 2].tolist())
                exact.setdefault(gene.gene_name, set()).add(gene.strand)
                for name in (gene.gene_id, *columns.transcript_ids[transcripts]):
                    exact.setdefault(name, set()).add(gene.strand)
                    unversioned.setdefault(VERSION.sub("", name), set()).add(gene.strand)
            exact.pop("", None)
            unversioned.pop("", None)
            self._strands = exact, unversioned
        return self._strands

    def splice_sites(self, columns: GeneColumns) -> NDArray[np.int64]:
        """Return the splice sites of all the genes, as `_splice_sites` codes them."""
        if self._splice_sites is None:
            self._splice_sites = _splice_sites(columns, self.first_gene, self.first_gene + len(self.genes))
        return self._splice_sites


def _splice_sites(columns: GeneColumns, first_gene: int, last_gene: int) -> NDArray[np.int64]:
    """Return the splice sites of genes [first_gene, last_gene), each once, sorted: 4 * position + 2 * donor + minus."""
    transcripts = columns.gene_transcripts[first_gene : last_gene + 1]
    bounds = columns.transcript_exons[transcripts[0] : transcripts[-1] + 1]
    minus = np.repeat(columns.gene_minus[first_gene:last_gene], np.diff(columns.transcript_exons[transcripts]))  # (E,)
    # Between two neighbouring exons there is an intron, unless a new transcript begins with the second.
    within = np.ones(len(minus) + 1, dtype=np.bool_)
    within[bounds - bounds[0]] = False
    inner = within[1:-1]  # (E - 1,)
    exons = slice(bounds[0], bounds[-1])
    left, right = columns.exon_end[exons][:-1][inner], columns.exon_start[exons][1:][inner]
    strand = minus[:-1][inner].astype(np.int64)
    return np.unique(np.concatenate([4 * left + 2 * (1 - strand) + strand, 4 * right + 2 * strand + strand]))


def _nearest(sites: NDArray[np.int64], start: int, end: int) -> ExonEdge | None:
    """Return the nearest of the coded sites: the last before `start`, those at it or the first after it."""
    before, after = np.searchsorted(sites, [4 * start, 4 * start + 4]).tolist()
    near = [_edge(site, start, end) for site in sites[max(before - 1, 0) : after + 1].tolist()]
    return min(near, key=lambda edge: (abs(edge.distance), edge.position), default=None)


def _edge(site: int, start: int, end: int) -> ExonEdge:
    position, donor, minus = site >> 2, site & 2, site & 1
    if start == end:
        distance = start - position
    elif start >= position:
        distance = start - position + 1
    else:
        distance = min(end - position, 1) - 1
    return ExonEdge(position, "donor" if donor else "acceptor", "-" if minus else "+", -distance if minus else distance)


def _parse(path: Path) -> dict[str, NDArray[Any]]:
    return GeneColumns.from_transcripts(read_transcripts(path)).to_arrays()
