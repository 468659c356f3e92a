"""`auto`: a portfolio of ascent, linear programs, bounds and exact methods."""

from relu_attack.solvers.auto._exact_turns import Exact, ExactMethod, Restarted
from relu_attack.solvers.auto._method import auto
from relu_attack.solvers.auto._options import Auto

__all__ = ["Auto", "Exact", "ExactMethod", "Restarted", "auto"]
