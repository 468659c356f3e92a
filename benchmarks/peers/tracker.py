"""What a peer has found, and when: points are counted only where they are inside the set."""

from __future__ import annotations

import time

import numpy as np
import torch
from problems import Problem

# Violation, relative to the scale of the row, up to which a point counts.
INSIDE = 1e-8


# Share of the limit, and seconds, by which a point may come late, as the package's may.
LATE, LATE_SECONDS = 0.05, 0.3


class OutOfTime(Exception):  # noqa: N818
    """Raised out of a solver that has no clock of its own."""


def allowed(limit: float) -> float:
    """Return the seconds after which a point is too late."""
    return limit + max(LATE * limit, LATE_SECONDS)


class Tracker:
    """The best point of a run so far, by the model's forward pass in float64.

    Parameters
    ----------
    problem
        What is maximized.
    limit
        Processor seconds from now.
    seed
        Source of all randomness of the peer.

    Attributes
    ----------
    trace
        Pairs of seconds and values, one for each gain.
    """

    def __init__(self, problem: Problem, limit: float, seed: int) -> None:
        self.began = time.process_time()
        self.problem, self.region, self.limit, self.seed = problem, problem.region, limit, seed
        self.rng = np.random.default_rng(seed)
        self.torch_rng = torch.Generator().manual_seed(seed)
        self.trace: list[tuple[float, float]] = []
        self.x: np.ndarray | None = None
        self._exact = problem.objective(torch.float64)

    @property
    def seconds(self) -> float:
        """Processor seconds since the run began."""
        return time.process_time() - self.began

    @property
    def left(self) -> float:
        """Processor seconds that are left."""
        return self.limit - self.seconds

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.left <= 0

    def values(self, points: np.ndarray) -> np.ndarray:
        """Return the values of points (count, inputs) in float64."""
        with torch.inference_mode():
            found: np.ndarray = self._exact(torch.as_tensor(points, dtype=torch.float64)).numpy()
        return found

    def offer(self, points: np.ndarray | torch.Tensor) -> np.ndarray:
        """Keep the best of points (count, inputs) that are inside the set and better than all before; return values."""
        points = np.atleast_2d(np.asarray(points, dtype=np.float64))
        values = np.where(self.region.violation(points) <= INSIDE, self.values(points), -np.inf)
        best = int(values.argmax())
        late = self.seconds > allowed(self.limit)
        if values[best] > (self.trace[-1][1] if self.trace else -np.inf) and not late:
            self.x = points[best].copy()
            self.trace.append((round(self.seconds, 3), float(values[best])))
        return values
