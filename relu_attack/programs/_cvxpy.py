"""Any solver that cvxpy has installed. The only importer of cvxpy."""

from __future__ import annotations

import math
import operator
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relu_attack._names import one_of
from relu_attack.errors import OptionError
from relu_attack.programs._program import Program
from relu_attack.programs._solution import SolutionStatus
from relu_attack.programs._solver_report import Backend, SolverReport

Array = NDArray[np.float64]

# Option of each solver for a time limit in seconds.
_TIME_LIMIT: dict[str, Callable[[float], dict[str, Any]]] = {
    "HIGHS": lambda seconds: {"time_limit": seconds},
    "SCS": lambda seconds: {"time_limit_secs": seconds},
    "CLARABEL": lambda seconds: {"time_limit": seconds},
    "OSQP": lambda seconds: {"time_limit": seconds},
    "SCIPY": lambda seconds: {"scipy_options": {"time_limit": seconds}},
    "SCIP": lambda seconds: {"scip_params": {"limits/time": seconds}},
    "GUROBI": lambda seconds: {"TimeLimit": seconds},
}

# Option of each solver for the relative gap of a mixed-integer program; other solvers use their default.
_GAP: dict[str, Callable[[float], dict[str, Any]]] = {
    "HIGHS": lambda gap: {"mip_rel_gap": gap, "mip_abs_gap": 0.0},
    "SCIPY": lambda gap: {"scipy_options": {"mip_rel_gap": gap}},
    "SCIP": lambda gap: {"scip_params": {"limits/gap": gap}},
    "GUROBI": lambda gap: {"MIPGap": gap, "MIPGapAbs": 0.0},
}


def installed_solvers() -> tuple[str, ...]:
    """Return the names of the solvers that cvxpy has installed."""
    return tuple(sorted(_cvxpy().installed_solvers()))


def cvxpy_backend(name: str) -> Backend:
    """Return the solver that cvxpy calls `name`; raise `OptionError` for an unknown name."""
    one_of(name, installed_solvers(), name="solver")
    return partial(_solve, name)


def _solve(
    name: str,
    program: Program,
    *,
    time_limit: float | None,
    warm_start: Array | None,
    gap: float,
    options: Mapping[str, Any],
) -> SolverReport:
    cvxpy = _cvxpy()
    settings: dict[str, Any] = {}
    if program.is_mixed_integer and name in _GAP:
        # The gap is verified on the cleaned point.
        settings = _merge(settings, _GAP[name](gap / 2))
    if time_limit is not None:
        if name not in _TIME_LIMIT:
            raise OptionError(f"no time limit is known for solver {name}; give its own option in options")
        settings = _merge(settings, _TIME_LIMIT[name](time_limit))
    settings = _merge(settings, options)
    bounds = [program.lower.copy(), program.upper.copy()]
    integral = np.flatnonzero(program.integral)
    x = cvxpy.Variable(program.columns, bounds=bounds, integer=[integral] if len(integral) else False)
    rows = _Rows(program, x)
    # A minimization without a constant, so that no bound of a solver needs a sign or a constant.
    problem = cvxpy.Problem(cvxpy.Minimize(-program.objective @ x), rows.constraints)
    if warm_start is not None and warm_start.shape == (program.columns,):
        # cvxpy rejects values that are not integral or violate the bounds.
        start = np.where(program.integral, np.round(warm_start), warm_start)
        x.value = np.clip(start, program.lower, program.upper)
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            problem.solve(solver=name, warm_start=warm_start is not None, **settings)
    except cvxpy.SolverError as reason:
        if program.is_mixed_integer and name not in _mixed_integer_solvers():
            able = ", ".join(_mixed_integer_solvers())
            raise OptionError(f"solver {name} does not support integer columns; use one of {able}") from reason
        # cvxpy raises an error when SCIP has found no point within its time limit.
        late = time_limit is not None and time.perf_counter() - began >= time_limit
        return SolverReport(status=SolutionStatus.TIME_LIMIT if late else SolutionStatus.NUMERICAL)
    status = str(problem.status)
    if status == "infeasible_inaccurate" and program.is_mixed_integer:
        # The status of cvxpy when GUROBI has found no point within its time limit.
        return SolverReport(status=SolutionStatus.TIME_LIMIT)
    if status in ("infeasible", "infeasible_inaccurate"):
        return SolverReport(status=SolutionStatus.INFEASIBLE, ray=rows.multipliers())
    if status == "infeasible_or_unbounded":
        nothing = replace(program, objective=np.zeros(program.columns), constant=0.0)
        report = _solve(name, nothing, time_limit=time_limit, warm_start=warm_start, gap=gap, options=options)
        return SolverReport(status=SolutionStatus.UNBOUNDED) if report.status is SolutionStatus.OPTIMAL else report
    if status in ("unbounded", "unbounded_inaccurate"):
        return SolverReport(status=SolutionStatus.UNBOUNDED)
    # The status of SCIP at its time limit is optimal_inaccurate, as is that of a linear program solved inaccurately.
    stopped = status == "user_limit" or (status == "optimal_inaccurate" and program.is_mixed_integer)
    return SolverReport(
        status=SolutionStatus.TIME_LIMIT if stopped else SolutionStatus.OPTIMAL,
        x=None if x.value is None else np.asarray(x.value, dtype=np.float64),
        duals=None if program.is_mixed_integer else rows.multipliers(),
        bound=_mixed_integer_bound(problem, program, stopped=stopped),
    )


