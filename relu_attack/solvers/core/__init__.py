"""Parts common to all methods: budget, settings, incumbents, trace, and the check of the answer."""

from relu_attack.solvers.core._budget import Budget
from relu_attack.solvers.core._check import check_result, choose
from relu_attack.solvers.core._incumbents import Incumbents, gains, rank
from relu_attack.solvers.core._recorder import Recorder
from relu_attack.solvers.core._settings import (
    Answer,
    Interrupted,
    Method,
    MethodOptions,
    Option,
    Settings,
    Solve,
    Starts,
)
from relu_attack.solvers.core._warm_start import FirstPoint, Polish

__all__ = [
    "Answer",
    "Budget",
    "FirstPoint",
    "Incumbents",
    "Interrupted",
    "Method",
    "MethodOptions",
    "Option",
    "Polish",
    "Recorder",
    "Settings",
    "Solve",
    "Starts",
    "check_result",
    "choose",
    "gains",
    "rank",
]
