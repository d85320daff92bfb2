from collections.abc import Sequence

import numpy as np

from sbert_model.tokenizer import encode
from sbert_train.corpus import REGIONS
from sbert_train.evaluation_windows import Place, Window
from sbert_train.masked_bases import Floats, MaskedBases, gather, groups


def _window(
    sequence: str,
    species: int = 0,
    contig: str = "chr1",
    region: str = "intron",
    coding: bool | None = None,
    at: int = 0,
) -> Window:
    """A window whose bases are all masked; lower case is a repeat."""
    ids = encode(sequence)
    return Window(
        place=Place(species, 0, at, 0),
        contig=contig,
        coding=coding,
        ids=ids,
        masked=np.arange(ids.size),
        regions=np.full(ids.size, REGIONS.index(region), dtype=np.uint8),
        repeats=np.array([letter.islower() for letter in sequence]),
    )


def _says_c(windows: Sequence[Window]) -> list[Floats]:
    return [np.log(np.tile([0.1, 0.7, 0.1, 0.1], (window.masked.size, 1))) for window in windows]


def _uniform(windows: Sequence[Window]) -> list[Floats]:
    return [np.log(np.full((window.masked.size, 4), 0.25)) for window in windows]


def _names(bases: MaskedBases, species: Sequence[str]) -> dict[str, list[int]]:
    """Which bases each group holds; the empty ones left out."""
    found = {group.name: np.flatnonzero(group.members).tolist() for group in groups(bases.labels, species)}
    return {name: members for name, members in found.items() if members}


def test_every_model_is_asked_for_every_base() -> None:
    # More windows than go together.
    windows = [_window("ACGT", at=number) for number in range(40)]
    bases = gather(windows, {"c": _says_c, "uniform": _uniform}, [False])
    assert bases.models == ("c", "uniform")
    assert bases.labels["truth"].tolist() == [0, 1, 2, 3] * 40
    assert (bases.calls[0] == 1).all()
    np.testing.assert_allclose(bases.losses[0], -np.log([0.1, 0.7, 0.1, 0.1] * 40), rtol=1e-6)
    np.testing.assert_allclose(bases.losses[1], np.log(4), rtol=1e-6)
    assert bases.labels["window"].tolist() == np.repeat(np.arange(40), 4).tolist()
    assert bases.labels["piece"].tolist() == np.repeat(np.arange(40), 4).tolist()


def test_groups_by_what_the_corpus_tells() -> None:
    windows = [
        _window("A", 0, region="intron", coding=True),
        _window("c", 0, region="cds", coding=True),
        _window("g", 1, region="exon", coding=False),
        _window("T", 1, region="utr5", coding=True),
        _window("A", 1, region="utr3", coding=None),
        _window("A", 1, region="unknown", coding=None),
    ]
    bases = gather(windows, {"uniform": _uniform}, [True, True])
    assert _names(bases, ["human", "mouse"]) == {
        "all": [0, 1, 2, 3, 4, 5],
        "intron": [0],
        "exon": [1, 2, 3, 4],
        "cds": [1],
        "utr5": [3],
        "utr3": [4],
        "coding": [0, 1, 3],
        "non-coding": [2],
        "repeat": [1, 2],
        "other": [0, 3, 4, 5],
        "human": [0, 1],
        "mouse": [2, 3, 4, 5],
        "human,intron": [0],
        "human,exon": [1],
        "human,cds": [1],
        "mouse,exon": [2, 3, 4],
        "mouse,utr5": [3],
        "mouse,utr3": [4],
    }


def test_a_genome_without_soft_masking_is_neither_repeat_nor_other() -> None:
    bases = gather([_window("Ac", 0), _window("GT", 1)], {"uniform": _uniform}, [True, False])
    found = _names(bases, ["human", "mouse"])
    assert (found["repeat"], found["other"]) == ([1], [0])


def test_contigs_of_two_species_are_two() -> None:
    windows = [_window("A", 0, "chr1"), _window("A", 1, "chr1"), _window("A", 1, "chr2"), _window("A", 0, "chr1")]
    bases = gather(windows, {"uniform": _uniform}, [False, False])
    assert bases.labels["contig"].tolist() == [0, 1, 2, 0]
