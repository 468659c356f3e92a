"""PPGA_LR: PPGA whose step length follows the observed gain and the walls of the linear region."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.errors import OptionError
from relu_attack.network import Evaluation, wall_times
from relu_attack.solvers.ascent._perturbation import Perturbation, PerturbationOptions
from relu_attack.solvers.ascent._perturbed_walk import PerturbedWalk
from relu_attack.solvers.ascent._scaled_problem import Prepared


@dataclass(frozen=True, kw_only=True)
class PPGALROptions(PerturbationOptions):
    """Options of PPGA_LR; step lengths are relative, as `step` is.

    Attributes
    ----------
    longest_step, shortest_step
        An excursion begins with a step drawn between `step` and `longest_step`, log-uniformly, so that walkers differ,
        and ends once no step down to `shortest_step` gains. A raw `learning_rate` sets the very first step instead.
    growth, trim
        Factors on the step after a window that was still rising at its end, and after one without gain.
    overshoot
        How far past the region's wall the valve goes, as a share of the way to it.
    """

    longest_step: float = 10.0
    shortest_step: float = 2e-3
    growth: float = 2.0
    trim: float = 0.3
    overshoot: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.shortest_step <= self.step <= self.longest_step:
            raise OptionError(
                "steps must satisfy 0 < shortest_step <= step <= longest_step, "
                f"got {self.shortest_step}, {self.step}, {self.longest_step}"
            )
        if not (1 <= self.growth < float("inf") and 0 < self.trim < 1 and 0 <= self.overshoot < float("inf")):
            raise OptionError(
                "growth must be at least 1, trim in (0, 1), overshoot at least 0, and all of them finite, "
                f"got {self.growth}, {self.trim}, {self.overshoot}"
            )


class PPGALR(PerturbedWalk):
    """PPGA with a linear-region valve and a step length for each walker.

    Named after arXiv 2512.24295, whose full text was not at hand: this definition is ours.

    1. Valve: f is affine on a linear region, so a direction cannot go stale inside it. On the last step of each
       window, a step that would end inside its region is lengthened to the region's wall and a little beyond, and
       the walker keeps that length: from any learning rate the small steps are skipped at once.
    2. Trim: a walker without gain over a window goes back to its best point with a shorter step.
    3. Growth: a walker that was still rising at the end of a window doubles its step.
    4. Once no step gains, the excursion ends, the walker is perturbed as in PPGA, and a new step is drawn.
    """

    looks_at_walls = True

    def __init__(
        self,
        prepared: Prepared,
        starts: Tensor,
        options: PPGALROptions,
        generator: torch.Generator,
        *,
        perturbation: type[Perturbation] = Perturbation,
    ) -> None:
        super().__init__(prepared, starts, options, generator, perturbation=perturbation)
        self._lr = options
        self._steps = self._draw_steps()
        self._age = 0

    def _draw_steps(self) -> Tensor:
        share = torch.empty_like(self.x[:, :1]).uniform_(generator=self.generator)
        return self._lr.step * (self._lr.longest_step / self._lr.step) ** share

    def _ascend(self, gradient: Tensor, out: Tensor) -> None:
        factor = self._step_per_norm(gradient)
        if self._lr.learning_rate is not None and self._age == 1:
            self._steps = self._lr.learning_rate / factor
        torch.addcmul(self.x, gradient, factor.mul_(self._steps), out=out)

    def _advance(self, evaluation: Evaluation, gradient: Tensor, out: Tensor) -> None:
        self._age += 1
        super()._advance(evaluation, gradient, out)
        if self._age % self._lr.window == 0:
            self._to_wall(evaluation, out)

    def _to_wall(self, evaluation: Evaluation, after: Tensor) -> None:
        """Lengthen the steps to `after` that end inside their linear region to its wall and a little beyond."""
        direction = after - self.x
        wall = wall_times(self.prepared.network, evaluation.preactivations, direction)
        # A step of zero length, or one that meets no wall, is left as it is.
        longer = (wall > 1) & torch.isfinite(wall)
        self._steps = torch.where(longer, (self._steps * wall).clamp_max(self._lr.longest_step), self._steps)
        times = torch.where(longer, wall * (1 + self._lr.overshoot), 1.0)
        after.copy_(torch.where(longer, self.prepared.project(torch.addcmul(self.x, times, direction)), after))

    def _ended(self, gained: Tensor) -> Tensor:
        trimmed = ~(gained | self._improved)[:, None]
        grown = (gained & self._improved)[:, None]
        self._steps = torch.where(trimmed, self._steps * self._lr.trim, self._steps)
        self._steps = torch.where(grown, (self._steps * self._lr.growth).clamp_max(self._lr.longest_step), self._steps)
        ended = trimmed & (self._steps < self._lr.shortest_step)
        self._steps = torch.where(ended, self._draw_steps(), self._steps)
        self._move(trimmed, self.excursion_x)
        return ended[:, 0]

    def restart(self, chosen: Tensor, points: Tensor) -> None:
        super().restart(chosen, points)
        self._steps = torch.where(chosen[:, None], self._draw_steps(), self._steps)
