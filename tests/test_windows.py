"""The two windows of an allele and its flanks in them, against strings put together by hand."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_model.scoring import FLANK
from sbert_model.tokenizer import MASK, decode
from sbert_vcf.reference import Reference
from sbert_vcf.variant import Allele, Status
from sbert_vcf.windows import WindowPair, align_bases, build_windows, fits, flank_status

LENGTH = 3000
LETTERS = "".join(random.Random(7).choices("ACGT", k=LENGTH))
COMPLEMENT = str.maketrans("ACGT", "TGCA")
# The smallest window that has room for 100 flank bases of a substitution, odd and even ones, and the usual one.
SIZES = (202, 203, 510, 1024)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    path = tmp_path_factory.mktemp("windows") / "toy.fa"
    path.write_text(f">chr1\n{LETTERS}\n>gaps\n{LETTERS[:1000]}N{LETTERS[1001:1400]}N{LETTERS[1401:]}\n")
    with Reference(path) as opened:
        yield opened


def around(start: int, end: int) -> str:
    """The letters of [start, end), N beyond the contig."""
    return "".join(LETTERS[at] if 0 <= at < LENGTH else "N" for at in range(start, end))


def sense(letters: str, strand: str) -> str:
    return letters if strand == "+" else letters.translate(COMPLEMENT)[::-1]


def insertion(start: int, length: int) -> Allele:
    return Allele("chr1", start, start, "A" * length)


def deletion(start: int, length: int) -> Allele:
    return Allele("chr1", start, start + length, "")


@st.composite
def alleles(draw: st.DrawFn) -> Allele:
    start = draw(st.integers(0, LENGTH))
    end = min(start + draw(st.integers(0, 120)), LENGTH)
    return Allele("chr1", start, end, "".join(draw(st.lists(st.sampled_from("ACGT"), max_size=120))))


strands = st.sampled_from("+-")
sizes = st.sampled_from(SIZES)


def test_a_substitution_by_hand(reference: Reference) -> None:
    pair = build_windows(Allele("chr1", 1500, 1501, "G"), "+", reference, 1024)
    assert decode(pair.reference) == LETTERS[988:2012]
    assert decode(pair.alternate) == LETTERS[988:1500] + "G" + LETTERS[1501:2012]
    assert pair.centre == 512
    for flanks in (pair.reference_flanks, pair.alternate_flanks):
        assert (flanks.left[0], flanks.left[99], flanks.right[0], flanks.right[99]) == (511, 412, 513, 612)


def test_an_insertion_by_hand(reference: Reference) -> None:
    pair = build_windows(Allele("chr1", 1500, 1500, "GAT"), "+", reference, 1024)
    assert decode(pair.reference) == LETTERS[988:2012]
    assert decode(pair.alternate) == LETTERS[988:1500] + "GAT" + LETTERS[1500:2009]
    assert (pair.reference_flanks.left[0], pair.reference_flanks.right[0]) == (511, 512)
    assert (pair.alternate_flanks.left[0], pair.alternate_flanks.right[0]) == (511, 515)


def test_a_deletion_by_hand_on_the_minus_strand(reference: Reference) -> None:
    pair = build_windows(deletion(1500, 3), "-", reference, 1024)
    assert decode(pair.reference) == sense(LETTERS[988:2012], "-")
    assert decode(pair.alternate) == sense(LETTERS[988:1500] + LETTERS[1503:2015], "-")
    assert pair.centre == 511
    assert (pair.reference_flanks.left[0], pair.reference_flanks.right[0]) == (512, 508)
    assert (pair.alternate_flanks.left[0], pair.alternate_flanks.right[0]) == (512, 511)


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("start", [0, 1, LENGTH - 1])
def test_beyond_the_contig_there_is_n(reference: Reference, start: int, strand: str) -> None:
    pair = build_windows(Allele("chr1", start, start + 1, "G"), strand, reference, 1024)
    assert decode(pair.reference) == sense(around(start - 512, start + 512), strand)
    assert decode(pair.alternate) == sense(around(start - 512, start) + "G" + around(start + 1, start + 512), strand)


@given(alleles(), strands, sizes)
def test_both_windows_are_the_sequence_without_and_with_the_change(
    reference: Reference, allele: Allele, strand: str, size: int
) -> None:
    _, start, end, alt = allele
    left = around(start - size // 2, start)
    pair = build_windows(allele, strand, reference, size)
    assert decode(pair.reference) == sense((left + around(start, start + size))[:size], strand)
    assert decode(pair.alternate) == sense((left + alt + around(end, end + size))[:size], strand)
    assert pair.reference.dtype == pair.alternate.dtype == np.uint8


@given(alleles(), alleles(), strands, sizes)
def test_the_reference_window_depends_on_the_start_alone(
    reference: Reference, one: Allele, other: Allele, strand: str, size: int
) -> None:
    moved = other._replace(start=one.start, end=min(one.start + other.end - other.start, LENGTH))
    first, second = (build_windows(allele, strand, reference, size) for allele in (one, moved))
    assert first.reference.tobytes() == second.reference.tobytes()


@given(alleles(), sizes)
def test_the_minus_strand_is_the_reverse_complement(reference: Reference, allele: Allele, size: int) -> None:
    plus, minus = (build_windows(allele, strand, reference, size) for strand in "+-")
    assert decode(minus.reference) == sense(decode(plus.reference), "-")
    assert decode(minus.alternate) == sense(decode(plus.alternate), "-")
    assert minus.centre == size - 1 - plus.centre


def check_flanks(pair: WindowPair, allele: Allele, strand: str) -> None:
    """Compare the bases at the flank indices with the allele's neighbours in the genome, by distance."""
    _, start, end, _ = allele
    left, right = around(start - FLANK, start)[::-1], around(end, end + FLANK)  # both run away from the allele
    if strand == "-":
        left, right = left.translate(COMPLEMENT), right.translate(COMPLEMENT)
    for window, flanks in (
        (pair.reference, pair.reference_flanks),
        (pair.alternate, pair.alternate_flanks),
    ):
        assert decode(window[flanks.left]) == left
        assert decode(window[flanks.right]) == right


