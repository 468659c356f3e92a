"""Step rules: how walkers move, and when an excursion ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from relu_attack.network import Evaluation
from relu_attack.solvers.ascent._options import GradientWalk
from relu_attack.solvers.ascent._walkers import Walkers


class StepRule(ABC):
    """A rule for the steps of all walkers of one ascent, with what it remembers of each of them."""

    needs_preactivations: ClassVar[bool] = False
    """Whether the rule reads preactivations, not only their signs."""

    is_periodic: ClassVar[bool] = True
    """Whether a step depends on tensors of the rule and on its number in the window alone."""

    ascent: Walkers
    """The walkers that it moves."""

    def begin(self, ascent: Walkers) -> None:
        """Take charge of the walkers of an ascent."""
        self.ascent = ascent

    def smoothing(self) -> Tensor | None:
        """Return over which width around its breakpoint a unit counts in part, as `Network.gradient` takes it."""
        return None

    @abstractmethod
    def move(self, evaluation: Evaluation, gradient: Tensor, out: Tensor) -> None:
        """Write the next points to `out` (batch, inputs), given the evaluation and gradient at the current ones."""

    def ended(self, gained: Tensor) -> Tensor:
        """Return which excursions end, shape (batch,), given which walkers gained over the window.

        By default those that did not; they go back to their best points.
        """
        ended = ~gained
        self.ascent.place(ended, self.ascent.excursion_x)
        return ended

    def restarted(self, chosen: Tensor, *, first: bool = False) -> None:  # noqa: B027 - a rule may remember nothing
        """Begin new excursions of the walkers that are `chosen` (batch,); `first` where nothing is known of them."""


class FixedStep(StepRule):
    """Steps of one relative length along the normalized gradient, or of a raw learning rate.

    Parameters
    ----------
    options
        Step length or learning rate.
    """

    def __init__(self, options: GradientWalk) -> None:
        self._options = options

    def move(self, evaluation: Evaluation, gradient: Tensor, out: Tensor) -> None:
        ascent = self.ascent
        if self._options.learning_rate is not None:
            torch.add(ascent.x, gradient, alpha=self._options.learning_rate, out=out)
        else:
            factor = ascent.factor_to_diagonal(gradient)
            torch.addcmul(ascent.x, gradient, factor, value=self._options.step, out=out)
        ascent.project_(out)


class SteepestStep(StepRule):
    """Steps along the steepest direction of the set's norm, each shorter than the one before by the same factor.

    The first step reaches across the set, so that walkers leave the slope on which they start; the last is a small
    part of its radius. With a number of steps that is known beforehand no step need be taken back or tried twice.

    Parameters
    ----------
    steps
        How many steps there will be.
    """

    is_periodic = False

    shortest = 0.05
    """Length of the last step, in radii."""

    def __init__(self, steps: int) -> None:
        self._done, self._last = 0, max(steps - 2, 1)

    def begin(self, ascent: Walkers) -> None:
        super().begin(ascent)
        self._move = ascent.problem.domain.steepest_move(ascent.problem.restarts)

    def move(self, evaluation: Evaluation, gradient: Tensor, out: Tensor) -> None:
        length = self._move.longest * (self.shortest / self._move.longest) ** (self._done / self._last)
        self._done += 1
        self._move(self.ascent.x, gradient, length, out)

    def ended(self, gained: Tensor) -> Tensor:
        return torch.zeros_like(gained)
