"""How well a model names the masked bases of held-out loci, beside count models on the same bases."""

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sbert_model.errors import InputError, OutputError
from sbert_model.tokenizer import MASK, NUCLEOTIDES, Ids
from sbert_train.corpus import Piece
from sbert_train.count_models import Floats, Places, fit, log_probabilities

LogProbs = Callable[[Sequence[Ids]], Sequence[Floats]]
"""Natural-log probabilities (L, 4) of A, C, G, T at each base of each window of ids (L,)."""

RESAMPLES = 1000
WINDOWS_AT_ONCE = 32
ALL = "all"
COUNT_MODELS: dict[str, tuple[int, ...]] = {
    "composition": (),
    "order-5 Markov": (-1, -2, -3, -4, -5),
    "four bases either side": (-1, 1, -2, 2, -3, 3, -4, 4),
}


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of held-out pre-mRNA and the places of its masked bases."""

    species: str
    ids: Ids  # (L,)
    places: Places  # (P,)

    def masked(self) -> Ids:
        """Return what the model sees: [MASK] at all places at once."""
        ids: Ids = self.ids.copy()
        ids[self.places] = MASK
        return ids

    def truth(self) -> npt.NDArray[np.int64]:
        """0 to 3 for the true A, C, G, T at the masked places: (P,)."""
        return self.ids[self.places].astype(np.int64) - min(NUCLEOTIDES)


@dataclass(frozen=True, slots=True)
class Score:
    """One model on one species: nats per masked base, and the share of them named right.

    The intervals are 95 % bootstrap intervals, resampling windows.
    """

    species: str
    model: str
    windows: int
    bases: int
    cross_entropy: float
    cross_entropy_interval: tuple[float, float]
    accuracy: float
    accuracy_interval: tuple[float, float]


def masked_windows(
    pieces: Sequence[Piece], length: int = 1024, per_species: int | None = None, seed: int = 0, rate: float = 0.15
) -> list[Window]:
    """Cut pieces into windows of `length` nt side by side and choose `rate` of their bases; N is never chosen.

    What is left at the end of a piece is not used. Of each species at most `per_species` windows are taken, at
    random; they depend on the seed and on that species alone. Raises InputError when no piece has `length` nt.
    """
    windows = []
    for species in sorted({piece.species for piece in pieces}):
        rng = np.random.default_rng((seed, zlib.crc32(species.encode())))
        cut = [window for piece in pieces if piece.species == species for window in _cut(piece.ids, length)]
        for number in rng.permutation(len(cut))[:per_species]:
            ids = cut[number]
            places = np.flatnonzero((rng.random(length) < rate) & np.isin(ids, NUCLEOTIDES))
            windows.append(Window(species, ids, places))
    if not windows:
        raise InputError(f"no held-out pre-mRNA of {length} nt or more; check what is held out")
    return windows


def _cut(ids: Ids, length: int) -> Iterator[Ids]:
    for start in range(0, ids.size - length + 1, length):
        yield ids[start : start + length]


def evaluate(model: LogProbs, windows: Sequence[Window], training: Sequence[Piece]) -> list[Score]:
    """Score a model and the count models on the masked bases of `windows`, by species and over all.

    The count models are fitted on `training`. They see the true bases around each masked base, in the window, as in
    published comparisons of this kind; that favours them, for some of these bases are masked for the model.
    """
    tables = {"model": _model_tables(model, windows)}
    for name, offsets in COUNT_MODELS.items():
        counts = fit(offsets, [piece.ids for piece in training])
        tables[name] = [log_probabilities(counts, window.ids, window.places) for window in windows]
    scores = []
    for species in [*sorted({window.species for window in windows}), ALL]:
        chosen = [number for number, window in enumerate(windows) if species in (window.species, ALL)]
        for name, rows in tables.items():
            scores.append(_score(species, name, [windows[i] for i in chosen], [rows[i] for i in chosen]))
    return scores


def _model_tables(model: LogProbs, windows: Sequence[Window]) -> list[Floats]:
    """Log-probabilities (P, 4) at the masked places of each window."""
    tables: list[Floats] = []
    for first in range(0, len(windows), WINDOWS_AT_ONCE):
        batch = windows[first : first + WINDOWS_AT_ONCE]
        rows = model([window.masked() for window in batch])
        tables += [row[window.places] for row, window in zip(rows, batch, strict=True)]
    return tables


def _score(species: str, model: str, windows: Sequence[Window], tables: Sequence[Floats]) -> Score:
    bases = np.array([window.places.size for window in windows])  # (W,)
    loss = np.zeros(len(windows))
    hits = np.zeros(len(windows))
    for number, (window, table) in enumerate(zip(windows, tables, strict=True)):
        truth = window.truth()
        loss[number] = -table[np.arange(truth.size), truth].sum()
        hits[number] = (table.argmax(axis=1) == truth).sum()
    draws = np.random.default_rng(0).integers(len(windows), size=(RESAMPLES, len(windows)))
    drawn_bases = bases[draws].sum(axis=1)  # (RESAMPLES,)
    return Score(
        species=species,
        model=model,
        windows=len(windows),
        bases=int(bases.sum()),
        cross_entropy=float(loss.sum() / bases.sum()),
        cross_entropy_interval=_interval(loss[draws].sum(axis=1) / drawn_bases),
        accuracy=float(hits.sum() / bases.sum()),
        accuracy_interval=_interval(hits[draws].sum(axis=1) / drawn_bases),
    )


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def table(scores: Sequence[Score]) -> str:
    """Return the scores as a table for people."""
    lines = [f"{'species':<12} {'model':<24} {'bases':>8}  {'cross-entropy (nats)':<25} accuracy"]
    for score in scores:
        entropy = "{:.4f} [{:.4f}, {:.4f}]".format(score.cross_entropy, *score.cross_entropy_interval)
        accuracy = "{:.4f} [{:.4f}, {:.4f}]".format(score.accuracy, *score.accuracy_interval)
        lines.append(f"{score.species:<12} {score.model:<24} {score.bases:>8}  {entropy:<25} {accuracy}")
    return "\n".join(lines)


def write_json(path: Path, scores: Sequence[Score]) -> None:
    """Write the scores as a list of objects. Raises OutputError when the file cannot be written."""
    try:
        path.write_text(json.dumps([asdict(score) for score in scores], indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"{path}: cannot write the figures: {error.strerror}") from error
