"""The steps between two reviews as one launch: a CUDA graph, recorded once and replayed.

On small networks a step is some thirty kernels of a few microseconds each, and launching them takes longer than running
them. A graph launches all of them together. What it reads and writes are fixed addresses, so that whatever steps or
reviews put elsewhere is copied to where the graph expects it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor


class KernelGraph(Protocol):
    """A recording of kernels."""

    def recording(self) -> AbstractContextManager[object]:
        """Record what is launched within the context instead of running it."""
        ...

    def replay(self) -> None:
        """Run what was recorded."""
        ...


class CUDAGraph:
    """A recording on the current device with CUDA."""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()

    def recording(self) -> AbstractContextManager[object]:
        context: AbstractContextManager[object] = torch.cuda.graph(self._graph)
        return context

    def replay(self) -> None:
        self._graph.replay()


class Steps(Protocol):
    """What steps in windows, as an `Ascent` does."""

    window: int

    def step(self) -> None:
        """Move all walkers once."""

    @property
    def memory(self) -> tuple[object, ...]:
        """The objects whose tensors and counters a step changes."""


class CapturedWindow:
    """A window of steps; the first runs as it is, which allocates all buffers, and the second is recorded.

    Parameters
    ----------
    steps
        What steps. Between two windows its tensors may be replaced, but not their shapes.
    graph
        Receives the recording.
    """

    def __init__(self, steps: Steps, graph: KernelGraph) -> None:
        self._steps, self._graph = steps, graph
        self._is_first = True
        self._tensors: list[tuple[object, str, Tensor]] = []
        self._counts: list[tuple[object, str, int]] = []

    def run(self) -> None:
        """Take the steps."""
        if self._is_first:
            self._is_first = False
            self._walk()
            return
        if self._tensors:
            self._return_tensors()
            for part, name, gain in self._counts:
                setattr(part, name, getattr(part, name) + gain)
        else:
            self._record()
        self._graph.replay()

    def _walk(self) -> None:
        for _ in range(self._steps.window):
            self._steps.step()

    def _record(self) -> None:
        parts = [(part, name, value) for part in self._steps.memory for name, value in vars(part).items()]
        self._tensors = [(part, name, value) for part, name, value in parts if isinstance(value, Tensor)]
        counts = [(part, name, value) for part, name, value in parts if type(value) is int]
        with self._graph.recording():
            self._walk()
            self._return_tensors()
        gains = [(part, name, getattr(part, name) - value) for part, name, value in counts]
        self._counts = [(part, name, gain) for part, name, gain in gains if gain]

    def _return_tensors(self) -> None:
        """Copy tensors that were replaced to where they were."""
        for part, name, tensor in self._tensors:
            if (found := getattr(part, name)) is not tensor:
                tensor.copy_(found)
                setattr(part, name, tensor)
