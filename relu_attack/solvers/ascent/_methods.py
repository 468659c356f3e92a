"""The gradient walks as methods, and the search for a first point of the methods that need one."""

from __future__ import annotations

from torch import Tensor

from relu_attack.problem import Problem
from relu_attack.result import Status
from relu_attack.solvers.ascent._base import WalkOptions
from relu_attack.solvers.ascent._driver import search
from relu_attack.solvers.ascent._gradient_walk import GradientWalk
from relu_attack.solvers.ascent._perturbation import PerturbationOptions
from relu_attack.solvers.ascent._ppga import PPGA
from relu_attack.solvers.ascent._ppga_lr import PPGALR, PPGALROptions
from relu_attack.solvers.core import Answer, Interrupted, Settings, choose


def gradient_walk(problem: Problem, options: WalkOptions, settings: Settings) -> Answer:
    """Search by Gradient Walk."""
    return search(problem, options, settings, walk_class=GradientWalk)


def ppga(problem: Problem, options: PerturbationOptions, settings: Settings) -> Answer:
    """Search by PPGA."""
    return search(problem, options, settings, walk_class=PPGA)


def ppga_lr(problem: Problem, options: PPGALROptions, settings: Settings) -> Answer:
    """Search by PPGA_LR."""
    return search(problem, options, settings, walk_class=PPGALR)


def first_point(problem: Problem, settings: Settings) -> Tensor:
    """Return the best input (inputs,) that PPGA_LR finds for a single problem within the budget.

    Raises
    ------
    Interrupted
        With that input, on Ctrl-C.
    """
    answer = ppga_lr(problem, PPGALROptions(), settings)
    x = choose(problem, answer.candidates)[0].flatten()
    if answer.status is Status.INTERRUPTED:
        raise Interrupted(x)
    return x