@given(alleles(), strands)
def test_flanks_are_the_neighbours_in_the_genome(reference: Reference, allele: Allele, strand: str) -> None:
    check_flanks(build_windows(allele, strand, reference, 1024), allele, strand)


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize(
    ("size", "longest"),
    [(1024, 412), (510, 155), (511, 156), (202, 1), (203, 2)],
)
def test_the_longest_allele_that_fits(reference: Reference, size: int, longest: int, strand: str) -> None:
    for make in (insertion, deletion):
        assert fits(make(1500, longest), size)
        assert not fits(make(1500, longest + 1), size)
        pair = build_windows(make(1500, longest), strand, reference, size)
        check_flanks(pair, make(1500, longest), strand)
        indices = np.concatenate((*pair.reference_flanks, *pair.alternate_flanks))
        assert indices.min() >= 0
        outermost = (pair.reference_flanks if make is deletion else pair.alternate_flanks).right[-1]
        assert outermost == (size - 1 if strand == "+" else 0)


def test_a_replacement_is_as_long_as_its_longer_side() -> None:
    assert fits(Allele("chr1", 1000, 1412, "A"), 1024)
    assert not fits(Allele("chr1", 1000, 1413, "A"), 1024)
    assert not fits(Allele("chr1", 1000, 1001, "A" * 413), 1024)


def test_masked(reference: Reference) -> None:
    for strand in "+-":
        pair = build_windows(Allele("chr1", 1500, 1501, "G"), strand, reference, 1024)
        before = pair.reference.copy()
        masked = pair.masked()
        assert np.flatnonzero(masked != before).tolist() == [pair.centre]
        assert masked[pair.centre] == MASK
        assert decode(pair.reference[pair.centre : pair.centre + 1]) == sense(LETTERS[1500], strand)
        assert (pair.reference == before).all()


