"""Certified bounds: interval, CROWN, alpha-CROWN and linear programs, and the table of methods."""

from relu_attack.bounds._backward import AffineBound
from relu_attack.bounds._bounds import Bounds
from relu_attack.bounds._combinations import Relaxed, RowCombination, bound_combinations, optimize_combination
from relu_attack.bounds._crown import Range, bound_layers, crown
from relu_attack.bounds._evaluation_error import evaluation_error
from relu_attack.bounds._interval import activation_range, affine_range, interval
from relu_attack.bounds._lp import lp
from relu_attack.bounds._lp_tightened import lp_tightened
from relu_attack.bounds._milp_tightened import milp_tightened
from relu_attack.bounds._registry import BOUNDS, BoundMethod, bound_problem, bound_rows, register_bound, upper_bound
from relu_attack.bounds._slopes import SlopeOptimizer

__all__ = [
    "BOUNDS",
    "AffineBound",
    "BoundMethod",
    "Bounds",
    "Range",
    "Relaxed",
    "RowCombination",
    "SlopeOptimizer",
    "activation_range",
    "affine_range",
    "bound_combinations",
    "bound_layers",
    "bound_problem",
    "bound_rows",
    "crown",
    "evaluation_error",
    "interval",
    "lp",
    "lp_tightened",
    "milp_tightened",
    "optimize_combination",
    "register_bound",
    "upper_bound",
]
