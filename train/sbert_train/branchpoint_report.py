"""What a branchpoint run writes beside its models: all out-of-fold predictions, metrics, precision-recall curves."""

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from sbert_model.errors import OutputError
from sbert_model.tokenizer import VOCAB
from sbert_train.branchpoint import NETWORK, Bases, Result, Score
from sbert_train.branchpoint_data import Window
from sbert_train.classification_metrics import Ranking
from sbert_train.fold_training import best_epoch
from sbert_train.masking import IGNORED
from sbert_train.text_tables import write_gzip

PREDICTIONS = "predictions.tsv.gz"
METRICS = "metrics.json"
FIGURE = "precision_recall.png"
FILES = (PREDICTIONS, METRICS, FIGURE)

_COLOURS = ("#0b4f8a", "#d95f02", "#1b9e77", "0.5")


def write_report(out: Path, result: Result, windows: Sequence[Window], provenance: Mapping[str, object]) -> None:
    """Write the predictions, the metrics and the figure; each appears whole or not at all.

    Raises OutputError where they cannot be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".sbert-vcf-", dir=out) as temporary:
            new = Path(temporary)
            write_gzip(new / PREDICTIONS, _lines(result.bases, windows))
            (new / METRICS).write_text(json.dumps(_metrics(result, provenance), indent=1) + "\n", encoding="utf-8")
            _draw(new / FIGURE, result)
            for name in FILES:
                (new / name).replace(out / name)
    except OSError as error:
        raise OutputError(f"{out}: cannot write the results: {error.strerror or error}") from error


def summary(scores: Sequence[Score]) -> str:
    """Return a table for people: average precision of the network and the baselines, and its range over the folds."""
    lines = [f"{'model':<17} {'average precision':<22} by fold, mean (least to most)"]
    for score in scores:
        value = score.average_precision
        folds = score.by_fold
        lines.append(
            f"{score.model:<17} {value.value:.3f} [{value.low:.3f}, {value.high:.3f}]   "
            f"{sum(folds) / len(folds):.3f} ({min(folds):.3f} to {max(folds):.3f})"
        )
    return "\n".join(lines)


def _lines(bases: Bases, windows: Sequence[Window]) -> Iterator[str]:
    """One line for each base of each region; `start0` is its 0-based genomic place."""
    names = list(bases.scores)
    columns = ["chrom", "start0", "strand", "region_start0", "region_end", "base", "label", "fold"]
    yield "\t".join([*columns, *(name.replace(" + ", "_") for name in names)]) + "\n"
    for row in range(len(bases.labels)):
        window, place = windows[bases.windows[row]], int(bases.places[row])
        region = window.region
        start = region.start + place if region.strand == "+" else region.end - 1 - place
        cells = [region.contig, start, region.strand, region.start, region.end, VOCAB[window.bases[place]]]
        cells += [bases.labels[row], bases.folds[row], *(f"{bases.scores[name][row]:.6f}" for name in names)]
        yield "\t".join(map(str, cells)) + "\n"


def _metrics(result: Result, provenance: Mapping[str, object]) -> dict[str, object]:
    data = dict(result.data)
    # JSON has no NaN: no branchpoint on a strand is null.
    shares: dict[str, float] = data["share_of_a"]  # type: ignore[assignment]
    data["share_of_a"] = {strand: None if math.isnan(share) else share for strand, share in shares.items()}
    return {
        **provenance,
        "data": data,
        "chosen_epochs": best_epoch(result.epochs),
        "scores": [
            {**asdict(score), "mean_of_folds": sum(score.by_fold) / len(score.by_fold)} for score in result.scores
        ],
        "epochs": [{**asdict(epoch), "mean_validation": epoch.mean} for epoch in result.epochs],
    }


def _draw(path: Path, result: Result) -> None:
    from matplotlib.figure import Figure  # half a second, and an extra that annotating does without

    bases = result.bases
    counted = bases.labels != IGNORED
    truth = bases.labels[counted] == 1
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axis = figure.subplots()
    for score, colour in zip(result.scores, _COLOURS, strict=True):
        recall, precision = Ranking(truth, bases.scores[score.model][counted]).curve()
        value = score.average_precision
        axis.step(
            recall,
            precision,
            where="pre",
            color=colour,
            linewidth=2 if score.model == NETWORK else 1.2,
            label=f"{score.model}: {value.value:.3f} [{value.low:.3f}, {value.high:.3f}]",
        )
    axis.axhline(truth.mean(), color="0.8", linewidth=0.8, zorder=0)
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axis.legend(frameon=False, fontsize=8, title="average precision, 95 % interval", title_fontsize=8)
    axis.set_title(f"branchpoints of {result.data['windows']:,} windows, out of fold", fontsize=10)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    figure.savefig(path, format="png", dpi=150, metadata={"Software": None})