def test_flanks_cannot_be_changed_by_one_allele_for_the_next(reference: Reference) -> None:
    pair = build_windows(deletion(1500, 3), "+", reference, 1024)
    with pytest.raises(ValueError, match="read-only"):
        pair.reference_flanks.left[0] = 0


@pytest.mark.parametrize(
    ("allele", "expected"),
    [
        (Allele("chr1", 100, 101, "A"), None),
        (Allele("chr1", 99, 100, "A"), Status.CONTIG_END),
        (Allele("chr1", 0, 1, "A"), Status.CONTIG_END),
        (insertion(100, 5), None),
        (insertion(99, 5), Status.CONTIG_END),
        (Allele("chr1", LENGTH - 101, LENGTH - 100, "A"), None),
        (Allele("chr1", LENGTH - 100, LENGTH - 99, "A"), Status.CONTIG_END),
        (deletion(LENGTH - 110, 10), None),
        (deletion(LENGTH - 110, 11), Status.CONTIG_END),
        (insertion(LENGTH - 100, 50), None),
        (insertion(LENGTH - 99, 1), Status.CONTIG_END),
    ],
)
def test_contig_end(reference: Reference, allele: Allele, expected: Status | None) -> None:
    assert flank_status(allele, reference) == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (899, 900, None),  # the N at 1000 is 101 bases from it
        (900, 901, Status.GAP),
        (1000, 1001, Status.GAP),
        (990, 1010, Status.GAP),
        (1100, 1101, Status.GAP),
        (1101, 1102, None),
        (1101, 1101, None),
        (1100, 1100, Status.GAP),
        (1101, 1300, None),
        (1101, 1301, Status.GAP),  # the N at 1400
        (50, 1000, Status.CONTIG_END),  # before GAP
    ],
)
def test_gap(reference: Reference, start: int, end: int, expected: Status | None) -> None:
    assert flank_status(Allele("gaps", start, end, "A"), reference) == expected


@pytest.mark.parametrize(
    ("allele", "bases", "in_reference", "in_alternate"),
    [
        (Allele("chr1", 1000, 1001, "A"), (999, 1000, 1001), [254, 255, 256], [254, 255, 256]),
        (Allele("chr1", 1000, 1002, "AA"), (1000, 1001), [255, 256], [255, 256]),
        (deletion(1000, 3), (999, 1000, 1002, 1003), [254, 258], [254, 255]),
        (insertion(1000, 2), (999, 1000), [254, 255], [254, 257]),
        (Allele("chr1", 1000, 1001, "AAA"), (999, 1000, 1001), [254, 256], [254, 258]),
        # The window is [745, 1255), the alternate one reaches 3 bases further with the deletion.
        (deletion(1000, 3), (744, 745, 1254, 1255), [0, 509], [0, 506]),
        (insertion(1000, 2), (1252, 1253), [507], [509]),
        (deletion(1000, 3), (), [], []),
    ],
)
def test_aligned_bases(
    allele: Allele, bases: tuple[int, ...], in_reference: list[int], in_alternate: list[int]
) -> None:
    found = align_bases(allele, "+", 510, bases)
    assert (found.reference.tolist(), found.alternate.tolist()) == (in_reference, in_alternate)
    minus = align_bases(allele, "-", 510, bases)
    assert minus.reference.tolist() == [509 - index for index in in_reference]
    assert minus.alternate.tolist() == [509 - index for index in in_alternate]


@given(alleles(), strands, sizes, st.lists(st.integers(-50, LENGTH + 50), max_size=8))
def test_aligned_bases_are_the_same_letters(
    reference: Reference, allele: Allele, strand: str, size: int, bases: list[int]
) -> None:
    outside = [base for base in bases if not allele.start <= base < allele.end]
    pair = build_windows(allele, strand, reference, size)
    found = align_bases(allele, strand, size, outside)
    assert pair.reference[found.reference].tolist() == pair.alternate[found.alternate].tolist()
    first = allele.start - size // 2
    assert len(found.reference) <= sum(first <= base < first + size for base in outside)
