"""Heat maps of in silico mutagenesis: position × base for each score, in sense direction, with the splice sites.

Laid out as in Chen et al. 2024 (Briefings in Bioinformatics 25(3), bbae163), Figures 5C-E and 6.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sbert_model.errors import SbertError
from sbert_vcf.mutagenesis_rows import BASES, Row, Track
from sbert_vcf.results import GeneScore
from sbert_vcf.strand import Placement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

SUFFIXES = ("png", "svg")

_Floats = npt.NDArray[np.float64]


class _Score(NamedTuple):
    """A heat map: its title, its colours and what it shows.

    The colours run from 0 to the largest value, but at least to `least`; without it from the smallest to the largest.
    """

    title: str
    colours: str
    value: Callable[[GeneScore], float | None]
    least: float | None = None


_SCORES = (
    _Score("KL-context (nats)", "YlGnBu", lambda score: score.kl),
    _Score("branchpoint loss", "Reds", lambda score: score.branchpoint and score.branchpoint.loss, 0.1),
    _Score("branchpoint gain", "Blues", lambda score: score.branchpoint and score.branchpoint.gain, 0.1),
    _Score("donor KL (nats)", "Purples", lambda score: score.splice_sites.donor, 0.01),
    _Score("acceptor KL (nats)", "Greens", lambda score: score.splice_sites.acceptor, 0.01),
)
_CELL = 0.13  # inches
_NARROWEST, _WIDEST = 5.0, 60.0  # inches of heat map
_LETTERS = 0.09  # inches that a cell needs to have letters


@dataclass
class _Panel:
    """A track in sense direction: its bases (' ' without scores), p(branchpoint) (L,), and each score (4, L)."""

    track: Track
    sense: list[str]
    reference_bp: _Floats
    values: dict[str, _Floats] = field(default_factory=dict)

    def column(self, position: int) -> int:
        """Return where a base stands, counted from the first in sense direction."""
        stretch = self.track.stretch
        return position - stretch.start if self.track.placement.strand == "+" else stretch.end - 1 - position


class HeatMaps:
    """Gathers rows and draws them: 4 numbers for each base, score and track stay in memory."""

    def __init__(self) -> None:
        self._panels: dict[tuple[str, Placement], _Panel] = {}

    def add(self, row: Row) -> None:
        """Take a row; one without scores leaves its cell empty."""
        if row.track is None or row.score is None:
            return
        key = (row.stretch.name, row.track.placement)
        if key not in self._panels:
            length = len(row.stretch)
            self._panels[key] = _Panel(row.track, [" "] * length, np.full(length, np.nan))
        panel = self._panels[key]
        column = panel.column(row.variant.start)
        panel.sense[column] = row.sense(row.variant.ref) or " "
        if row.reference_bp is not None:
            panel.reference_bp[column] = row.reference_bp
        base = BASES.index(row.sense(row.variant.alt) or "A")
        for score in _SCORES:
            value = score.value(row.score)
            if value is not None:
                empty = np.full((len(BASES), len(row.stretch)), np.nan)
                panel.values.setdefault(score.title, empty)[base, column] = value

    def save(self, path: Path, kind: str) -> None:
        """Draw all panels, one below the other, and write them as 'png' or 'svg'."""
        from matplotlib.figure import Figure  # half a second, and an extra that scoring does without

        panels = list(self._panels.values())
        longest = max((len(panel.sense) for panel in panels), default=1)
        width = min(max(longest * _CELL, _NARROWEST), _WIDEST)
        heights = [1.2 + 0.75 * len(panel.values) for panel in panels]
        figure = Figure(figsize=(width + 2.4, sum(heights, 0.4)), layout="constrained")
        if not panels:
            figure.text(0.5, 0.5, "no substitution has a score", ha="center", va="center")
        else:
            parts = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)
            for part, panel in zip(parts[:, 0], panels, strict=True):
                _draw(part, panel, lettered=width / longest >= _LETTERS)
        # Without a date or a version, so that equal runs give equal files.
        metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
        figure.savefig(path, format=kind, dpi=150, metadata=metadata)


def need_matplotlib() -> None:
    """Raise SbertError where matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise SbertError("--plot needs matplotlib; run: pip install 'sbert-vcf[train]'")


