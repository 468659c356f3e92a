"""Verified solution of a program, and its status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class SolutionStatus(Enum):
    """Outcome of a solve; the value is the message."""

    OPTIMAL = "the bound meets the value of the point, to the relative gap asked for"
    INFEASIBLE = "no point satisfies the rows, bounds and integrality"
    UNBOUNDED = "the objective is unbounded"
    TIME_LIMIT = "stopped at a limit; the point is feasible, a better one may exist"
    TIME_LIMIT_EMPTY = "stopped at a limit before a feasible point was found"
    NUMERICAL = "the solver failed or its result did not pass verification; a point or bound that is given did"


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """Result of `solve`, each part verified against the program.

    Attributes
    ----------
    status
        The outcome.
    x
        The best feasible point, shape (columns,), inside the bounds and exactly integral in integral columns; or None.
    value
        The objective at `x`; minus infinity without a point.
    bound
        Upper bound of the optimum; minus infinity for an infeasible program, infinity without a bound.
    certified
        Whether `bound` (or infeasibility) is proved by weak duality and holds in real arithmetic. False where it is
        reported by the solver, not independently verified: the bound of a branch and bound, a column without bounds.
    duals
        Row multipliers of a linear program, shape (rows,): at least 0 for `row_upper`; None when there are none.
    seconds
        Duration of the solve.
    solver
        Name of the solver.
    interrupted
        Whether Ctrl-C (of a mixed-integer program), or the `stop` of the caller, ended the solve.
    """

    status: SolutionStatus
    x: NDArray[np.float64] | None
    value: float
    bound: float
    certified: bool
    duals: NDArray[np.float64] | None
    seconds: float
    solver: str
    interrupted: bool = False
