"""Linear and mixed-integer programs as arrays: any solver, and an independent check of what it returns."""

from relu_attack.programs._cvxpy import installed_solvers
from relu_attack.programs._highs import PreparedProgram
from relu_attack.programs._highs_callbacks import SolverProgress
from relu_attack.programs._program import Program
from relu_attack.programs._solution import Solution, SolutionStatus
from relu_attack.programs._solve import solve
from relu_attack.programs._solver_report import FEASIBILITY, Backend, SolverReport
from relu_attack.programs.linear import LinearSolution, minimize_linear

__all__ = [
    "FEASIBILITY",
    "Backend",
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
