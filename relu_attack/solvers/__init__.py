"""Methods: how a problem is searched, bounded and solved, and the registry of them by name."""

from relu_attack.solvers._registry import METHODS, find_method, make_options, register_method
from relu_attack.solvers._search import SearchArguments, SearchCall
from relu_attack.solvers.ascent import (
    ANNEALED_ASCENT,
    PPGA,
    PPGALR,
    STARTS,
    Ascent,
    AscentProblem,
    GradientWalk,
    TargetedMargin,
    Walk,
    ppga_lr,
    run_ascent,
    search,
    steepest_ascent,
)
from relu_attack.solvers.auto import Auto
from relu_attack.solvers.branch_and_bound import BranchAndBound, Decision, decide
from relu_attack.solvers.core import Answer, Budget, Incumbents, Method, MethodOptions, Option, Settings, choose
from relu_attack.solvers.milp import MILP
from relu_attack.solvers.region_search import LPWalk, MILPWalk

__all__ = [
    "ANNEALED_ASCENT",
    "METHODS",
    "MILP",
    "PPGA",
    "PPGALR",
    "STARTS",
    "Answer",
    "Ascent",
    "AscentProblem",
    "Auto",
    "BranchAndBound",
    "Budget",
    "Decision",
    "GradientWalk",
    "Incumbents",
    "LPWalk",
    "MILPWalk",
    "Method",
    "MethodOptions",
    "Option",
    "SearchArguments",
    "SearchCall",
    "Settings",
    "TargetedMargin",
    "Walk",
    "choose",
    "decide",
    "find_method",
    "make_options",
    "ppga_lr",
    "register_method",
    "run_ascent",
    "search",
    "steepest_ascent",
]
