"""What do substitutions near held-out branchpoints do to their probability? Prints tables as Markdown.

Run: python benchmarks/branchpoint_mutagenesis.py RUN [--sample 200] [--windows FILE] [--fasta FASTA]

RUN is a folder that `sbert-vcf train branchpoint` wrote, --windows the data that it learnt from (by default
branchpoints/mercer.tsv.gz in $SBERT_VCF_DATA), --fasta the genome of a BED. Branchpoints are drawn at random; every
base within 8 nt of them is replaced by each other base in the 510 nt of training, and read by the model of the fold
that did not know the window. Δp is p(reference) - p(alternate) of the branchpoint itself: its loss. Intervals are
95 %, from a bootstrap over branchpoints. The paper finds the effect in [-3, +1], and that of the branchpoint itself the
largest (Chen et al. 2024, bbae163, Figure 5C, E).
"""

import argparse
import csv
import gzip
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "model"), str(ROOT / "train")]

from sbert_model.branchpoint import BRANCHPOINT  # noqa: E402
from sbert_model.checkpoint import load_token_classifier  # noqa: E402
from sbert_model.device import select_device, use_cpu_threads  # noqa: E402
from sbert_model.predict import Predictor  # noqa: E402
from sbert_model.tokenizer import Ids, decode, encode  # noqa: E402
from sbert_train.branchpoint_data import Window, read_branchpoints  # noqa: E402

SEED = 1
OFFSETS = range(-8, 9)
NEAR = range(-3, 2)
"""Where the paper finds the effect."""
IN_DETAIL = range(-4, 3)
FEWEST = 5  # branchpoints of a cell of the table in detail
RESAMPLES = 1000
Floats = npt.NDArray[np.float64]


class Branchpoint(NamedTuple):
    """A branchpoint: its index in the 510 nt of a window, and the fold that did not know the window."""

    window: Window
    place: int
    fold: int


class Mutated(NamedTuple):
    """A branchpoint's probability, and its loss by every substitution: (17, 4) by offset and base, NaN for its own."""

    bases: str
    reference: float
    losses: Floats


def branchpoints(run: Path, windows: list[Window]) -> list[Branchpoint]:
    """Return every branchpoint of the windows with its fold, which the run's predictions tell in the same order."""
    found = []
    with gzip.open(run / "predictions.tsv.gz", "rt") as text:
        rows = csv.DictReader(text, delimiter="\t")
        for window in windows:
            region = window.region
            labels = region.labels.tolist()
            mine = [row for _, row in zip(labels, rows, strict=False)]  # in this order no row is lost
            known = [(row["chrom"], row["region_start0"], row["strand"], row["label"]) for row in mine]
            if known != [(region.contig, str(region.start), region.strand, str(label)) for label in labels]:
                sys.exit(f"{run}: predictions are not those of these windows; give --windows what the run learnt from")
            places = (window.places.start + number for number, label in enumerate(labels) if label == BRANCHPOINT)
            found += [Branchpoint(window, place, int(mine[0]["fold"])) for place in places]
    return found


def substituted(ids: Ids, place: int) -> Iterator[tuple[int, int, Ids]]:
    """Yield offset and base (both as row and column of a table) of every substitution, and the changed sequence."""
    for row, offset in enumerate(OFFSETS):
        for column, base in enumerate(encode("ACGT")):
            if base != ids[place + offset]:
                changed = ids.copy()
                changed[place + offset] = base
                yield row, column, changed


def mutate(one: Branchpoint, predictor: Predictor) -> Mutated:
    """Read the window without and with every substitution."""
    ids = one.window.ids
    changes = list(substituted(ids, one.place))
    reference, *changed = (
        float(np.exp(log_probs[one.place, BRANCHPOINT]))
        for log_probs in predictor.log_probs([ids, *(sequence for _, _, sequence in changes)])
    )
    losses = np.full((len(OFFSETS), 4), np.nan)
    for (row, column, _), probability in zip(changes, changed, strict=True):
        losses[row, column] = reference - probability
    around = ids[one.place + OFFSETS.start : one.place + OFFSETS.stop]
    return Mutated(decode(around), reference, losses)


