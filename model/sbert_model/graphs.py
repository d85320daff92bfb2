"""CUDA graphs of forward passes: one launch for a pass instead of some hundred, which a CPU is too slow to feed."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Forward = Callable[[Tensor, Tensor], Tensor]


class _Graph(NamedTuple):
    """A pass of one shape; its inputs and its output stay where they are."""

    graph: torch.cuda.CUDAGraph
    ids: Tensor
    places: Tensor
    logits: Tensor


class Graphs:
    """Runs a forward pass (ids, places) on the current stream of a GPU; passes of one shape are recorded once.

    What comes back is overwritten by the next pass. To be used by one thread, in inference mode. Raises
    torch.OutOfMemoryError where the GPU has no memory for a pass.
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._graphs: dict[tuple[int, ...], _Graph] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, ids: Tensor, places: Tensor) -> Tensor:
        """Logits of ids (B, T) at places (groups, n, 2)."""
        key = (*ids.shape, *places.shape)
        if self._graphs and all(tokens != ids.shape[1] for _, tokens, *_ in self._graphs):
            # Networks hold what they look up for windows of one length. A pool ends with its last graph.
            torch.cuda.synchronize(ids.device)
            self._graphs.clear()
            self._pool = torch.cuda.graph_pool_handle()
        if key not in self._graphs:
            self._graphs[key] = self._record(ids, places)
        graph = self._graphs[key]
        graph.ids.copy_(ids)
        graph.places.copy_(places)
        graph.graph.replay()
        return graph.logits

    def _record(self, ids: Tensor, places: Tensor) -> _Graph:
        ids, places = ids.clone(), places.clone()
        # Beforehand on another stream, as PyTorch asks: kernels are compiled, tables and workspaces made.
        aside = torch.cuda.Stream(ids.device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(ids.device))
        with torch.cuda.stream(aside):
            self._forward(ids, places)
        torch.cuda.current_stream(ids.device).wait_stream(aside)
        torch.cuda.synchronize(ids.device)
        torch.cuda.empty_cache()  # for the graph has memory of its own
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            logits = self._forward(ids, places)
        return _Graph(graph, ids, places, logits)
