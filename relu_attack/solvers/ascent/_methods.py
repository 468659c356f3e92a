"""The gradient walks as compositions of a step rule and a restart policy."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.problem import Problem
from relu_attack.result import Status
from relu_attack.solvers.ascent._adaptive_step import AdaptiveStep
from relu_attack.solvers.ascent._annealed_step import AnnealedStep
from relu_attack.solvers.ascent._ascent import Ascent
from relu_attack.solvers.ascent._options import PPGA, PPGALR, GradientWalk
from relu_attack.solvers.ascent._problem import AscentProblem
from relu_attack.solvers.ascent._restarts import Crossover, GaussianPerturbation, RandomRestart, RestartPolicy
from relu_attack.solvers.ascent._search import search
from relu_attack.solvers.ascent._step_rules import FixedStep, StepRule
from relu_attack.solvers.core import Answer, Interrupted, Settings, choose


def gradient_walk(problem: Problem, options: GradientWalk, settings: Settings) -> Answer:
    """Gradient Walk: ``x <- P_X(x + gamma g)``, from a new random start whenever a walker stalls.

    Source: Tong, Zhu, Serra, Burer, Optimization over Trained Neural Networks: Going Large with Gradient-Based
    Algorithms, arXiv 2512.24295.
    """
    return _search(problem, options, settings)


def ppga(problem: Problem, options: PPGA, settings: Settings) -> Answer:
    """PPGA, perturbed projected gradient ascent: Gradient Walk in which a walker that stalls is perturbed.

    It goes on from ``P_X(x_best + rho w u)``, u Gaussian, w the widths of the set; rho grows while the walker falls
    back, and is reset on gain. Of walkers that share a maximum one restarts elsewhere. Source: arXiv 2512.24295.
    """
    return _search(problem, options, settings)


def ppga_lr(problem: Problem, options: PPGALR, settings: Settings) -> Answer:
    """PPGA_LR: PPGA with a linear-region valve and a step length for each walker, see `AdaptiveStep`."""
    return _search(problem, options, settings)


def _search(problem: Problem, options: GradientWalk, settings: Settings) -> Answer:
    def make_ascent(scaled: AscentProblem, starts: Tensor, generator: torch.Generator) -> Ascent:
        return compose(scaled, starts, options, generator)

    return search(problem, settings, make_ascent, normalized=options.learning_rate is None)


def compose(problem: AscentProblem, starts: Tensor, options: GradientWalk, generator: torch.Generator) -> Ascent:
    """Compose the walk that options (of `gradient_walk`, `ppga` or `ppga_lr`) are of."""
    rule: StepRule = AdaptiveStep(options) if isinstance(options, PPGALR) else FixedStep(options)
    policy: RestartPolicy = RandomRestart()
    if isinstance(options, PPGA):
        policy = GaussianPerturbation(options)
    window, tolerance = options.window, options.tolerance
    return Ascent(problem, starts, rule, policy, generator, window=window, tolerance=tolerance)


def annealed_ascent(problem: AscentProblem, starts: Tensor, generator: torch.Generator) -> Ascent:
    """Compose annealed steps with crossover: the ascent of `auto`, strong on deep networks."""
    options = PPGA()
    policy = Crossover(options)
    return Ascent(problem, starts, AnnealedStep(), policy, generator, window=options.window)


def first_point(problem: Problem, settings: Settings) -> Tensor:
    """Return the best input (inputs,) that PPGA_LR finds for a single problem within the budget.

    Raises
    ------
    Interrupted
        With that input, on Ctrl-C.
    """
    answer = ppga_lr(problem, PPGALR(), settings)
    x = choose(problem, answer.candidates)[0].flatten()
    if answer.status is Status.INTERRUPTED:
        raise Interrupted(x)
    return x
