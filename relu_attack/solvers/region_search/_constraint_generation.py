"""Constraint generation for the program of a neighbourhood: facets are added lazily, since few of them are active."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from relu_attack.encodings import Neighborhood
from relu_attack.programs import FEASIBILITY, PreparedProgram, Program, SolutionStatus, SolverReport, solve

Array = NDArray[np.float64]

# Relative distance beyond a facet that counts as a violation.
_TOLERANCE = 1e-9
# Facets that a round adds at most: the most violated ones; and those, nearest to the input, of the first program.
_MAX_FACETS_PER_ROUND = 50
_INITIAL_FACETS = 20

# Presolve gains nothing on a linear program of few rows that is re-solved from its last basis. Heuristics gain nothing
# where a good point is known from the start.
_LINEAR: dict[str, object] = {"presolve": "off"}
_MIXED_INTEGER: dict[str, object] = {"mip_heuristic_effort": 0.0}


@dataclass(frozen=True, eq=False)
class LocalOptimum:
    """The best point of a neighbourhood as the solver reports it; its value is a forward pass.

    The point has shape (columns,). `units` are those whose facets are in the last program, counted over all layers;
    `matrix` are the facets, rows of norm 1, and `multipliers`, at least 0, the gain per unit of distance beyond each,
    which is 0 in a mixed-integer program.
    """

    point: Array
    units: NDArray[np.int64]
    matrix: Array
    multipliers: Array


def solve_neighborhood(
    hood: Neighborhood, *, solver: str, time_limit: float, known: Iterable[int] = ()
) -> LocalOptimum | None:
    """Solve the program of a neighbourhood.

    The first program has the facets of the units `known` to be active nearby. The solver ``"HIGHS"`` continues from its
    last basis after facets are added. The result is None where the solver failed or reached the time limit.
    """
    deadline = time.perf_counter() + time_limit
    program = hood.program
    guess = sorted({*known, *hood.nearest(_INITIAL_FACETS).tolist()})
    facets = _Facets(hood, np.array(guess, dtype=np.int64))
    if program.is_mixed_integer:
        relaxed = replace(program, integral=np.zeros(program.columns, dtype=bool))
        if _generate(facets, relaxed, solver, deadline) is None:
            return None
    return _generate(facets, program, solver, deadline)


class _Facets:
    """The facets in the program."""

    def __init__(self, hood: Neighborhood, units: NDArray[np.int64]) -> None:
        self.hood, self.units = hood, units
        self.matrix, self.upper = hood.facets(units)

    def grow(self, units: NDArray[np.int64]) -> tuple[Array, Array]:
        matrix, upper = self.hood.facets(units)
        self.units = np.concatenate([self.units, units])
        self.matrix, self.upper = np.vstack([self.matrix, matrix]), np.concatenate([self.upper, upper])
        return matrix, upper


def _generate(facets: _Facets, program: Program, solver: str, deadline: float) -> LocalOptimum | None:
    """Solve, add the violated facets, and repeat until the solution violates none."""
    hood = facets.hood
    current = _Current(program, solver, hood.start)
    current.add(facets.matrix, facets.upper)
    while True:
        left = deadline - time.perf_counter()
        if left <= 0:
            return None
        report = current.solve(None if math.isinf(left) else left)
        if report is None or report.x is None:
            return None
        broken = hood.violated(report.x, tolerance=_TOLERANCE, limit=_MAX_FACETS_PER_ROUND)
        # Facets in the program are violated by no more than the solver's tolerance.
        new = np.setdiff1d(broken, facets.units)
        if len(new) == 0:
            duals = np.zeros(len(facets.units)) if report.duals is None else report.duals[program.rows :]
            return LocalOptimum(report.x, facets.units, facets.matrix, np.maximum(duals, 0.0))
        current.add(*facets.grow(new))


class _Current:
    """The growing program, kept in HiGHS or passed to the solver as a whole each time."""

    def __init__(self, program: Program, solver: str, start: Array) -> None:
        self._solver, self._start = solver, start
        options = _MIXED_INTEGER if program.is_mixed_integer else _LINEAR
        self._prepared = PreparedProgram(program, options=options) if solver == "HIGHS" else None
        self._program = program

    def add(self, matrix: Array, upper: Array) -> None:
        if len(upper) == 0:
            return
        if self._prepared is not None:
            self._prepared.add_rows(matrix, -np.inf, upper)
            return
        before = self._program
        self._program = replace(
            before,
            matrix=np.vstack([before.matrix.toarray(), matrix]),
            row_lower=np.concatenate([before.row_lower, np.full(len(upper), -np.inf)]),
            row_upper=np.concatenate([before.row_upper, upper]),
        )

    def solve(self, time_limit: float | None) -> SolverReport | None:
        """Return the report of a solve that is optimal or, for a mixed-integer program, has a point; else None."""
        if self._prepared is not None:
            start = self._start if self._program.is_mixed_integer else None
            report = self._prepared.report(time_limit=time_limit, warm_start=start, gap=FEASIBILITY)
            if report.interrupted:
                raise KeyboardInterrupt
            usable = report.status is SolutionStatus.OPTIMAL or self._program.is_mixed_integer
            return report if usable else None
        solution = solve(self._program, self._solver, time_limit=time_limit, warm_start=self._start)
        if solution.x is None:
            return None
        return SolverReport(status=solution.status, x=solution.x, duals=solution.duals)
