"""Priority queue of the open nodes."""

from __future__ import annotations

import heapq
import itertools

from relu_attack.solvers.branch_and_bound._nodes import Nodes


class NodeQueue:
    """Open nodes, ordered by decreasing bound.

    Each batch that is added stays a sorted run, and a heap orders the runs, so that adding moves no other node.
    """

    def __init__(self) -> None:
        self.count = 0
        self._runs: list[tuple[float, int, Nodes]] = []
        self._numbers = itertools.count()

    @property
    def bound(self) -> float:
        """Largest bound of an open node; minus infinity if there is none."""
        return -self._runs[0][0] if self._runs else -float("inf")

    def add(self, boxes: Nodes) -> None:
        """Add nodes."""
        if len(boxes):
            self._push(boxes.select(boxes.bound.argsort(descending=True)))
            self.count += len(boxes)

    def take(self, count: int) -> Nodes:
        """Remove and return up to `count` nodes, from the run with the largest bound on."""
        parts, missing = [], count
        while self._runs and missing:
            _, _, run = heapq.heappop(self._runs)
            parts.append(run.select(slice(0, missing)))
            if len(run) > missing:
                self._push(run.select(slice(missing, None)))
            missing -= len(parts[-1])
        self.count -= count - missing
        return Nodes.join(parts)

    def _push(self, run: Nodes) -> None:
        heapq.heappush(self._runs, (-float(run.bound[0]), next(self._numbers), run))
