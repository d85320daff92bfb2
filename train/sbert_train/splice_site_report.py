"""What a splice-site run writes beside its models: predictions, metrics, a short table."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from sbert_model.errors import OutputError
from sbert_train.fold_training import best_epoch
from sbert_train.splice_site import MODELS, Predictions, Result, Score
from sbert_train.text_tables import write_gzip

PREDICTIONS = "predictions.tsv.gz"
METRICS = "metrics.json"


def write_report(out: Path, result: Result, provenance: Mapping[str, object]) -> None:
    """Write the predictions and the metrics; each appears whole or not at all.

    Raises OutputError where they cannot be written.
    """
    metrics = {
        **provenance,
        "chosen_epochs": best_epoch(result.epochs),
        "scores": [asdict(score) for score in result.scores],
        "epochs": [{**asdict(epoch), "mean_validation": epoch.mean} for epoch in result.epochs],
    }
    try:
        with tempfile.TemporaryDirectory(prefix=".sbert-vcf-", dir=out) as temporary:
            new = Path(temporary)
            write_gzip(new / PREDICTIONS, _lines(result.predictions))
            (new / METRICS).write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
            for name in (PREDICTIONS, METRICS):
                (new / name).replace(out / name)
    except OSError as error:
        raise OutputError(f"{out}: cannot write the results: {error.strerror or error}") from error


def summary(scores: Sequence[Score]) -> str:
    """Return a table for people: a line for each set and model."""
    lines = [f"{'set':<24} {'model':<8} {'sequences':>9}  F1     precision  recall  AUROC  average precision"]
    for score in scores:
        value = score.average_precision
        lines.append(
            f"{score.name:<24} {score.model:<8} {score.sequences:>9}  {score.calls.f1:.3f}  {score.calls.precision:.3f}"
            f"      {score.calls.recall:.3f}   {score.auroc:.3f}  {value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
        )
    return "\n".join(lines)


def _lines(predictions: Sequence[Predictions]) -> Iterator[str]:
    """One line for each sequence, by its number in its set; `.` for the fold of a test set, which all folds read."""
    yield "\t".join(["set", "sequence", "label", "fold", *MODELS]) + "\n"
    for part in predictions:
        for row, (label, fold) in enumerate(zip(part.labels, part.folds, strict=True)):
            cells = [part.name, row, label, "." if fold < 0 else fold]
            cells += [f"{part.probabilities[name][row]:.6f}" for name in MODELS]
            yield "\t".join(map(str, cells)) + "\n"
