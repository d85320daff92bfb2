"""The figure of an evaluation: cross-entropy and balanced accuracy by group, the model beside baselines."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sbert_train.evaluate_mlm import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = {
    "cross_entropy": "cross-entropy (nats per masked base; ← better)",
    "balanced_accuracy": "balanced accuracy (better →)",
}
_LABELS = {
    "all": "all bases",
    "cds": "CDS",
    "utr5": "5′ UTR",
    "utr3": "3′ UTR",
    "coding": "coding genes",
    "non-coding": "non-coding genes",
    "repeat": "repeats",
    "other": "outside repeats",
}
_ROW = 0.3  # inches
_BAND = 0.86  # of a row, grey
_SPREAD = 0.56  # of a row, between the first and the last model


class Style(NamedTuple):
    """How a model is drawn."""

    label: str
    colour: str
    marker: str
    size: float


def label(score: Score) -> str:
    """Return what people call the score's group."""
    return score.group if score.group_by == "species" else _LABELS.get(score.group, score.group)


def main_groups(scores: Sequence[Score]) -> list[list[Score]]:
    """Return the scores of each group, the model first; not the regions of single species."""
    groups: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        if score.group_by != "species,region":
            groups.setdefault((score.group_by, score.group), []).append(score)
    return list(groups.values())


def draw(path: Path, title: str, scores: Sequence[Score]) -> None:
    """Write the figure as PNG. Of the tables of either side it shows the one that is best over all bases."""
    from matplotlib.figure import Figure  # half a second, and an extra that annotating does without

    groups = main_groups(scores)
    styles = _styles(groups[0])
    heights = _heights(groups)
    figure = Figure(figsize=(11, 1.8 + _ROW * float(heights[-1])), layout="constrained")
    axes = figure.subplots(1, len(METRICS), sharey=True)
    for axis, (metric, text) in zip(axes, METRICS.items(), strict=True):
        _panel(axis, metric, groups, heights, styles)
        axis.set_xlabel(text)
    axes[0].set_yticks(heights, [label(rows[0]) for rows in groups])
    axes[0].set_ylim(heights[-1] + 0.6, -0.6)
    right = axes[-1].secondary_yaxis("right")
    right.set_yticks(heights, [f"{rows[0].bases:,}" for rows in groups], fontsize=8, color="0.4")
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    axes[-1].set_title("masked bases", loc="right", x=1.09, fontsize=8, color="0.4", pad=2)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(styles), frameon=False)
    figure.suptitle(f"{title}: masked bases of held-out pre-mRNA, 95 % bootstrap intervals", fontsize=11)
    figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _styles(rows: Sequence[Score]) -> dict[str, Style]:
    """Choose what is drawn of the models in `rows`, those over all bases."""
    sides = [row for row in rows if row.model.startswith("sides-")]
    best = min(sides, key=lambda row: row.figures.cross_entropy.value).model
    styles = {
        "model": Style("model", "#0b4f8a", "o", 6.5),
        best: Style(f"{best.removeprefix('sides-')} bases either side", "#d95f02", "D", 4),
    }
    for row in rows:
        if row.model.startswith("markov-"):
            styles[row.model] = Style(f"order-{row.model.removeprefix('markov-')} Markov", "#1b9e77", "^", 4.5)
    styles["composition"] = Style("base composition", "0.45", "s", 3.5)
    styles["untrained"] = Style("untrained network", "0.6", "x", 4.5)
    return styles


def _heights(groups: Sequence[Sequence[Score]]) -> npt.NDArray[np.float64]:
    """Rows from the top, with half a row between kinds of group."""
    kinds = [rows[0].group_by for rows in groups]
    steps = [0.0] + [1.0 if kind == before else 1.5 for before, kind in itertools.pairwise(kinds)]
    return np.cumsum(steps)


def _panel(
    axis: "Axes",
    metric: str,
    groups: Sequence[Sequence[Score]],
    heights: npt.NDArray[np.float64],
    styles: dict[str, Style],
) -> None:
    """Draw one figure of all groups: a point and its interval for each model."""
    for height in heights:
        axis.axhspan(height - _BAND / 2, height + _BAND / 2, color="0.95", linewidth=0, zorder=0)
    for (model, style), shift in zip(styles.items(), np.linspace(-_SPREAD / 2, _SPREAD / 2, len(styles)), strict=True):
        found = [next(row for row in rows if row.model == model) for rows in groups]
        estimates = [getattr(row.figures, metric) for row in found]
        values = np.array([estimate.value for estimate in estimates])
        axis.hlines(
            heights + shift,
            [estimate.low for estimate in estimates],
            [estimate.high for estimate in estimates],
            color=style.colour,
            linewidth=1.8 if model == "model" else 0.9,
            zorder=2,
        )
        axis.plot(
            values,
            heights + shift,
            linestyle="none",
            marker=style.marker,
            markersize=style.size,
            color=style.colour,
            label=style.label,
            zorder=3,
        )
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="0.8", linewidth=0.6, zorder=0.5)
