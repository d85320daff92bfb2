"""sbert_vcf.mutagenesis_figure: what the heat maps hold, in which direction, and that they can be drawn."""

import importlib.util
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbert_model.annotation import Transcript
from sbert_model.errors import SbertError
from sbert_vcf.acceptors import Acceptor
from sbert_vcf.mutagenesis_figure import HeatMaps, _boundaries, need_matplotlib
from sbert_vcf.mutagenesis_rows import Row, Track
from sbert_vcf.mutagenesis_targets import Stretch
from sbert_vcf.results import BranchpointScore, GeneScore, SpliceSiteKL
from sbert_vcf.strand import Placement
from sbert_vcf.variant import Status, Variant

EXONS = ((80, 101), (110, 115), (120, 140))
BASES = "ACGTACGTAC"  # of [105, 115)


def track_of(strand: str, start: int = 105, end: int = 115, named: bool = False) -> Track:
    transcript = Transcript("chr1", 80, 140, strand, "T", "G", "SYMBOL", EXONS)
    acceptor = Acceptor("chr1", 110 if strand == "+" else 114, strand)
    stretch = Stretch(
        "T:1" if named else "chr1:106-115", "chr1", start, end, *((transcript, acceptor) if named else ())
    )
    return Track(stretch, Placement(strand, "GTF", "", "SYMBOL", "G", "T"), (transcript,), (acceptor,))


def rows_of(track: Track) -> Sequence[Row]:
    """Of every base but the last; KL-context counts up, the first base has a branchpoint."""
    rows: list[Row] = []
    for number, ref in enumerate(BASES[:-1]):
        for alt in "ACGT".replace(ref, ""):
            branchpoint = BranchpointScore(0.25, 0.0, -5, 110) if number == 0 else None
            score = GeneScore(track.placement, -1000.0 + len(rows), None, SpliceSiteKL(None, 0.5), branchpoint)
            variant = Variant("chr1", 105 + number, ref, alt)
            rows.append(
                Row(track.stretch, variant, Status.OK, track, score, reference_bp=0.75 if branchpoint else None)
            )
    rows.append(Row(track.stretch, Variant("chr1", 114, "C", "A"), Status.NO_GENE))
    return rows


def gathered(strand: str, named: bool = False) -> HeatMaps:
    maps = HeatMaps()
    for row in rows_of(track_of(strand, named=named)):
        maps.add(row)
    return maps


def test_values_stand_at_their_base_in_sense_direction() -> None:
    (plus,) = gathered("+")._panels.values()
    (minus,) = gathered("-")._panels.values()
    assert "".join(plus.sense) == "ACGTACGTA "
    assert "".join(minus.sense) == " TACGTACGT"
    assert list(plus.values) == ["KL-context (nats)", "branchpoint loss", "branchpoint gain", "acceptor KL (nats)"]
    assert np.isnan(plus.values["KL-context (nats)"][0, 0])  # the reference base itself
    np.testing.assert_array_equal(plus.values["KL-context (nats)"][1:, 0], [-1000, -999, -998])
    for name, values in plus.values.items():
        # A on the one strand is T on the other, and the last base comes first.
        np.testing.assert_array_equal(minus.values[name], values[::-1, ::-1])
    assert np.flatnonzero(np.isfinite(plus.values["branchpoint loss"]).any(0)).tolist() == [0]
    assert plus.reference_bp[0] == minus.reference_bp[-1] == 0.75
    assert np.isfinite(plus.reference_bp).sum() == 1


@pytest.mark.parametrize(
    ("strand", "start", "end", "expected"),
    [
        ("+", 100, 125, [(1, "donor"), (10, "acceptor"), (15, "donor"), (20, "acceptor")]),
        ("-", 100, 125, [(5, "donor"), (10, "acceptor"), (15, "donor"), (24, "acceptor")]),
        ("+", 102, 110, [(8, "acceptor")]),
        ("+", 102, 109, []),
        ("-", 80, 101, [(0, "acceptor")]),
    ],
)
def test_splice_sites_lie_before_their_column(
    strand: str, start: int, end: int, expected: list[tuple[int, str]]
) -> None:
    assert list(_boundaries(track_of(strand, start, end))) == expected


def texts(path: Path) -> list[str]:
    """The comments that matplotlib writes of each text that it draws as outlines."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    nodes: Iterable[Any] = ElementTree.parse(path, parser).getroot().iter()
    return [node.text.strip() for node in nodes if node.tag is ElementTree.Comment]


def test_figures_show_the_sequence_the_sites_and_the_scores(tmp_path: Path) -> None:
    path = tmp_path / "figure"
    gathered("-", named=True).save(path, "svg")
    shown = texts(path)
    assert "T:1   chr1:106-115   SYMBOL (-)" in shown
    letters = [text for text in shown if text in ("A", "C", "G", "T")]
    assert "".join(letters[-9:]) == "TACGTACGT"
    assert shown.count("acceptor") == 1
    assert "p(branch-" in " ".join(shown)
    assert any(text.startswith("nt from the first exon base") for text in shown)


def test_equal_runs_give_equal_figures(tmp_path: Path) -> None:
    for name in ("one", "two"):
        gathered("+").save(tmp_path / name, "png")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes()[:4] == b"\x89PNG"


def test_several_tracks_of_any_length_are_one_figure(tmp_path: Path) -> None:
    maps = gathered("+")
    for row in rows_of(track_of("-")):
        maps.add(row)
    long = track_of("+", 0, 700)._replace(stretch=Stretch("chr1:1-700", "chr1", 0, 700))
    maps.add(Row(long.stretch, Variant("chr1", 5, "A", "C"), Status.OK, long, GeneScore(long.placement, -1000.0)))
    assert len(maps._panels) == 3
    maps.save(tmp_path / "figure", "svg")
    assert any("SYMBOL (-)" in text for text in texts(tmp_path / "figure"))


def test_nothing_to_draw_is_said_in_the_figure(tmp_path: Path) -> None:
    HeatMaps().save(tmp_path / "figure", "svg")
    assert "no substitution has a score" in texts(tmp_path / "figure")


def test_matplotlib_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    need_matplotlib()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SbertError, match=r"^--plot needs matplotlib; run: pip install 'sbert-vcf\[train\]'$"):
        need_matplotlib()
