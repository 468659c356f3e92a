"""The open boxes of a branch and bound."""

from __future__ import annotations

import heapq
import itertools

from relu_attack.solvers.branch_and_bound._nodes import Boxes


class Queue:
    """Open boxes, those with the largest bounds first.

    They stand in sorted runs, one for each time that boxes were added, so that nothing is moved until it is taken.
    """

    def __init__(self) -> None:
        self.count = 0
        self._runs: list[tuple[float, int, Boxes]] = []
        self._numbers = itertools.count()

    @property
    def bound(self) -> float:
        """The largest bound of an open box; minus infinity if there is none."""
        return -self._runs[0][0] if self._runs else -float("inf")

    def add(self, boxes: Boxes) -> None:
        """Add boxes."""
        if len(boxes):
            self._push(boxes.select(boxes.bound.argsort(descending=True)))
            self.count += len(boxes)

    def take(self, count: int) -> Boxes:
        """Take up to `count` boxes out, the most promising run after run."""
        parts, missing = [], count
        while self._runs and missing:
            _, _, run = heapq.heappop(self._runs)
            parts.append(run.select(slice(0, missing)))
            if len(run) > missing:
                self._push(run.select(slice(missing, None)))
            missing -= len(parts[-1])
        self.count -= count - missing
        return Boxes.join(parts)

    def _push(self, run: Boxes) -> None:
        heapq.heappush(self._runs, (-float(run.bound[0]), next(self._numbers), run))
