"""Solving the neighbourhood of an input: walls are found one after the other, since few of them matter."""

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

# Relative distance beyond a wall that counts as broken, and walls that are added at a time.
_TOLERANCE = 1e-9
_WALLS = 50
_FIRST_WALLS = 20

# Presolve gains nothing on a linear program of few rows that grows from its last basis; and heuristics look for points
# where there is a good one to begin with.
_LINEAR: dict[str, object] = {"presolve": "off"}
_MIXED_INTEGER: dict[str, object] = {"mip_heuristic_effort": 0.0}


@dataclass(frozen=True, eq=False)
class LocalOptimum:
    """The best point of a neighbourhood, as a solver says; a forward pass tells its value.

    Attributes
    ----------
    point
        Shape (columns,).
    units
        The units whose walls were needed, counted over all layers.
    matrix
        Their walls, rows of norm 1 over the columns of the program, shape (units, columns).
    multipliers
        The multiplier of each wall, at least 0: the gain a unit of distance beyond it; 0 in a mixed-integer program.
    """

    point: Array
    units: NDArray[np.int64]
    matrix: Array
    multipliers: Array


def solve_neighborhood(
    hood: Neighborhood, *, solver: str, time_limit: float, known: Iterable[int] = ()
) -> LocalOptimum | None:
    """Solve the program of a neighbourhood.

    Parameters
    ----------
    hood
        The neighbourhood.
    solver
        As `programs.solve` takes it; ``"HIGHS"`` goes on from its last basis when walls are added.
    time_limit
        Seconds; may be infinite.
    known
        Units whose walls mattered nearby: the first guess.

    Returns
    -------
    LocalOptimum or None
        None where the solver failed or ran out of time: there is no answer then, and none is made up.
    """
    deadline = time.perf_counter() + time_limit
    program = hood.program
    relaxed = replace(program, integral=np.zeros(program.columns, dtype=bool))
    guess = sorted({*known, *hood.nearest(_FIRST_WALLS).tolist()})
    walls = _Walls(hood, np.array(guess, dtype=np.int64))
    answer = _generate(walls, relaxed, solver, deadline)
    if answer is None or not program.is_mixed_integer:
        return answer
    return _generate(walls, program, solver, deadline)


class _Walls:
    """The walls that are in the program."""

    def __init__(self, hood: Neighborhood, units: NDArray[np.int64]) -> None:
        self.hood, self.units = hood, units
        self.matrix, self.upper = hood.walls(units)

    def grow(self, units: NDArray[np.int64]) -> tuple[Array, Array]:
        matrix, upper = self.hood.walls(units)
        self.units = np.concatenate([self.units, units])
        self.matrix, self.upper = np.vstack([self.matrix, matrix]), np.concatenate([self.upper, upper])
        return matrix, upper


def _generate(walls: _Walls, program: Program, solver: str, deadline: float) -> LocalOptimum | None:
    """Solve, add the walls that the solution breaks, and repeat until it breaks none."""
    hood = walls.hood
    current = _Current(program, solver, hood.start)
    current.add(walls.matrix, walls.upper)
    while True:
        left = deadline - time.perf_counter()
        if left <= 0:
            return None
        report = current.solve(None if math.isinf(left) else left)
        if report is None or report.x is None:
            return None
        broken = hood.broken(report.x, tolerance=_TOLERANCE, limit=_WALLS)
        # A wall that is in the program is broken by the solver's tolerance only.
        new = np.setdiff1d(broken, walls.units)
        if len(new) == 0:
            duals = np.zeros(len(walls.units)) if report.duals is None else report.duals[program.rows :]
            return LocalOptimum(report.x, walls.units, walls.matrix, np.maximum(duals, 0.0))
        current.add(*walls.grow(new))


class _Current:
    """The program as it grows, in HiGHS or anew for each solve."""

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
        """Return what the solver says if it says that it is done or, for a mixed-integer program, has a point."""
        if self._prepared is not None:
            start = self._start if self._prepared.program.is_mixed_integer else None
            report = self._prepared.report(time_limit=time_limit, warm_start=start, gap=FEASIBILITY)
            if report.interrupted:
                raise KeyboardInterrupt
            usable = report.status is SolutionStatus.OPTIMAL or self._prepared.program.is_mixed_integer
            return report if usable else None
        solution = solve(self._program, self._solver, time_limit=time_limit, warm_start=self._start)
        if solution.x is None:
            return None
        return SolverReport(status=solution.status, x=solution.x, duals=solution.duals)
