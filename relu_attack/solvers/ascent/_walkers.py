"""What step rules see of the walkers that they move."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from relu_attack.solvers.ascent._problem import AscentProblem


class Walkers(Protocol):
    """A batch of walkers, as an `Ascent` has them.

    Attributes
    ----------
    problem
        Network, set and target.
    generator
        Source of all randomness.
    window
        Steps between two reviews.
    excursion_x
        Best point of the excursion of each walker, shape (batch, inputs).
    improved
        Whether the last iterate before a review was better than all before, boolean, shape (batch,).
    """

    problem: AscentProblem
    generator: torch.Generator
    window: int
    excursion_x: Tensor
    improved: Tensor

    @property
    def x(self) -> Tensor:
        """The current points, shape (batch, inputs)."""

    def project_(self, points: Tensor) -> None:
        """Project points (batch, inputs) onto the set, in place."""

    def factor_to_diagonal(self, gradient: Tensor) -> Tensor:
        """Return the factor (batch, 1) that makes each gradient as long as the diagonal of the set."""

    def place(self, chosen: Tensor, points: Tensor) -> None:
        """Place the walkers that are `chosen` (batch,) at `points` (batch, inputs)."""
