"""What exact methods begin from: a point, and a local search above it."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from relu_attack.problem import Problem
from relu_attack.solvers.core._settings import Settings


class FirstPoint(Protocol):
    """A search for a first point of a single problem."""

    def __call__(self, problem: Problem, settings: Settings, /) -> Tensor:
        """Return an input (inputs,) within the budget of the settings."""
        ...


class Polish(Protocol):
    """A local search on a single problem."""

    def __call__(self, problem: Problem, x: Tensor, seconds: float, /) -> Tensor:
        """Return an input at least as good as x (inputs,), float64, such as the best one of its region."""
        ...
