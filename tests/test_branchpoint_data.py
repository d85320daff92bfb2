import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sbert_model.errors import InputError
from sbert_model.tokenizer import decode
from sbert_train.branchpoint_data import (
    CONTIG_END,
    HAS_N,
    NO_BRANCHPOINT,
    NO_CONTIG,
    read_branchpoints,
    share_of_a,
)
from tests.tiny_branchpoints import MOTIF, TinyBranchpoints, bed_line, write_tiny_branchpoints


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyBranchpoints:
    return write_tiny_branchpoints(tmp_path_factory.mktemp("tiny"))


def test_bed_and_table_give_the_same_windows_on_both_strands(tiny: TinyBranchpoints) -> None:
    from_bed = read_branchpoints(tiny.bed, tiny.fasta)
    from_table = read_branchpoints(tiny.table)
    assert from_bed.left_out == from_table.left_out == {}
    assert len(from_bed.windows) == len(tiny.windows) == 24
    for left, right, (contig, start, strand, labels) in zip(
        from_bed.windows, from_table.windows, tiny.windows, strict=True
    ):
        assert (left.region.contig, left.region.start, left.region.strand) == (contig, start, strand)
        assert left.region.labels.tolist() == right.region.labels.tolist() == labels
        assert len(left.ids) == 510
        np.testing.assert_array_equal(left.ids, right.ids)
        assert left.places == slice(241, 268)
        assert MOTIF in decode(left.bases)
    assert share_of_a(from_bed.windows, "+") == share_of_a(from_bed.windows, "-") == 1


def test_sequence_beyond_what_is_known_is_n(tiny: TinyBranchpoints, tmp_path: Path) -> None:
    labels = [0] * 27
    labels[5] = 1
    bed = tmp_path / "edge.bed"
    bed.write_text(bed_line("chr1", 100, "+", labels) + bed_line("chr1", 100, "-", labels))
    plus, minus = read_branchpoints(bed, tiny.fasta).windows
    # 241 nt belong before the region of a plus window, 242 after that of a minus window: 141 and 142 are missing.
    assert decode(plus.ids[:142]).replace("N", "") == decode(plus.ids[141:142])
    assert decode(minus.ids[-143:]).replace("N", "") == decode(minus.ids[-143:-142])

    table = tmp_path / "short.tsv"
    table.write_text(
        "sequence\tchrom\tstart0\tend\tstrand\tlabels\tup_len\tdown_len\n"
        f"{'acgt' * 10}\tc\t9\t12\t-\t0,1,-100\t20\t17\n"
    )
    (short,) = read_branchpoints(table).windows
    assert decode(short.bases) == "ACG"
    assert decode(short.ids).strip("N") == "ACGT" * 10


def test_windows_are_left_out_for_a_reason_that_is_counted(tiny: TinyBranchpoints, tmp_path: Path) -> None:
    labels = [0] * 27
    none, one = list(labels), list(labels)
    one[3] = 1
    fasta = tmp_path / "n.fa"
    fasta.write_text(">1\n" + "A" * 600 + "N" + "C" * 600 + "\n")
    bed = tmp_path / "n.bed"
    lines = [("chr1", 300, "+", one), ("chr1", 300, "+", none), ("chr1", 590, "-", one), ("chr1", 1190, "+", one)]
    bed.write_text("".join(bed_line(*line) for line in [*lines, ("chr9", 5, "+", one), ("chr9", 5, "+", none)]))
    data = read_branchpoints(bed, fasta)
    assert [window.region.start for window in data.windows] == [300]
    assert data.left_out == {NO_BRANCHPOINT: 2, HAS_N: 1, CONTIG_END: 1, NO_CONTIG: 1}

    bed.write_text(bed_line("chr1", 1190, "+", one))
    with pytest.raises(InputError, match=r"n\.bed: no window is left to learn from: 1 region over the end"):
        read_branchpoints(bed, fasta)


