"""Alleles: reading, statuses that the text alone tells, and one form for every notation of a change."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sbert_model.errors import InputError
from sbert_vcf.variant import Allele, Status, Variant, left_align, shared_prefix, trim, unscorable


class Sequence:
    """A contig in memory; `fetch` is what left_align reads, letters beyond the ends are an error."""

    def __init__(self, letters: str) -> None:
        self.letters = letters

    def fetch(self, contig: str, start: int, end: int) -> str:
        assert contig == "chr1"
        assert 0 <= start <= end <= len(self.letters)
        return self.letters[start:end]

    def normalized(self, start: int, ref: str, alt: str) -> Allele:
        return left_align(trim("chr1", start, ref, alt), self.fetch)


def applied(letters: str, allele: Allele) -> str:
    return letters[: allele.start] + allele.alt + letters[allele.end :]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chr7:117199644:ATCT:A", Variant("chr7", 117199643, "ATCT", "A")),
        ("1:1:g:t", Variant("1", 0, "g", "t")),
        ("1:0:N:T", Variant("1", -1, "N", "T")),
        ("HLA-A*01:01:01:5:A:T", Variant("HLA-A*01:01:01", 4, "A", "T")),
        ("chr1:100:G:]chr2:321]G", Variant("chr1", 99, "G", "]chr2:321]G")),
        ("chr1:100:G:G[<ctg1>:7[", Variant("chr1", 99, "G", "G[<ctg1>:7[")),
        ("chr1:100:G:<DUP:TANDEM>", Variant("chr1", 99, "G", "<DUP:TANDEM>")),
        ("chr1:100:G:*", Variant("chr1", 99, "G", "*")),
    ],
)
def test_parse(text: str, expected: Variant) -> None:
    assert Variant.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chr1",
        "chr1:100",
        "chr1:100:A",
        "chr1:100:A:",
        "chr1:100::T",
        ":100:A:T",
        "chr1:x:A:T",
        "chr1:-5:A:T",
        "chr1:1,000:A:T",
        "chr1:100:A:C,T",
        "chr1:100:A:T ",
        "chr1-100-A-T",
    ],
)
def test_what_is_no_variant_is_named(text: str) -> None:
    with pytest.raises(InputError) as caught:
        Variant.parse(text)
    assert repr(text) in str(caught.value)
    assert "chr7:117199644:ATCT:A" in str(caught.value)


@pytest.mark.parametrize(
    ("ref", "alt", "expected"),
    [
        ("A", "C", None),
        ("a", "c", None),
        ("ACG", "A", None),
        ("A", "A", None),
        ("A", "*", Status.STAR),
        ("N", "*", Status.STAR),
        ("A", "<DEL>", Status.SYMBOLIC),
        ("A", "<*>", Status.SYMBOLIC),
        ("A", "<NON_REF>", Status.SYMBOLIC),
        ("N", "<INS:ME:ALU>", Status.SYMBOLIC),
        ("A", "C<ctg1>", Status.SYMBOLIC),
        ("A", "A[chr2:321681[", Status.BREAKEND),
        ("A", "]chr2:321681]A", Status.BREAKEND),
        ("A", "]<ctg1>:329]A", Status.BREAKEND),
        ("A", "A.", Status.BREAKEND),
        ("A", ".A", Status.BREAKEND),
        ("A", ".", Status.NON_ACGT),
        ("A", "N", Status.NON_ACGT),
        ("A", "R", Status.NON_ACGT),
        ("A", "U", Status.NON_ACGT),
        ("A", "A*", Status.NON_ACGT),
        ("A", "-", Status.NON_ACGT),
        ("A", "C\n", Status.NON_ACGT),
        ("N", "A", Status.NON_ACGT),
        ("ANA", "A", Status.NON_ACGT),
        ("", "A", Status.NON_ACGT),
    ],
)
def test_what_the_text_alone_rules_out(ref: str, alt: str, expected: Status | None) -> None:
    assert unscorable(ref, alt) == expected


@pytest.mark.parametrize(
    ("ref", "alt", "expected"),
    [
        ("G", "A", (100, 101, "A")),
        ("TG", "TA", (101, 102, "A")),
        ("GT", "AT", (100, 101, "A")),
        ("TGT", "TAT", (101, 102, "A")),
        ("AC", "GT", (100, 102, "GT")),
        ("CAA", "CA", (101, 102, "")),  # the suffix goes first, then the prefix
        ("CA", "CAA", (101, 101, "A")),
        ("AAA", "A", (100, 102, "")),
        ("A", "AAA", (100, 100, "AA")),
        ("ATA", "A", (100, 102, "")),
        ("CTCC", "CCC", (101, 102, "")),
        ("ACGT", "AT", (101, 103, "")),
        ("ACGT", "ATTT", (101, 103, "TT")),
        ("A", "A", (100, 100, "")),
        ("acg", "ATG", (101, 102, "T")),
    ],
)
def test_trim(ref: str, alt: str, expected: tuple[int, int, str]) -> None:
    assert trim("chr1", 100, ref, alt) == ("chr1", *expected)


def test_shared_prefix() -> None:
    assert [shared_prefix(*pair) for pair in [("", "A"), ("A", "C"), ("AC", "AG"), ("AC", "ACG"), ("AC", "AC")]] == [
        0,
        0,
        1,
        2,
        2,
    ]


@pytest.mark.parametrize(
    ("letters", "start", "ref", "alt", "expected"),
    [
        ("GCAAAT", 4, "A", "", (2, 3, "")),  # the last A of a run
        ("GCAAAT", 5, "", "A", (2, 2, "A")),
        ("GCACACT", 4, "AC", "", (1, 3, "")),  # CA at 1 is AC at 4, one period and a letter to the left
        ("GCACACT", 6, "", "AC", (1, 1, "CA")),
        ("GTCTCTCA", 5, "TC", "", (1, 3, "")),
        ("GATTACA", 3, "T", "", (2, 3, "")),
        ("GATTACA", 6, "", "G", (6, 6, "G")),
        ("AAAAA", 4, "A", "", (0, 1, "")),  # as far as the contig goes
        ("AAAAA", 5, "", "A", (0, 0, "A")),
        ("NAAA", 3, "A", "", (1, 2, "")),
        ("NNNN", 3, "N", "", (3, 4, "")),  # an unknown base says nothing of a repeat
        ("ACAC", 2, "A", "G", (2, 3, "G")),  # neither insertion nor deletion
        ("AAAA", 2, "AA", "C", (2, 4, "C")),
        ("AAAA", 2, "", "", (2, 2, "")),
    ],
)
def test_left_align(letters: str, start: int, ref: str, alt: str, expected: tuple[int, int, str]) -> None:
    allele = Allele("chr1", start, start + len(ref), alt)
    assert left_align(allele, Sequence(letters).fetch) == ("chr1", *expected)


@pytest.mark.parametrize("length", [63, 64, 65, 319, 320, 321, 5000])
def test_left_align_through_a_repeat_longer_than_what_is_read_at_once(length: int) -> None:
    sequence = Sequence("C" + "AT" * length + "G")
    end = 1 + 2 * length
    assert sequence.normalized(end - 3, "TAT", "T") == ("chr1", 1, 3, "")
    assert sequence.normalized(end, "G", "ATG") == ("chr1", 1, 1, "AT")
    assert sequence.normalized(end, "G", "TG") == ("chr1", end - 1, end - 1, "T")


bases = st.sampled_from("ACGT") | st.sampled_from("AC")  # few letters make repeats


@st.composite
def changes(draw: st.DrawFn, letters: str = "ACGT") -> tuple[str, int, int, str]:
    """Draw a contig, an interval of it and what replaces the interval; repeats and indels are frequent."""
    sequence = "".join(draw(st.lists(bases | st.sampled_from(letters), min_size=1, max_size=40)))
    start = draw(st.integers(0, len(sequence)))
    end = draw(st.integers(start, min(start + 6, len(sequence))))
    alt = "".join(draw(st.lists(bases, max_size=6)))
    assume(alt != sequence[start:end])
    return sequence, start, end, alt


@given(changes(), st.integers(0, 10), st.integers(0, 10))
def test_padding_on_either_side_changes_nothing(change: tuple[str, int, int, str], before: int, after: int) -> None:
    letters, start, end, alt = change
    left, right = max(0, start - before), min(len(letters), end + after)
    padded_alt = letters[left:start] + alt + letters[end:right]
    sequence = Sequence(letters)
    assert sequence.normalized(left, letters[left:right], padded_alt) == sequence.normalized(
        start, letters[start:end], alt
    )


@given(changes())
def test_the_allele_makes_the_same_sequence_as_the_record(change: tuple[str, int, int, str]) -> None:
    letters, start, end, alt = change
    expected = letters[:start] + alt + letters[end:]
    trimmed = trim("chr1", start, letters[start:end], alt)
    assert applied(letters, trimmed) == expected
    assert applied(letters, left_align(trimmed, Sequence(letters).fetch)) == expected


@given(changes())
def test_a_trimmed_allele_shares_no_end(change: tuple[str, int, int, str]) -> None:
    letters, start, end, alt = change
    allele = trim("chr1", start, letters[start:end], alt)
    ref = letters[allele.start : allele.end]
    assert start <= allele.start <= allele.end <= end
    assert not ref or not allele.alt or (ref[0] != allele.alt[0] and ref[-1] != allele.alt[-1])


@given(changes())
def test_letter_case_does_not_matter(change: tuple[str, int, int, str]) -> None:
    letters, start, end, alt = change
    ref = letters[start:end]
    assert (
        trim("chr1", start, ref.lower(), alt) == trim("chr1", start, ref, alt.lower()) == trim("chr1", start, ref, alt)
    )


@given(changes("ACGTN"))
def test_left_align_is_idempotent_and_stays_on_the_contig(change: tuple[str, int, int, str]) -> None:
    letters, start, end, alt = change
    sequence = Sequence(letters)
    once = sequence.normalized(start, letters[start:end], alt)
    assert left_align(once, sequence.fetch) == once
    assert 0 <= once.start <= start + len(alt) + end - start
    assert once.end <= len(letters)


@given(st.lists(bases, min_size=2, max_size=30).map("".join), st.data())
def test_a_deletion_is_one_allele_wherever_it_is_written(letters: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(letters) - 1))
    length = data.draw(st.integers(1, min(6, len(letters) - start)))
    without = letters[:start] + letters[start + length :]
    places = [
        place for place in range(len(letters) - length + 1) if letters[:place] + letters[place + length :] == without
    ]
    assert start in places
    found = {Sequence(letters).normalized(place, letters[place : place + length], "") for place in places}
    assert found == {("chr1", places[0], places[0] + length, "")}


@given(st.lists(bases, min_size=1, max_size=30).map("".join), st.data())
def test_an_insertion_is_one_allele_wherever_it_is_written(letters: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(letters)))
    inserted = data.draw(st.lists(bases, min_size=1, max_size=6).map("".join))
    length = len(inserted)
    after = letters[:start] + inserted + letters[start:]
    places = [
        place
        for place in range(len(letters) + 1)
        if letters[:place] + after[place : place + length] + letters[place:] == after
    ]
    assert start in places
    assert all(right - left == 1 for left, right in pairwise(places))
    found = {Sequence(letters).normalized(place, "", after[place : place + length]) for place in places}
    assert found == {("chr1", places[0], places[0], after[places[0] : places[0] + length])}
