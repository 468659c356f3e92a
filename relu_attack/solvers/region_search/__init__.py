"""Local search over linear regions: linear and mixed-integer programs around one point at a time."""

from relu_attack.solvers.region_search._constraint_generation import solve_neighborhood
from relu_attack.solvers.region_search._initial_points import random_starts, relaxation_starts
from relu_attack.solvers.region_search._lp_walk import LocalSearch, LPWalk, climb, lp_walk
from relu_attack.solvers.region_search._milp_walk import MILPWalk, NeighborhoodSearch, milp_walk

__all__ = [
    "LPWalk",
    "LocalSearch",
    "MILPWalk",
    "NeighborhoodSearch",
    "climb",
    "lp_walk",
    "milp_walk",
    "random_starts",
    "relaxation_starts",
    "solve_neighborhood",
]
