"""Linear and mixed-integer programs as arrays: any solver, and an independent check of what it returns."""

from typing import TYPE_CHECKING

from relu_attack._names import renamed_attributes
from relu_attack.programs._cvxpy import installed_solvers
from relu_attack.programs._highs import PreparedProgram
from relu_attack.programs._highs_callbacks import SolverProgress
from relu_attack.programs._linear import LinearProgramSequence, LinearSolution, minimize_linear
from relu_attack.programs._program import Program
from relu_attack.programs._solution import Solution, SolutionStatus
from relu_attack.programs._solve import solve
from relu_attack.programs._solver_report import FEASIBILITY, Backend, SolverReport

__all__ = [
    "FEASIBILITY",
    "Backend",
    "LinearProgramSequence",
    "LinearSolution",
    "PreparedProgram",
    "Program",
    "Solution",
    "SolutionStatus",
    "SolverProgress",
    "SolverReport",
    "installed_solvers",
    "minimize_linear",
    "solve",
]

if not TYPE_CHECKING:  # a module with __getattr__ has any attribute for type checkers
    __getattr__ = renamed_attributes(__name__, {"Claim": "SolverReport", "Progress": "SolverProgress"})
