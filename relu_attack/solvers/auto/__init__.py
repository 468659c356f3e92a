"""`auto`: ascent, linear programs, bounds and exact methods in turn."""

from relu_attack.solvers.auto._exact_turns import Exact, ExactMethod, Restarted
from relu_attack.solvers.auto._method import AutoOptions, auto

__all__ = ["AutoOptions", "Exact", "ExactMethod", "Restarted", "auto"]
