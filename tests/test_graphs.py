"""Which passes of a GPU are recorded, and when they are forgotten; what a graph computes is tested in test_gpu.py."""

from itertools import count
from typing import cast

import pytest
import torch
from torch import Tensor

from sbert_model.graphs import Graphs, _Graph


class Replayed:
    """Stands in for torch.cuda.CUDAGraph: computes from the inputs that were recorded to the output that was."""

    def __init__(self, ids: Tensor, places: Tensor, logits: Tensor) -> None:
        self.tensors = ids, places, logits

    def replay(self) -> None:
        ids, places, logits = self.tensors
        logits.fill_(float(ids.sum() + 1000 * places.sum()))


class Recorder(Graphs):
    """Notes the shapes that are recorded, each with the memory pool that it would have."""

    def __init__(self) -> None:
        super().__init__(lambda ids, places: ids + places)
        self.recorded: list[tuple[int, int, object]] = []

    def _record(self, ids: Tensor, places: Tensor) -> _Graph:
        self.recorded.append((ids.shape[1], len(places), self._pool))
        ids, places, logits = ids.clone(), places.clone(), torch.zeros(1)
        return _Graph(cast(torch.cuda.CUDAGraph, Replayed(ids, places, logits)), ids, places, logits)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    pools = count()
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: next(pools))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    return Recorder()


def test_a_shape_is_recorded_once_and_replayed_with_new_inputs(graphs: Recorder) -> None:
    for number in range(4):
        for groups in (1, 2):
            ids, places = torch.full((2, 5), number), torch.full((groups, 1, 2), number)
            assert graphs(ids, places).item() == 10 * number + 2000 * groups * number
    assert graphs.recorded == [(5, 1, 0), (5, 2, 0)]


def test_another_length_takes_another_pool(graphs: Recorder) -> None:
    places = torch.zeros(1, 1, 2, dtype=torch.int64)
    for tokens in (5, 5, 7, 7, 5):
        graphs(torch.ones(2, tokens, dtype=torch.int64), places)
    assert [(tokens, pool) for tokens, _, pool in graphs.recorded] == [(5, 0), (7, 1), (5, 2)]
