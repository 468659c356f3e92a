"""The step rule of PPGA_LR: step lengths that follow the observed gain and the boundaries of linear regions."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.network import Evaluation, boundary_times
from relu_attack.solvers.ascent._options import PPGALR, SHORTEST, SHORTEST_FINE, TRIM, TRIM_FINE
from relu_attack.solvers.ascent._step_rules import StepRule
from relu_attack.solvers.ascent._walkers import Walkers


class AdaptiveStep(StepRule):
    """Steps of a length of each walker's own, with a linear-region valve.

    Named after arXiv 2512.24295, whose full text was not at hand: this definition is ours.

    1. Valve: f is affine on a linear region, so a direction cannot go stale inside it. On the last step of each
       window, a step that would end inside its region is lengthened to the region's boundary and a little beyond, and
       the walker retains that length: from any learning rate the small steps are skipped at once.
    2. Trim: a walker without gain over a window takes shorter steps. Where the set is a box it goes back to its best
       point first; elsewhere walkers slide along the boundary, and go on from where they are.
    3. Growth: a walker that was still rising at the end of a window doubles its step.
    4. Once no step gains, the excursion ends, and a new step is drawn.

    Parameters
    ----------
    options
        Range, growth and trim of the steps.
    """

    needs_preactivations = True

    def __init__(self, options: PPGALR) -> None:
        self._options = options

    def begin(self, ascent: Walkers) -> None:
        super().begin(ascent)
        self._is_box = ascent.problem.domain.is_box
        shortest, trim = (SHORTEST, TRIM) if self._is_box else (SHORTEST_FINE, TRIM_FINE)
        options = self._options
        self._shortest = min(shortest, options.step) if options.shortest_step is None else options.shortest_step
        self._trim = trim if options.trim is None else options.trim
        self._steps = self._drawn()
        self._age = 0

    def _drawn(self) -> Tensor:
        options = self._options
        share = torch.empty_like(self.ascent.x[:, :1]).uniform_(generator=self.ascent.generator)
        return options.step * (options.longest_step / options.step) ** share

    def move(self, evaluation: Evaluation, gradient: Tensor, out: Tensor) -> None:
        ascent, options = self.ascent, self._options
        self._age += 1
        factor = ascent.factor_to_diagonal(gradient)
        if options.learning_rate is not None and self._age == 1:
            self._steps = options.learning_rate / factor
        torch.addcmul(ascent.x, gradient, factor.mul_(self._steps), out=out)
        ascent.project_(out)
        if self._age % ascent.window == 0:
            self._reach_boundary(evaluation, out)

    def _reach_boundary(self, evaluation: Evaluation, after: Tensor) -> None:
        """Lengthen steps to `after` that end inside their linear region to its boundary and a little beyond."""
        ascent, options = self.ascent, self._options
        direction = after - ascent.x
        boundary = boundary_times(ascent.problem.network, evaluation.preactivations, direction)
        # A step of zero length, or one that meets no boundary, is left as it is.
        longer = (boundary > 1) & torch.isfinite(boundary)
        self._steps = torch.where(longer, (self._steps * boundary).clamp_max(options.longest_step), self._steps)
        times = torch.where(longer, boundary * (1 + options.overshoot), 1.0)
        after.copy_(torch.where(longer, torch.addcmul(ascent.x, times, direction), after))
        ascent.project_(after)

    def ended(self, gained: Tensor) -> Tensor:
        ascent, options = self.ascent, self._options
        trimmed = ~(gained | ascent.improved)
        grown = (gained & ascent.improved)[:, None]
        steps = torch.where(trimmed[:, None], self._steps * self._trim, self._steps)
        steps = torch.where(grown, (steps * options.growth).clamp_max(options.longest_step), steps)
        ended = trimmed & (steps[:, 0] < self._shortest)
        self._steps = torch.where(ended[:, None], self._drawn(), steps)
        if self._is_box:
            ascent.place(trimmed, ascent.excursion_x)
        return ended

    def restarted(self, chosen: Tensor, *, first: bool = False) -> None:
        self._steps = torch.where(chosen[:, None], self._drawn(), self._steps)
