"""Where branchpoint regions lie, and the windows around them."""

import csv
import gzip
from pathlib import Path

import pytest

from sbert_model.branchpoint import BRANCHPOINT, REGION, WINDOW, region_of, window_around


def test_the_region_is_18_to_44_nt_upstream() -> None:
    assert (REGION[0], REGION[-1], len(REGION)) == (-44, -18, 27)
    assert (WINDOW, BRANCHPOINT) == (510, 1)


def test_region_on_both_strands() -> None:
    # The first exon base is 1000: base 982 is 18 nt upstream of it on the plus strand, 1018 on the minus strand.
    assert region_of(1000, "+") == (956, 983)
    assert region_of(1000, "-") == (1018, 1045)


def test_window_has_the_region_in_its_middle_and_the_odd_base_downstream() -> None:
    assert window_around(956, 983) == (956 - 241, 983 + 242)
    assert window_around(1018, 1045, "-") == (1018 - 242, 1045 + 241)
    assert window_around(100, 110) == (100 - 250, 110 + 250)
    assert window_around(REGION.start, REGION.stop) == (-285, 225)


@pytest.mark.real_data
def test_regions_are_those_of_the_published_data_set(data: Path) -> None:
    with gzip.open(data / "branchpoints/mercer.tsv.gz", "rt") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert len(rows) == 2854
    for row in rows:
        assert region_of(int(row["acceptor"]) - 1, row["strand"]) == (int(row["start0"]), int(row["end"]))
    # A window laid in the sequence on the sense strand shows the region at 241, as one laid in the genome does.
    bases = []
    for row in rows:
        start, end = int(row["up_len"]), len(row["sequence"]) - int(row["down_len"])
        first, last = window_around(start, end)
        if first < 0 or last > len(row["sequence"]):
            continue
        region = row["sequence"][first:last][241 : 241 + 27]
        bases += [base for base, label in zip(region, row["labels"].split(","), strict=True) if label == "1"]
    assert 0.7 < bases.count("A") / len(bases) < 0.8
