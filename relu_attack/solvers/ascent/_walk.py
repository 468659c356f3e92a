"""Compositions: a step rule and a restart policy, from which an ascent begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.solvers.ascent._adaptive_step import AdaptiveStep
from relu_attack.solvers.ascent._annealed_step import AnnealedStep
from relu_attack.solvers.ascent._ascent import Ascent
from relu_attack.solvers.ascent._closing_step import ClosingStep
from relu_attack.solvers.ascent._options import PPGA, PPGALR, GradientWalk
from relu_attack.solvers.ascent._problem import AscentProblem
from relu_attack.solvers.ascent._restarts import Crossover, GaussianPerturbation, RandomRestart, RestartPolicy
from relu_attack.solvers.ascent._step_rules import FixedStep, SteepestStep, StepRule


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A step rule with a restart policy.

    Attributes
    ----------
    step_rule, restarts
        Make the rule and the policy of one ascent.
    window
        Steps between two reviews.
    tolerance
        Relative gain over a window below which a walker counts as stalled.
    """

    step_rule: Callable[[], StepRule]
    restarts: Callable[[], RestartPolicy] = RandomRestart
    window: int
    tolerance: float = 0.0

    @staticmethod
    def of(options: GradientWalk) -> Walk:
        """Return the walk that options (of `gradient_walk`, `ppga` or `ppga_lr`) are of."""
        return Walk(
            step_rule=lambda: AdaptiveStep(options) if isinstance(options, PPGALR) else FixedStep(options),
            restarts=lambda: GaussianPerturbation(options) if isinstance(options, PPGA) else RandomRestart(),
            window=options.window,
            tolerance=options.tolerance,
        )

    def begin(self, problem: AscentProblem, starts: Tensor, generator: torch.Generator) -> Ascent:
        """Begin an ascent from starts (batch, inputs)."""
        return Ascent(
            problem,
            starts,
            self.step_rule(),
            self.restarts(),
            generator,
            window=self.window,
            tolerance=self.tolerance,
        )


ANNEALED_ASCENT = Walk(step_rule=AnnealedStep, restarts=lambda: Crossover(PPGA()), window=PPGA.window)
"""Annealed steps with crossover, strong on deep networks."""

RESTARTED_ASCENT = Walk(step_rule=AnnealedStep, window=PPGA.window)
"""Annealed steps from random starts, strong where the best top has a narrow basin that no other leads to."""


def steepest_ascent(steps: int) -> Walk:
    """Return the ascent of attacks: steps along the steepest direction, a number of them known beforehand."""
    return Walk(step_rule=lambda: SteepestStep(steps), window=steps)


def closing_ascent(steps: int) -> Walk:
    """Return the ascent from ends of walkers to the tops next to them, in a number of steps."""
    return Walk(step_rule=lambda: ClosingStep(steps), window=PPGA.window)