def _draw(part: "Figure | SubFigure", panel: _Panel, lettered: bool) -> None:
    """Draw one panel: the track of splice sites above a heat map for each score."""
    track, length = panel.track, len(panel.sense)
    scores = [score for score in _SCORES if score.title in panel.values]
    axes = part.subplots(1 + len(scores), 1, sharex=True, squeeze=False, height_ratios=[0.8, *[1] * len(scores)])[:, 0]
    axes[0].set_xlim(-0.5, length - 0.5)
    stretch, placement = track.stretch, track.placement
    gene = " ".join(name for name in (placement.symbol or placement.gene, f"({placement.strand})") if name)
    place = f"{stretch.contig}:{stretch.start + 1}-{stretch.end}"
    axes[0].set_title("   ".join(dict.fromkeys((stretch.name, place, gene))), fontsize=9, loc="left", pad=12)
    _draw_track(axes[0], panel)
    for axis, score in zip(axes[1:], scores, strict=True):
        image = _draw_map(axis, panel, score, lettered)
        bar = part.colorbar(image, ax=axis, pad=0.01, aspect=8, fraction=0.05)
        bar.ax.tick_params(labelsize=6)
        bar.ax.set_ylabel(score.title.replace(" (", "\n("), fontsize=6)
    for axis in axes:
        for boundary, _ in _boundaries(track):
            axis.axvline(boundary - 0.5, color="0.25", linewidth=0.8, linestyle=(0, (3, 2)))
        axis.tick_params(axis="x", bottom=False, labelbottom=axis is axes[-1], labelsize=7, pad=11)
    _label_bases(axes[-1], panel, lettered)


def _draw_track(axis: "Axes", panel: _Panel) -> None:
    """Draw p(branchpoint) of the reference as bars, exons as blocks below, and the names of the splice sites."""
    track, length = panel.track, len(panel.sense)
    known = np.flatnonzero(np.isfinite(panel.reference_bp))
    axis.bar(known, 1, width=1, color="#b2182b", alpha=0.06)  # where the model looks for branchpoints
    axis.bar(known, panel.reference_bp[known], width=0.8, color="#b2182b")
    axis.set_ylim(-0.5, 1)
    axis.set_yticks([0, 1] if len(known) else [])
    axis.tick_params(axis="y", labelsize=6)
    if len(known):
        axis.set_ylabel("p(branch-\npoint)", fontsize=6)
    if track.transcripts:
        axis.plot([-0.5, length - 0.5], [-0.25, -0.25], color="0.4", linewidth=0.8)
    for exons in _exons(track):
        for start, end in exons:
            if start < length and end > 0:
                axis.fill_between([max(start, 0) - 0.5, min(end, length) - 0.5], -0.4, -0.1, color="0.4", linewidth=0)
    for boundary, site in _boundaries(track):
        axis.text(boundary - 0.5, 1.04, site, fontsize=6, ha="center", va="bottom")
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)


def _draw_map(axis: "Axes", panel: _Panel, score: _Score, lettered: bool) -> "AxesImage":
    from matplotlib import colormaps

    values = panel.values[score.title]  # (4, L)
    low, high = (0.0, max(score.least, np.nanmax(values))) if score.least else (np.nanmin(values), np.nanmax(values))
    colours = colormaps[score.colours].with_extremes(bad="0.94")
    image = axis.imshow(values, aspect="auto", interpolation="nearest", cmap=colours, vmin=low, vmax=high)
    axis.set_yticks(range(len(BASES)), list(BASES), fontsize=6)
    if lettered:
        columns = [column for column, base in enumerate(panel.sense) if base in BASES]
        rows = [BASES.index(panel.sense[column]) for column in columns]
        axis.plot(columns, rows, ".", markersize=1.5, color="0.55")
    return image


def _label_bases(axis: "Axes", panel: _Panel, lettered: bool) -> None:
    """Write the reference sequence below a map, and where its bases lie: from the named acceptor, or on the contig."""
    stretch, length = panel.track.stretch, len(panel.sense)
    if lettered:
        for column, base in enumerate(panel.sense):
            axis.text(
                column,
                -0.04,
                base,
                fontsize=6,
                ha="center",
                va="top",
                transform=axis.get_xaxis_transform(),
                family="monospace",
            )
    plus = panel.track.placement.strand == "+"
    step = max(10, 10 ** (len(str(length)) - 2))
    if stretch.acceptor is None:
        unit = f"position on {stretch.contig}"
        ticks = {panel.column(at - 1): str(at) for at in range(stretch.start + 1, stretch.end + 1) if at % step == 0}
    else:
        first = panel.column(stretch.acceptor.position)
        unit = "nt from the first exon base"
        ticks = {column: str(column - first) for column in range(length) if (column - first) % step == 0}
    axis.set_xticks(list(ticks), list(ticks.values()))
    axis.set_xlabel(f"{unit}{'' if plus else ', minus strand'}; 5' to 3'", fontsize=7)


def _exons(track: Track) -> list[list[tuple[int, int]]]:
    """Return the exons of each transcript as columns [start, end), in sense direction."""
    start, end = track.stretch.start, track.stretch.end
    return [
        [(first - start, last - start) for first, last in transcript.exons]
        if transcript.strand == "+"
        else [(end - last, end - first) for first, last in reversed(transcript.exons)]
        for transcript in track.transcripts
    ]


def _boundaries(track: Track) -> Sequence[tuple[int, str]]:
    """Return the splice sites in the stretch: the column behind each boundary of exon and intron, and its name."""
    found = {
        site
        for exons in _exons(track)
        for site in (
            *((start, "acceptor") for start, _ in exons[1:]),
            *((end, "donor") for _, end in exons[:-1]),
        )
        if 0 <= site[0] <= len(track.stretch)
    }
    return sorted(found)
