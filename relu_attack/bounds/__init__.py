"""Certified bounds: one file a method, one table."""

from relu_attack.bounds._backward import Map
from relu_attack.bounds._bounds import Bounds
from relu_attack.bounds._combinations import Mixture, Relaxed, bound_mixtures, descend_mixture
from relu_attack.bounds._concretization import box_support
from relu_attack.bounds._crown import Range, bound_layers, crown
from relu_attack.bounds._interval import activation_range, affine_range, interval
from relu_attack.bounds._lp import lp
from relu_attack.bounds._lp_tightened import lp_tightened
from relu_attack.bounds._milp_tightened import milp_tightened
from relu_attack.bounds._multipliers import Halfspaces
from relu_attack.bounds._registry import BOUNDS, bound_problem, bound_rows, upper_bound
from relu_attack.bounds._slopes import Descent

__all__ = [
    "BOUNDS",
    "Bounds",
    "Descent",
    "Halfspaces",
    "Map",
    "Mixture",
    "Range",
    "Relaxed",
    "activation_range",
    "affine_range",
    "bound_layers",
    "bound_mixtures",
    "bound_problem",
    "bound_rows",
    "box_support",
    "crown",
    "descend_mixture",
    "interval",
    "lp",
    "lp_tightened",
    "milp_tightened",
    "upper_bound",
]
