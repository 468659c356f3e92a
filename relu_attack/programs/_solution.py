"""The answer to a program."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class SolutionStatus(Enum):
    """How a solve ended; the value is the message."""

    OPTIMAL = "the bound meets the value of the point, to the relative gap asked for"
    INFEASIBLE = "no point satisfies the rows, bounds and integrality"
    UNBOUNDED = "the objective grows without end"
    TIME_LIMIT = "stopped at a limit; the point is feasible, a better one may exist"
    TIME_LIMIT_EMPTY = "stopped at a limit before a feasible point was found"
    NUMERICAL = "the solver failed, or what it said did not stand the check; a point or bound that is given was checked"


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """What `solve` returns, each part checked against the program.

    Attributes
    ----------
    status
        How the solve ended.
    x
        The best feasible point, shape (columns,), inside the bounds and exactly whole where it must be; or None.
    value
        The objective at `x`, evaluated here; minus infinity without a point.
    bound
        No feasible point is better; minus infinity for an infeasible program, infinity where nothing is known.
    certified
        Whether `bound` (or infeasibility) was proved here by weak duality and holds in real arithmetic. False
        where it is the solver's word: the bound of a branch and bound, a column without bounds.
    duals
        Row multipliers of a linear program, shape (rows,): at least 0 for `row_upper`; None when there are none.
    seconds
        Time of the solve.
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
