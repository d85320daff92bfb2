"""The masked bases of many windows in one table: what the corpus tells of each, and what every model makes of it."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sbert_train.corpus import REGIONS
from sbert_train.evaluation_windows import Window

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Namer = Callable[[Sequence[Window]], list[Floats]]
"""Natural-log probabilities (B, 4) of A, C, G, T at the masked bases of each window."""

WINDOWS_AT_ONCE = 32
UNKNOWN = -1
LABELS = np.dtype(
    [
        ("truth", np.int8),  # 0 to 3 for A, C, G, T
        ("species", np.int16),
        ("contig", np.int32),
        ("piece", np.int32),
        ("window", np.int32),
        ("region", np.int8),
        ("coding", np.int8),  # 1, 0 or UNKNOWN
        ("repeat", np.int8),  # 1, 0 or UNKNOWN
    ]
)


@dataclass(frozen=True, slots=True)
class MaskedBases:
    """B masked bases and what M models make of them.

    labels: (B,) of LABELS; calls: the most probable base (M, B), 0 to 3; losses: nats (M, B).
    """

    models: tuple[str, ...]
    labels: npt.NDArray[np.void]
    calls: npt.NDArray[np.int8]
    losses: npt.NDArray[np.float32]


class Group(NamedTuple):
    """Some of the masked bases: what they are grouped by, the group's name, and which they are (B,)."""

    by: str
    name: str
    members: Mask


def gather(windows: Iterable[Window], namers: Mapping[str, Namer], soft_masked: Sequence[bool]) -> MaskedBases:
    """Ask every model for the masked bases; `soft_masked` says of each species whether its repeats are known."""
    labels, calls, losses = [], [], []
    contigs: dict[tuple[int, str], int] = {}
    numbers = itertools.count()
    remaining = iter(windows)
    while batch := list(itertools.islice(remaining, WINDOWS_AT_ONCE)):
        rows = np.concatenate([_labels(window, next(numbers), contigs, soft_masked) for window in batch])
        tables = np.stack([np.concatenate(name(batch)) for name in namers.values()])  # (M, B, 4)
        labels.append(rows)
        calls.append(tables.argmax(axis=2).astype(np.int8))
        losses.append(-tables[:, np.arange(rows.size), rows["truth"]].astype(np.float32))
    return MaskedBases(
        tuple(namers), np.concatenate(labels), np.concatenate(calls, axis=1), np.concatenate(losses, axis=1)
    )


def _labels(
    window: Window, number: int, contigs: dict[tuple[int, str], int], soft_masked: Sequence[bool]
) -> npt.NDArray[np.void]:
    species = window.place.species
    labels = np.empty(window.masked.size, dtype=LABELS)
    labels["truth"] = window.truth()
    labels["species"] = species
    labels["contig"] = contigs.setdefault((species, window.contig), len(contigs))
    labels["piece"] = window.place.piece
    labels["window"] = number
    labels["region"] = window.regions
    labels["coding"] = UNKNOWN if window.coding is None else window.coding
    labels["repeat"] = window.repeats if soft_masked[species] else UNKNOWN
    return labels


def groups(labels: npt.NDArray[np.void], species: Sequence[str]) -> Iterator[Group]:
    """Yield all bases, then those of each region, kind of gene, repeat or not, species, and region of a species.

    The exon is all that is not intron, the CDS and the UTRs included. A group may be empty.
    """
    region = {name: labels["region"] == code for code, name in enumerate(REGIONS) if name not in ("unknown", "exon")}
    region["exon"] = (labels["region"] != REGIONS.index("unknown")) & ~region["intron"]
    by_region = {name: region[name] for name in ("intron", "exon", "cds", "utr5", "utr3")}
    by_species = {name: labels["species"] == index for index, name in enumerate(species)}
    yield Group("all", "all", np.ones(labels.size, dtype=bool))
    for name, members in by_region.items():
        yield Group("region", name, members)
    for by, column, names in (("gene", "coding", ("coding", "non-coding")), ("repeat", "repeat", ("repeat", "other"))):
        yield Group(by, names[0], labels[column] == 1)
        yield Group(by, names[1], labels[column] == 0)
    for name, members in by_species.items():
        yield Group("species", name, members)
    for name, members in by_species.items():
        for part, inside in by_region.items():
            yield Group("species,region", f"{name},{part}", members & inside)
