from pathlib import Path

import numpy as np
import pytest

from sbert_model.annotation import Transcript
from sbert_model.errors import InputError
from sbert_model.tokenizer import encode
from sbert_train.corpus import REGIONS
from sbert_train.primary_transcripts import Span, match_contigs, merged_spans, split_at_gaps

Exons = tuple[tuple[int, int], ...]
HERE = {"c": "c"}


def _transcript(start: int, end: int, strand: str = "+", exons: Exons = (), cds: Exons = ()) -> Transcript:
    return Transcript("c", start, end, strand, "t", "g", "g", exons, cds)


def _labels(span: Span) -> str:
    """The first letter of each base's region, 5 and 3 for the UTRs, as the rows say."""
    letters = dict(zip(REGIONS, "?iec53", strict=True))
    text = ["?"] * (span.end - span.start)
    for start, end, region in span.regions.tolist():
        text[start - span.start : end - span.start] = letters[REGIONS[region]] * (end - start)
    return "".join(text)


def test_overlapping_transcripts_of_one_strand_are_merged() -> None:
    found = [
        _transcript(50, 70),
        _transcript(10, 30),
        _transcript(25, 40),
        _transcript(12, 20),
        _transcript(5, 60, "-"),
    ]
    spans = merged_spans(found, HERE)
    assert [(span.start, span.end, span.strand) for span in spans] == [(5, 60, "-"), (10, 40, "+"), (50, 70, "+")]


def test_neighbours_that_only_touch_stay_apart() -> None:
    spans = merged_spans([_transcript(0, 10), _transcript(10, 20)], HERE)
    assert [(span.start, span.end) for span in spans] == [(0, 10), (10, 20)]


def test_spans_are_in_the_order_of_the_names() -> None:
    found = [Transcript(contig, 0, 9, "+", "t", "g", "g", ()) for contig in ("2", "10", "1", "absent")]
    spans = merged_spans(found, {"1": "chr1", "2": "chr2", "10": "chr10"})
    assert [span.contig for span in spans] == ["chr1", "chr2", "chr10"]


@pytest.mark.parametrize(("strand", "expected"), [("+", "555cciiicciiic333"), ("-", "333cciiicciiic555")])
def test_regions_of_a_coding_transcript(strand: str, expected: str) -> None:
    exons = ((10, 15), (18, 20), (23, 27))
    (span,) = merged_spans([_transcript(10, 27, strand, exons, ((13, 15), (18, 20), (23, 24)))], HERE)
    assert _labels(span) == expected
    assert span.coding is True


def test_the_most_telling_region_stays_where_transcripts_overlap() -> None:
    coding = _transcript(10, 20, exons=((10, 20),), cds=((14, 16),))
    noncoding = _transcript(5, 25, exons=((5, 12), (18, 25)))
    bare = _transcript(22, 30)
    for order in ([coding, noncoding, bare], [bare, noncoding, coding]):
        (span,) = merged_spans(order, HERE)
        assert _labels(span) == "eeeee5555cc3333eeeee?????"
        assert span.coding is True


def test_introns_of_one_transcript_are_exons_of_another() -> None:
    found = [_transcript(0, 10, exons=((0, 2), (8, 10))), _transcript(4, 6, exons=((4, 6),))]
    (span,) = merged_spans(found, HERE)
    assert _labels(span) == "eeiieeiiee"


def test_a_base_between_two_parts_of_the_cds_is_just_exonic() -> None:
    (span,) = merged_spans([_transcript(0, 9, exons=((0, 9),), cds=((2, 4), (5, 7)))], HERE)
    assert _labels(span) == "55ccecc33"


def test_cds_stands_for_exons_that_are_not_named() -> None:
    (span,) = merged_spans([_transcript(0, 9, cds=((2, 4), (6, 9)))], HERE)
    assert _labels(span) == "iicciiccc"


def test_coding_is_unknown_only_where_no_cds_is_named_at_all() -> None:
    bare, coding = _transcript(0, 9, exons=((0, 9),)), _transcript(20, 29, exons=((20, 29),), cds=((20, 29),))
    assert [span.coding for span in merged_spans([bare], HERE)] == [None]
    assert [span.coding for span in merged_spans([bare, coding], HERE)] == [False, True]


def test_contigs_are_matched_in_the_order_of_the_fasta(tmp_path: Path) -> None:
    match = match_contigs(tmp_path, {"1", "2", "MT", "scaffold"}, tmp_path, ["chrM", "chr2", "chr1", "chr3"])
    assert list(match.names.items()) == [("MT", "chrM"), ("2", "chr2"), ("1", "chr1")]
    assert match.absent == ("scaffold",)


def test_half_of_the_contigs_may_be_absent_but_no_more() -> None:
    match = match_contigs(Path("genes"), {"a", "b"}, Path("genome"), ["a"])
    assert match.absent == ("b",)
    with pytest.raises(InputError, match=r"^genes: 2 of 3 contigs with genes \(b, c\) are not in genome; give"):
        match_contigs(Path("genes"), {"a", "b", "c"}, Path("genome"), ["a"])
    with pytest.raises(InputError, match=r"4 of 4 contigs with genes \(b, c, d, …\)"):
        match_contigs(Path("genes"), {"b", "c", "d", "e"}, Path("genome"), ["a"])


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("", []),
        ("N" * 30, []),
        ("ACGT", [(0, 4)]),
        ("NNACGTN", [(2, 6)]),
        ("A" + "N" * 10 + "C", [(0, 12)]),
        ("A" + "N" * 11 + "C", [(0, 1), (12, 13)]),
        ("N" + "A" * 3 + "N" * 20 + "C" * 5 + "N" * 11 + "G" + "N" * 12, [(1, 4), (24, 29), (40, 41)]),
    ],
)
def test_split_at_gaps(sequence: str, expected: list[tuple[int, int]]) -> None:
    assert split_at_gaps(encode(sequence)) == expected


def test_splitting_leaves_every_known_base_in_one_stretch() -> None:
    numbers = np.random.default_rng(0)
    for _ in range(200):
        parts = ["N" * numbers.integers(16) + "A" * numbers.integers(20) for _ in range(numbers.integers(6))]
        sequence = "".join(parts)
        stretches = [sequence[start:end] for start, end in split_at_gaps(encode(sequence))]
        assert sum(stretch.count("A") for stretch in stretches) == sequence.count("A")
        assert all("N" * 11 not in stretch and stretch.strip("N") == stretch != "" for stretch in stretches)
