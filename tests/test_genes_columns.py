"""Transcripts into genes and flat arrays, and back."""

import numpy as np
import pytest

from sbert_model.annotation import Transcript
from sbert_vcf.genes_columns import GeneColumns


def transcript(name: str, start: int, end: int, *exons: tuple[int, int], gene: str = "G") -> Transcript:
    return Transcript("chr1", start, end, "+", name, gene, gene, exons)


def test_offsets_lead_from_contigs_to_exons() -> None:
    columns = GeneColumns.from_transcripts(
        [
            transcript("T2", 50, 90, (50, 60), (70, 90)),
            transcript("T1", 10, 60, (10, 20), (30, 60)),
            transcript("", 15, 25, gene="A"),
            Transcript("chr2", 5, 6, "-", "T3", "Ü", "Ü", ((5, 6),)),
        ]
    )
    assert columns.contigs == ["chr1", "chr2"]
    assert columns.contig_genes.tolist() == [0, 2, 3]
    assert columns.gene_ids == ["G", "A", "Ü"]
    assert columns.gene_start.tolist() == [10, 15, 5]
    assert columns.gene_end.tolist() == [90, 25, 6]
    assert columns.gene_minus.tolist() == [False, False, True]
    assert columns.gene_transcripts.tolist() == [0, 2, 3, 4]
    assert columns.transcript_ids == ["T1", "T2", "", "T3"]
    assert columns.transcript_exons.tolist() == [0, 2, 4, 4, 5]
    assert columns.exon_start.tolist() == [10, 30, 50, 70, 5]
    assert columns.exon_end.tolist() == [20, 60, 60, 90, 6]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 10), (5, 20), (15, 30)], [(0, 30)]),  # the first and the last meet through the second
        ([(0, 100), (10, 20), (50, 120)], [(0, 120)]),  # the end reached so far counts, not the last one
        ([(0, 10), (10, 20)], [(0, 10), (10, 20)]),
        ([(30, 40), (0, 10)], [(0, 10), (30, 40)]),
    ],
)
def test_one_gene_where_transcripts_overlap(spans: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    columns = GeneColumns.from_transcripts(transcript(f"T{start}", start, end) for start, end in spans)
    assert [(gene.start, gene.end) for gene in columns.genes(0)] == expected


def test_arrays_hold_everything() -> None:
    columns = GeneColumns.from_transcripts(
        [transcript("T1", 10, 60, (10, 20), (30, 60)), transcript("naïve\n\ud800", 70, 80, gene="B")]
    )
    arrays = columns.to_arrays()
    again = GeneColumns.from_arrays(arrays)
    assert again.transcript_ids == ["T1", "naïve\n\ud800"]
    assert again.genes(0) == columns.genes(0)
    assert list(again.transcripts(again.genes(0)[0], 0)) == list(columns.transcripts(columns.genes(0)[0], 0))
    assert all(np.array_equal(arrays[name], array) for name, array in again.to_arrays().items())
