"""Closing steps: from a walker's end to the top next to it."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.network import Evaluation
from relu_attack.solvers.ascent._step_rules import StepRule

# Lengths of the first and the last step, in diagonals of the set: from where annealed steps end on sets that are no
# boxes, down to a thousandth, below which values of float32 do not change.
_FIRST, _LAST = 3e-4, 3e-7


class ClosingStep(StepRule):
    """Steps along the gradient, each shorter than the one before by the same factor; excursions do not end.

    A top of a piecewise linear function lies where many regions meet: a step that is longer than the region crosses it,
    and only lengths that fall geometrically reach it at a geometric rate (Goffin, On convergence rates of subgradient
    optimization methods, Mathematical Programming 13, 1977).

    Parameters
    ----------
    steps
        How many steps there will be; later ones are as long as the last.
    """

    is_periodic = False

    def __init__(self, steps: int) -> None:
        self._length, self._factor = _FIRST, (_LAST / _FIRST) ** (1 / steps)

    def move(self, evaluation: Evaluation, gradient: Tensor, out: Tensor) -> None:
        ascent = self.ascent
        torch.addcmul(ascent.x, gradient, ascent.factor_to_diagonal(gradient), value=self._length, out=out)
        ascent.project_(out)
        self._length = max(self._length * self._factor, _LAST)

    def ended(self, gained: Tensor) -> Tensor:
        return torch.zeros_like(gained)
