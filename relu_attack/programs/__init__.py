"""Linear and mixed-integer programs as arrays, solved by any solver and believed only where checked."""

from relu_attack.programs._cvxpy import installed_solvers
from relu_attack.programs._highs import PreparedProgram
from relu_attack.programs._highs_callbacks import Progress
from relu_attack.programs._program import Program
from relu_attack.programs._solution import Solution, SolutionStatus
from relu_attack.programs._solve import solve
from relu_attack.programs._solver_report import FEASIBILITY, Backend, Claim
from relu_attack.programs.linear import LinearSolution, minimize_linear

__all__ = [
    "FEASIBILITY",
    "Backend",
    "Claim",
    "LinearSolution",
    "PreparedProgram",
    "Program",
    "Progress",
    "Solution",
    "SolutionStatus",
    "installed_solvers",
    "minimize_linear",
    "solve",
]
