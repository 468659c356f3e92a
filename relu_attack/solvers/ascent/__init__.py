"""Batched gradient ascent over a set: targets, step rules, restart policies, and the walks that are made of them."""

from relu_attack.solvers.ascent._adaptive_step import AdaptiveStep
from relu_attack.solvers.ascent._affordable import affordable
from relu_attack.solvers.ascent._annealed_step import AnnealedStep
from relu_attack.solvers.ascent._ascent import Ascent
from relu_attack.solvers.ascent._capture import CUDAGraph
from relu_attack.solvers.ascent._driver import Outcome, run_ascent
from relu_attack.solvers.ascent._initial_points import STARTS, settings_for_each, starting_points
from relu_attack.solvers.ascent._methods import first_point, gradient_walk, ppga, ppga_lr
from relu_attack.solvers.ascent._options import PPGA, PPGALR, GradientWalk
from relu_attack.solvers.ascent._problem import AscentProblem, ScaledProblem
from relu_attack.solvers.ascent._restarts import (
    Crossover,
    GaussianPerturbation,
    PatternPerturbation,
    RandomRestart,
    RestartPolicy,
)
from relu_attack.solvers.ascent._search import finalists, search
from relu_attack.solvers.ascent._step_rules import FixedStep, SteepestStep, StepRule
from relu_attack.solvers.ascent._target import Target, TargetedMargin
from relu_attack.solvers.ascent._walk import ANNEALED_ASCENT, RESTARTED_ASCENT, Walk, closing_ascent, steepest_ascent

__all__ = [
    "ANNEALED_ASCENT",
    "PPGA",
    "PPGALR",
    "RESTARTED_ASCENT",
    "STARTS",
    "AdaptiveStep",
    "AnnealedStep",
    "Ascent",
    "AscentProblem",
    "CUDAGraph",
    "Crossover",
    "FixedStep",
    "GaussianPerturbation",
    "GradientWalk",
    "Outcome",
    "PatternPerturbation",
    "RandomRestart",
    "RestartPolicy",
    "ScaledProblem",
    "SteepestStep",
    "StepRule",
    "Target",
    "TargetedMargin",
    "Walk",
    "affordable",
    "closing_ascent",
    "finalists",
    "first_point",
    "gradient_walk",
    "ppga",
    "ppga_lr",
    "run_ascent",
    "search",
    "settings_for_each",
    "starting_points",
    "steepest_ascent",
]
