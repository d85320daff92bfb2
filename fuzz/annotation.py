"""Gene annotations: bytes of a GTF, GFF3 or genePred file to genes, transcripts and splice sites."""

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sbert_model.annotation import Transcript, read_transcripts
from sbert_model.errors import SbertError
from sbert_vcf.genes import Genes
from sbert_vcf.genes_columns import GeneColumns


class Harness:
    """Reads files; `path` is where they come and go."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, data: bytes) -> None:
        """Read `data` as an annotation and look up what is in it. Raises what is no SbertError."""
        self._path.write_bytes(data)
        try:
            transcripts = read_transcripts(self._path)
            with_cds = read_transcripts(self._path, with_cds=True)
        except SbertError as error:
            message = str(error)
        else:
            message = ""
            _check(transcripts, with_cds)
        assert "\n" not in message, "a message of several lines"


def _check(transcripts: list[Transcript], with_cds: list[Transcript]) -> None:
    """Transcripts have an extent and exons in order, and every gene is found at its place."""
    for one in [*transcripts, *with_cds]:
        assert 0 <= one.start < one.end
        assert one.strand in ("+", "-")
        for parts in (one.exons, one.cds):
            assert all(start < end for start, end in parts)
            assert all(left[1] < right[0] for left, right in itertools.pairwise(parts))
    columns = GeneColumns.from_transcripts(transcripts)
    genes = Genes(Path("genes"), GeneColumns.from_arrays(columns.to_arrays()))
    assert sum(map(len, (one.exons for one in transcripts))) == len(columns.exon_start)
    for gene in list(genes)[:20]:
        assert gene in genes.overlapping(gene.contig, gene.start, gene.start + 1)
        assert genes.transcripts_overlapping(gene.contig, gene.start, gene.end)
        genes.nearest_exon_edge(gene.contig, gene.start, gene.start + 1, gene)
        assert not gene.gene_id or gene.strand in genes.strands_by_name(gene.contig, gene.gene_id)


@contextlib.contextmanager
def open_harness() -> Iterator[Harness]:
    """Make a folder for the files, and take it away."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:  # noqa: PTH112
        yield Harness(Path(folder) / "genes")
