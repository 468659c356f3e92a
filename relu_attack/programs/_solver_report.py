"""The solution that a solver reports, and the independent verification of its point and bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from relu_attack.programs._program import Program
from relu_attack.programs._solution import Solution, SolutionStatus

Array = NDArray[np.float64]

FEASIBILITY = 1e-6
"""Relative violation up to which a solver's point counts as feasible."""

_ESTIMATE = 1e-7
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, kw_only=True, eq=False)
class SolverReport:
    """Unverified result of a solver, in the sense of the program: a maximization with its constant.

    Attributes
    ----------
    status
        The solver's own status.
    x
        Reported point, shape (columns,).
    duals
        Row multipliers, shape (rows,).
    ray
        Multipliers that prove infeasibility, shape (rows,), of either sign.
    bound
        Upper bound; read for mixed-integer programs only.
    interrupted
        Whether Ctrl-C or the caller stopped it.
    """

    status: SolutionStatus
    x: Array | None = None
    duals: Array | None = None
    ray: Array | None = None
    bound: float = math.inf
    interrupted: bool = False


class Backend(Protocol):
    """Signature of a solver that `solve` accepts."""

    def __call__(
        self,
        program: Program,
        *,
        time_limit: float | None,
        warm_start: Array | None,
        gap: float,
        options: Mapping[str, Any],
    ) -> SolverReport:
        """Solve `program` within `time_limit` seconds, to the relative `gap`."""
        ...


def verify_solution(
    program: Program, report: SolverReport, *, warm_start: Array | None, gap: float, seconds: float, solver: str
) -> Solution:
    """Verify a solver's report and return the solution.

    Points are clipped to the bounds, rounded in integral columns, and checked against the rows; the better of the
    reported point and the warm start is returned. The bound of a linear program is recomputed from the multipliers. The
    bound of a mixed-integer program is reported by the solver and not verified: it is rejected when a feasible point
    exceeds it, and capped by what the multipliers (or none) prove. The status is OPTIMAL only when value and bound
    meet, and neither INFEASIBLE nor UNBOUNDED when a point or a finite bound refutes it.
    """
    points = [
        point for point in (cleaned_point(program, report.x), cleaned_point(program, warm_start)) if point is not None
    ]
    x = max(points, key=program.value, default=None)
    value = -math.inf if x is None else program.value(x)
    duals = None if program.is_mixed_integer else _multipliers(program, report.duals)

    def conclude(status: SolutionStatus, bound: float, certified: bool) -> Solution:
        return Solution(
            status=status,
            x=x,
            value=value,
            bound=bound,
            certified=certified,
            duals=duals,
            seconds=seconds,
            solver=solver,
            interrupted=report.interrupted,
        )

    proved = program.dual_bound(np.zeros(program.rows))
    given = _multipliers(program, report.duals)
    if given is not None:
        proved = min(proved, program.dual_bound(given))
    if report.status is SolutionStatus.INFEASIBLE:
        if x is not None:
            return conclude(SolutionStatus.NUMERICAL, proved, math.isfinite(proved))
        ray = _multipliers(program, report.ray)
        proof = ray is not None and (program.proves_infeasible(ray) or program.proves_infeasible(-ray))
        return conclude(SolutionStatus.INFEASIBLE, -math.inf, proof)
    if report.status is SolutionStatus.UNBOUNDED:
        refuted = math.isfinite(proved)
        return conclude(SolutionStatus.NUMERICAL if refuted else SolutionStatus.UNBOUNDED, proved, refuted)
    bound, certified = proved, math.isfinite(proved)
    scale = value_scale(program, value)
    if program.is_mixed_integer and report.bound < bound:
        if report.bound < value - FEASIBILITY * scale:
            return conclude(SolutionStatus.NUMERICAL, bound, certified)
        bound, certified = max(report.bound, value), False
    elif math.isinf(bound) and given is not None:
        estimate = program.dual_bound(given, tolerance=_ESTIMATE)
        bound = max(estimate, value) if estimate >= value - FEASIBILITY * scale else math.inf
    if x is not None and bound - value <= gap * scale + _TINY * (program.rows + program.columns + 8):
        return conclude(SolutionStatus.OPTIMAL, bound, certified)
    stopped = report.status in (SolutionStatus.TIME_LIMIT, SolutionStatus.TIME_LIMIT_EMPTY)
    if not stopped:
        return conclude(SolutionStatus.NUMERICAL, bound, certified)
    return conclude(SolutionStatus.TIME_LIMIT_EMPTY if x is None else SolutionStatus.TIME_LIMIT, bound, certified)


def value_scale(program: Program, value: float) -> float:
    """Return the scale of relative gaps: the size of the value, at least that of the largest coefficient."""
    size = float(np.abs(program.objective).max(initial=0.0))
    return max(size, abs(value)) if math.isfinite(value) else size


def _multipliers(program: Program, given: Array | None) -> Array | None:
    if given is None:
        return None
    multipliers = np.asarray(given, dtype=np.float64).reshape(-1)
    usable = multipliers.shape == (program.rows,) and bool(np.isfinite(multipliers).all())
    return multipliers if usable else None


def cleaned_point(program: Program, x: Array | None) -> Array | None:
    """Return the point, clipped to the bounds and rounded in integral columns, if it is feasible."""
    if x is None:
        return None
    point = np.asarray(x, dtype=np.float64).reshape(-1)
    if point.shape != (program.columns,) or not np.isfinite(point).all():
        return None
    if program.violation(point) > FEASIBILITY or program.integrality(point) > FEASIBILITY:
        return None
    point = np.where(program.integral, np.round(point), point)
    point = np.clip(point, program.lower, program.upper)
    integral = program.integrality(point) == 0.0
    return point if integral and program.violation(point) <= FEASIBILITY else None