def interval(values: Floats) -> str:
    """Return the mean of values, one for each branchpoint, and its interval."""
    numbers = np.random.default_rng(SEED)
    means = values[numbers.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.4f} ({low:.4f}–{high:.4f})"


def _signed(offset: int) -> str:
    return f"{offset:+d}" if offset else "0"


def report(mutated: list[Mutated], branchpoints_there: int) -> None:
    """Print the tables."""
    losses = np.stack([one.losses for one in mutated])  # (N, 17, 4)
    magnitudes = np.nanmean(np.abs(losses), axis=2)  # (N, 17)
    by_offset = magnitudes.mean(axis=0)
    near = [OFFSETS.index(offset) for offset in NEAR]
    references = np.array([one.reference for one in mutated])
    print(f"{len(mutated)} of {branchpoints_there} branchpoints; their probability: mean {interval(references)}.")
    print(f"[{NEAR[0]}, +{NEAR[-1]}] has {by_offset[near].sum() / by_offset.sum():.0%} of the sum of mean |Δp|.\n")
    print("| offset | mean \\|Δp\\| | mean loss |\n|--:|--:|--:|")
    for row, offset in enumerate(OFFSETS):
        loss = np.nanmean(losses[:, row], axis=1)  # (N,)
        print(f"| {_signed(offset)} | {interval(magnitudes[:, row])} | {interval(loss)} |")
    print(f"\nMean |Δp| by substitution (a dash: fewer than {FEWEST} branchpoints have that base):\n")
    print("| offset | base | n | to A | to C | to G | to U | mean \\|Δp\\| | mean loss |")
    print("|--:|---|--:|--:|--:|--:|--:|--:|--:|")
    for offset in IN_DETAIL:
        row = OFFSETS.index(offset)
        for base in "ACGT":
            own = np.array([one.bases[row] == base for one in mutated])
            if own.sum() < FEWEST:
                print(f"| {_signed(offset)} | {base.replace('T', 'U')} | {own.sum()} |{' – |' * 6}")
                continue
            of_base = losses[own, row]  # (n, 4)
            cells = [f"{np.abs(of_base[:, to]).mean():.4f}" if "ACGT"[to] != base else "" for to in range(4)]
            means = [f"{np.nanmean(np.abs(of_base)):.4f}", f"{np.nanmean(of_base):.4f}"]
            print(f"| {_signed(offset)} | {base.replace('T', 'U')} | {own.sum()} | {' | '.join([*cells, *means])} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--sample", type=int, default=200, help="branchpoints; 52 windows are read for each")
    parser.add_argument("--windows", type=Path, help="table or BED that the run learnt from")
    parser.add_argument("--fasta", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    data = os.environ.get("SBERT_VCF_DATA")
    if options.windows is None and data is None:
        sys.exit("branchpoint_mutagenesis.py: name the data with --windows, or their folder with SBERT_VCF_DATA")
    use_cpu_threads(options.threads)
    path = options.windows or Path(str(data)) / "branchpoints/mercer.tsv.gz"
    there = branchpoints(options.run, read_branchpoints(path, options.fasta).windows)
    chosen = np.random.default_rng(SEED).permutation(len(there))[: options.sample]
    by_fold: defaultdict[int, list[Branchpoint]] = defaultdict(list)
    for number in sorted(chosen.tolist()):
        by_fold[there[number].fold].append(there[number])
    mutated = []
    with tqdm(total=len(chosen), unit=" branchpoints", disable=None) as bar:
        for fold, of_fold in sorted(by_fold.items()):
            network = load_token_classifier(options.run / "folds" / f"{fold:02d}").network
            predictor = Predictor(network, select_device(options.device), remember=0)
            for one in of_fold:
                mutated.append(mutate(one, predictor))
                bar.update()
    report(mutated, len(there))


if __name__ == "__main__":
    main()
