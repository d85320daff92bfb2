"""What an evaluation writes: a table for programs, the same as JSON with all settings, a figure, a short text."""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from sbert_model.errors import OutputError
from sbert_train.evaluate_mlm import Evaluation, Score
from sbert_train.evaluation_figure import draw, label, main_groups
from sbert_train.mlm_metrics import Estimate, Figures

TSV = "scores.tsv"
JSON = "scores.json"
FIGURE = "figure.png"
FILES = (TSV, JSON, FIGURE)
_FIGURES = tuple(field.name for field in fields(Figures))


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raise OutputError where the folder cannot take the outputs: it is a file, or holds them already."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; -o names the folder that the scores go to")
    if not overwrite and (found := [name for name in FILES if (folder / name).exists()]):
        raise OutputError(f"{folder / found[0]}: exists already; give --overwrite or another folder")


def write_report(folder: Path, evaluation: Evaluation) -> None:
    """Write the table, the JSON and the figure; each appears whole or not at all.

    Raises OutputError when they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sbert-vcf-", dir=folder) as temporary:
            new = Path(temporary)
            (new / TSV).write_text(tsv(evaluation.scores), encoding="utf-8")
            (new / JSON).write_text(_json(evaluation), encoding="utf-8")
            draw(new / FIGURE, evaluation.model, evaluation.scores)
            for name in FILES:
                (new / name).replace(folder / name)
    except OSError as error:
        raise OutputError(f"{folder}: cannot write the scores: {error.strerror or error}") from error


def tsv(scores: Sequence[Score]) -> str:
    """Return one line per group and model, tab-separated, with a header; `.` where there is no interval."""
    header = [field.name for field in fields(Score) if field.name != "figures"]
    for name in _FIGURES:
        header += [name, f"{name}_low", f"{name}_high"]
    return "".join("\t".join(line) + "\n" for line in [header, *map(_cells, scores)])


def _cells(score: Score) -> list[str]:
    cells = [str(getattr(score, field.name)) for field in fields(Score) if field.name != "figures"]
    for name in _FIGURES:
        estimate: Estimate = getattr(score.figures, name)
        cells += [
            "." if math.isnan(value) else f"{value:.6f}" for value in (estimate.value, estimate.low, estimate.high)
        ]
    return cells


def _json(evaluation: Evaluation) -> str:
    rows = []
    for score in evaluation.scores:
        row = asdict(score)
        # JSON has no NaN: no interval is null.
        row["figures"] = {
            name: {key: None if math.isnan(value) else value for key, value in estimate.items()}
            for name, estimate in row["figures"].items()
        }
        rows.append(row)
    return json.dumps({**evaluation.provenance, "scores": rows}, indent=1) + "\n"


def summary(scores: Sequence[Score]) -> str:
    """Return a table for people: a line per group, the model beside the best of the baselines there."""
    lines = [
        f"{'group':<17} {'bases':>8}  {'cross-entropy, nats':<22} {'accuracy':<8} {'balanced':<8}  "
        f"{'best baseline':<13} {'nats':<7} model better by"
    ]
    for rows in main_groups(scores):
        model, best = rows[0], min(rows[1:], key=lambda row: row.figures.cross_entropy.value)
        lines.append(
            f"{label(model):<17} {model.bases:>8}  {_text(model.figures.cross_entropy):<22} "
            f"{model.figures.accuracy.value:<8.3f} {model.figures.balanced_accuracy.value:<8.3f}  "
            f"{best.model:<13} {best.figures.cross_entropy.value:<7.3f} {_text(best.figures.gain)}"
        )
    return "\n".join(lines)


def _text(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
