"""Methods: how a problem is searched, bounded and solved, and the registry of them by name."""

from relu_attack.solvers._registry import METHODS, find_method, make_options, optimize
from relu_attack.solvers.ascent import (
    STARTS,
    Ascent,
    AscentProblem,
    PerturbationOptions,
    PPGALROptions,
    RandomRestart,
    SteepestStep,
    TargetedMargin,
    WalkOptions,
    annealed_ascent,
    compose,
    ppga_lr,
    run_ascent,
)
from relu_attack.solvers.branch_and_bound import Decision, decide
from relu_attack.solvers.core import Answer, Budget, Method, Settings

__all__ = [
    "METHODS",
    "STARTS",
    "Answer",
    "Ascent",
    "AscentProblem",
    "Budget",
    "Decision",
    "Method",
    "PPGALROptions",
    "PerturbationOptions",
    "RandomRestart",
    "Settings",
    "SteepestStep",
    "TargetedMargin",
    "WalkOptions",
    "annealed_ascent",
    "compose",
    "decide",
    "find_method",
    "make_options",
    "optimize",
    "ppga_lr",
    "run_ascent",
]
