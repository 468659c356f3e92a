"""The exact mixed-integer program of a network over a set."""

from relu_attack.solvers.milp._method import MILP, milp

__all__ = ["MILP", "milp"]
