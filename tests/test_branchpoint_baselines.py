from pathlib import Path

import numpy as np
import pytest

from sbert_model.tokenizer import encode
from sbert_train.branchpoint_baselines import BOTH, MOTIF, POSITION, Baselines
from sbert_train.branchpoint_data import Region, Window, read_branchpoints
from tests.tiny_branchpoints import write_tiny_branchpoints


def _window(labels: list[int], fill: str = "C") -> Window:
    ids = np.tile(encode(fill), 510)
    return Window(Region("c", 0, len(labels), "+", np.array(labels)), ids)


def test_position_is_counted_from_the_end_near_the_acceptor() -> None:
    # Branchpoints at 1 nt from the downstream end: twice in regions of 4 and 3 nt, besides a base that is ignored.
    baselines = Baselines([_window([0, 0, 1, -100]), _window([0, 1, 0])])
    odds = baselines.scores(_window([0, 0, 0, 0, 0]))[POSITION]
    # With a pseudocount of 1: at distance 1 two of two, at 0 none of one, at 2 none of two, at 3 none of one.
    np.testing.assert_allclose(np.exp(odds), [1 / 2, 1 / 2, 1 / 3, 3 / 1, 1 / 2])


def test_motif_learns_what_stands_around_branchpoints(tmp_path: Path) -> None:
    windows = read_branchpoints(write_tiny_branchpoints(tmp_path).table).windows
    baselines = Baselines(windows[:16])
    for window in windows[16:]:
        scores = baselines.scores(window)
        assert scores[MOTIF].argmax() == (window.region.labels == 1).argmax()
        np.testing.assert_allclose(scores[BOTH], scores[MOTIF] + scores[POSITION])


def test_motif_log_odds_by_hand() -> None:
    # One window all C: every base of either class has C around it; pseudocounts of 1 on five letters.
    labels = [0, 0, 0, 1]
    scores = Baselines([_window(labels)]).scores(_window(labels))[MOTIF]
    assert scores == pytest.approx(9 * np.log((2 / 6) / (4 / 8)))