def _merge(settings: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, `more` taking precedence; nested dictionaries are merged too."""
    both = dict(settings)
    for key, value in more.items():
        nested = isinstance(value, Mapping) and isinstance(both.get(key), Mapping)
        both[key] = {**both[key], **value} if nested else value
    return both


class _Rows:
    """The rows of a program as constraints, and their multipliers in the program's order and sign."""

    def __init__(self, program: Program, x: Any) -> None:
        equal = program.row_lower == program.row_upper
        below = np.isfinite(program.row_upper) & ~equal
        above = np.isfinite(program.row_lower) & ~equal
        self._count = program.rows
        self._parts: list[tuple[NDArray[np.int64], float, Any]] = []
        for mask, sign, relation, side in (
            (equal, 1.0, operator.eq, program.row_upper),
            (below, 1.0, operator.le, program.row_upper),
            (above, -1.0, operator.ge, program.row_lower),
        ):
            index = np.flatnonzero(mask)
            if len(index):
                self._parts.append((index, sign, relation(program.matrix[index] @ x, side[index])))
        self.constraints = [constraint for _, _, constraint in self._parts]

    def multipliers(self) -> Array | None:
        total = np.zeros(self._count)
        for index, sign, constraint in self._parts:
            if constraint.dual_value is None:
                return None
            total[index] += sign * np.asarray(constraint.dual_value, dtype=np.float64).reshape(-1)
        return total


def _cvxpy() -> Any:
    import cvxpy

    return cvxpy


def _mixed_integer_solvers() -> list[str]:
    from cvxpy.reductions.solvers.defines import INSTALLED_MI_SOLVERS

    return sorted(INSTALLED_MI_SOLVERS)


def _mixed_integer_bound(problem: Any, program: Program, *, stopped: bool) -> float:
    """Return the reported bound, or the value of the optimum for a solver that reports none."""
    statistics = problem.solver_stats.extra_stats if problem.solver_stats is not None else None
    model: Any = statistics.get("model") if isinstance(statistics, Mapping) else statistics
    if hasattr(model, "mip_dual_bound"):  # HIGHS
        reported = float(model.mip_dual_bound)
    elif hasattr(model, "getDualbound"):  # SCIP
        reported = float(model.getDualbound())
    elif hasattr(model, "ObjBound"):  # GUROBI
        reported = float(model.ObjBound)
    else:
        reported = -math.inf if stopped or problem.value is None else float(problem.value)
    return program.constant - reported