BED_ERRORS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "too few labels": (lambda c: [*c[:4], "0,1", c[5]], r":2: 2 labels for the 27 nt of chr2:700-727"),
    "unknown label": (lambda c: [*c[:4], c[4].replace("1,", "7,", 1), c[5]], r":2: label 7; expected 0, 1, -100"),
    "label is no number": (lambda c: [*c[:4], "x", c[5]], r":2: label 'x'"),
    "strand": (lambda c: [*c[:5], "."], r":2: strand '\.'"),
    "columns": (lambda c: c[:4], r":2: expected contig, start"),
    "end before start": (lambda c: [c[0], "900", *c[2:]], r":2: the interval 900 to 727 is none"),
}


@pytest.mark.parametrize("name", BED_ERRORS)
def test_bed_lines_that_do_not_fit_are_named(name: str, tiny: TinyBranchpoints, tmp_path: Path) -> None:
    change, message = BED_ERRORS[name]
    lines = tiny.bed.read_text().splitlines()
    lines[1] = "\t".join(change(lines[1].split("\t")))
    bad = tmp_path / "bad.bed"
    bad.write_text("\n".join(lines))
    with pytest.raises(InputError, match=message):
        read_branchpoints(bad, tiny.fasta)


def test_table_lines_that_do_not_fit_are_named(tiny: TinyBranchpoints, tmp_path: Path) -> None:
    header, first, *_ = tiny.table.read_text().splitlines()
    bad = tmp_path / "bad.tsv"
    for line, message in (
        (first.replace("\t300\t300\t", "\t301\t300\t"), ":2: 27 labels, but up_len 301 and down_len 300 leave 26 of"),
        (first[:-1] + "!", ":2: the sequence holds '!', no base"),
        (first + "\tmore", ":2: 9 columns, the header has 8"),
    ):
        bad.write_text(f"{header}\n{line}\n")
        with pytest.raises(InputError, match=message):
            read_branchpoints(bad)


def test_sequences_come_from_one_place(tiny: TinyBranchpoints) -> None:
    with pytest.raises(InputError, match="a BED has no sequences: give --fasta"):
        read_branchpoints(tiny.bed)
    with pytest.raises(InputError, match="has sequences of its own; leave --fasta"):
        read_branchpoints(tiny.table, tiny.fasta)


def test_broken_files_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.tsv.gz"
    broken.write_bytes(gzip.compress(b"some text\n" * 100)[:25])
    with pytest.raises(InputError, match=r"broken\.tsv\.gz: gzip file broken"):
        read_branchpoints(broken)
    with pytest.raises(InputError, match=r"none\.tsv: cannot be read"):
        read_branchpoints(tmp_path / "none.tsv")
    empty = tmp_path / "empty.tsv"
    empty.write_text("# nothing\n")
    with pytest.raises(InputError, match=r"empty\.tsv: holds no lines"):
        read_branchpoints(empty)


@pytest.mark.real_data
def test_orientation_of_the_labels_shows_in_the_bases(data: Path) -> None:
    """Labels read in the wrong direction would give about 0.25 to 0.3 on one strand."""
    table = read_branchpoints(data / "branchpoints" / "mercer.tsv.gz")
    assert (len(table.windows), table.left_out) == (2579, {NO_BRANCHPOINT: 275})
    bed = read_branchpoints(data / "branchpoints" / "mercer_dataset.hg19.bed.gz", data / "hg19" / "hg19.regions.fa.gz")
    assert len(bed.windows) == 234
    for windows in (table.windows, bed.windows):
        for strand in "+-":
            assert 0.72 < share_of_a(windows, strand) < 0.85
    # A window that is in both is the same in both.
    by_place = {(w.region.contig, w.region.start, w.region.strand): w for w in table.windows}
    both = 0
    for window in bed.windows:
        other = by_place.get((window.region.contig, window.region.start, window.region.strand))
        if other is not None:
            both += 1
            np.testing.assert_array_equal(window.region.labels, other.region.labels)
            np.testing.assert_array_equal(window.bases, other.bases)
    assert both > 200
