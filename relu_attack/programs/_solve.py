"""Solves a program with any solver and verifies the result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from relu_attack.errors import OptionError
from relu_attack.programs._cvxpy import cvxpy_backend
from relu_attack.programs._highs import NO_OPTIONS, solve_highs
from relu_attack.programs._highs_callbacks import ProgressCallback, StopCallback
from relu_attack.programs._program import Program
from relu_attack.programs._solution import Solution
from relu_attack.programs._solver_report import Backend, verify_solution

_CVXPY = "cvxpy:"


def solve(
    program: Program,
    solver: str | Backend = "HIGHS",
    *,
    time_limit: float | None = None,
    warm_start: ArrayLike | None = None,
    gap: float = 1e-6,
    options: Mapping[str, Any] = NO_OPTIONS,
    on_progress: ProgressCallback | None = None,
    stop: StopCallback | None = None,
) -> Solution:
    """Maximize a program and verify the solution that the solver reports.

    Parameters
    ----------
    program
        What to solve.
    solver
        ``"HIGHS"`` is called directly; another name is a solver that cvxpy has installed (``"SCS"``,
        ``"CLARABEL"``, ``"SCIP"``, ``"GUROBI"``, ...), and ``"cvxpy:HIGHS"`` is HiGHS through cvxpy. A function is
        called as a `Backend`.
    time_limit
        Seconds; none by default.
    warm_start
        A point, shape (columns,). When it is feasible the answer is never worse than it.
    gap
        Relative gap between bound and value at which a point counts as optimal.
    options
        Options of the solver, by its own names.
    on_progress
        Callback for mixed-integer programs: receives a `SolverProgress` at each better point or bound.
    stop
        Callback that the solver polls; it stops once this returns true.

    Returns
    -------
    Solution
        Each part is verified: the point against rows, bounds and integrality (relative 1e-6), the value by evaluation,
        the bound of a linear program by weak duality from its multipliers, so that it holds in real arithmetic. The
        bound of a mixed-integer program is the one that the solver reports for a minimization without a constant (no
        sign can be wrong); it is rejected when a feasible point exceeds it, and marked as not certified. The status is
        NUMERICAL for an inaccurate solver (SCS by default), with a bound that holds nevertheless, and for a program
        with coefficients of 1e15 or more, which HiGHS rejects. Ctrl-C stops the solver: a mixed-integer program returns
        its incumbent, marked as interrupted, a linear one raises KeyboardInterrupt. Only ``"HIGHS"`` supports
        `on_progress`, `stop` and Ctrl-C during the solve.

    Raises
    ------
    OptionError
        For an unknown solver, an impossible limit, a warm start of the wrong shape, a solver without integer columns,
        or `on_progress` or `stop` for a solver that does not support them.

    Examples
    --------
    >>> program = Program(
    ...     objective=[2, 3], matrix=[[1, 2]], row_lower=-np.inf, row_upper=4.5, lower=0, upper=3, integral=True
    ... )
    >>> solution = solve(program)
    >>> solution.status.name, solution.x, solution.value
    ('OPTIMAL', array([2., 1.]), 7.0)
    """
    if time_limit is not None and not time_limit > 0:
        raise OptionError(f"time_limit is {time_limit}; it must be above 0 seconds")
    if not gap >= 0:
        raise OptionError(f"gap is {gap}; it must be at least 0")
    start = None if warm_start is None else np.asarray(warm_start, dtype=np.float64)
    if start is not None and start.shape != (program.columns,):
        raise OptionError(f"warm_start has shape {start.shape}; the program has {program.columns} columns")
    name, backend = _backend(solver)
    if backend is solve_highs:
        backend = partial(solve_highs, on_progress=on_progress, stop=stop)
    elif on_progress is not None or stop is not None:
        raise OptionError(f"solver {name} supports neither on_progress nor stop; HIGHS does")
    begin = time.perf_counter()
    report = backend(program, time_limit=time_limit, warm_start=start, gap=gap, options=options)
    seconds = time.perf_counter() - begin
    return verify_solution(program, report, warm_start=start, gap=gap, seconds=seconds, solver=name)


def _backend(solver: str | Backend) -> tuple[str, Backend]:
    if not isinstance(solver, str):
        return getattr(solver, "__name__", type(solver).__name__), solver
    if solver == "HIGHS":
        return solver, solve_highs
    return solver, cvxpy_backend(solver.removeprefix(_CVXPY))
