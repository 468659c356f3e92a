"""Small dense linear programs, solved by HiGHS without verification."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu_attack.errors import SolverError
from relu_attack.programs._highs import linear_model, quiet_highs

Array = NDArray[np.float64]

# Algorithms of HiGHS in the order of trial; rows of very different scales may fail with the first.
_ALGORITHMS = ("choose", "ipm", "simplex")
# Another objective leaves the last vertex feasible: the primal simplex method goes on from there, in a fifth of the
# time of the dual one on 200 inputs with 500 rows.
_PRIMAL_SIMPLEX = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearSolution:
    """The optimum of a linear program, up to the solver's tolerance.

    Attributes
    ----------
    x
        Shape (columns,).
    value
        The objective at `x`.
    duals
        The rate of the optimal value in the side of each row, shape (rows,).
    """

    x: Array
    value: float
    duals: Array


def minimize_linear(
    objective: Array,
    matrix: Array,
    row_bounds: tuple[Array, Array],
    bounds: tuple[Array, Array],
    *,
    tolerance: float,
    time_limit: float = math.inf,
) -> LinearSolution:
    """Minimize ``objective . x`` subject to bounds on ``matrix x`` and on x.

    Parameters
    ----------
    objective
        Shape (columns,).
    matrix
        Shape (rows, columns), dense.
    row_bounds, bounds
        Lower and upper bounds of the rows and of the columns, infinite where there is none.
    tolerance
        Largest violation of a row, and of the sign of a reduced cost.
    time_limit
        Seconds.

    Raises
    ------
    SolverError
        When the program is infeasible, unbounded, or not solved within the time limit.

    Examples
    --------
    >>> sides, bounds = (np.array([-np.inf]), np.array([4.0])), (np.zeros(2), np.full(2, 3.0))
    >>> found = minimize_linear(np.array([-1.0, -1.0]), np.array([[1.0, 2.0]]), sides, bounds, tolerance=1e-9)
    >>> found.x, found.value, found.duals
    (array([3. , 0.5]), -3.5, array([-0.5]))
    """
    sequence = LinearProgramSequence(matrix, row_bounds, bounds, tolerance=tolerance)
    return sequence.minimize(objective, time_limit=time_limit)


class LinearProgramSequence:
    """Linear programs over one polyhedron, each of which starts from the optimal basis of the last one.

    Parameters
    ----------
    matrix, row_bounds, bounds, tolerance
        As `minimize_linear` takes them.
    """

    def __init__(
        self, matrix: Array, row_bounds: tuple[Array, Array], bounds: tuple[Array, Array], *, tolerance: float
    ) -> None:
        self._highs, columns = quiet_highs(), matrix.shape[1]
        for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
            self._highs.setOptionValue(name, tolerance)
        self._highs.passModel(_model(np.zeros(columns), matrix, row_bounds, bounds))
        self._columns = np.arange(columns, dtype=np.int32)
        self._solved = False

    def minimize(self, objective: Array, *, time_limit: float = math.inf) -> LinearSolution:
        """Minimize one objective (columns,); `SolverError` as `minimize_linear`."""
        highs = self._highs
        highs.changeColsCost(len(self._columns), self._columns, objective)
        # The limit counts from when the solver was made, over all programs.
        highs.setOptionValue("time_limit", highs.getRunTime() + max(time_limit, 0.0))
        if self._solved:
            highs.setOptionValue("simplex_strategy", _PRIMAL_SIMPLEX)
        status = ""
        for algorithm in _ALGORITHMS:
            highs.setOptionValue("solver", algorithm)
            highs.run()
            status = str(highs.getModelStatus().name)
            if status not in ("kUnknown", "kSolveError", "kNotset"):
                break
            highs.clearSolver()
        if status not in ("kOptimal", "kModelEmpty"):
            raise SolverError(f"a linear program was not solved: HiGHS ended with {status.removeprefix('k')}")
        self._solved = True
        solution = highs.getSolution()
        x = np.array(solution.col_value)
        return LinearSolution(x=x, value=float(objective @ x), duals=np.array(solution.row_dual))


def _model(objective: Array, matrix: Array, row_bounds: tuple[Array, Array], bounds: tuple[Array, Array]) -> Any:
    kept = matrix != 0
    start = np.concatenate([[0], np.cumsum(kept.sum(1))]).astype(np.int32)
    index = np.broadcast_to(np.arange(matrix.shape[1], dtype=np.int32), matrix.shape)[kept]
    return linear_model(objective, (start, index, matrix[kept]), row_bounds, bounds)
