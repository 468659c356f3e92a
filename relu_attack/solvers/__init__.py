"""Methods: one file each, one table."""

from relu_attack.solvers._registry import METHODS, find_method, make_options, optimize
from relu_attack.solvers.ascent import (
    PPGA,
    PPGALR,
    STARTS,
    GradientWalk,
    PerturbationOptions,
    PPGALROptions,
    Prepared,
    Walk,
    WalkOptions,
    search,
)
from relu_attack.solvers.branch_and_bound import Decision, decide
from relu_attack.solvers.core import Answer, Budget, Method, Settings

__all__ = [
    "METHODS",
    "PPGA",
    "PPGALR",
    "STARTS",
    "Answer",
    "Budget",
    "Decision",
    "GradientWalk",
    "Method",
    "PPGALROptions",
    "PerturbationOptions",
    "Prepared",
    "Settings",
    "Walk",
    "WalkOptions",
    "decide",
    "find_method",
    "make_options",
    "optimize",
    "search",
]
