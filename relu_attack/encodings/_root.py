"""Cut generation at the root: rounds of cuts tighten the linear relaxation before branching."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from relu_attack.encodings._assembly import Array
from relu_attack.encodings._cuts import Cuts, separate
from relu_attack.encodings._encoding import Encoding
from relu_attack.programs import PreparedProgram, Program, SolutionStatus

_SLACK = 1e-7


@dataclass(frozen=True, kw_only=True, eq=False)
class TightenedRoot:
    """An exact model with cuts, and the bounds without and with them.

    Attributes
    ----------
    encoding
        The model with the rows of the active cuts after its own rows.
    before, after
        Certified upper bounds by the linear relaxation, without and with the cuts.
    cuts
        Number of added rows.
    rounds
        Number of separation rounds that found a cut.
    """

    encoding: Encoding
    before: float
    after: float
    cuts: int
    rounds: int


def tighten_root(
    encoding: Encoding, *, rounds: int = 20, limit: int | None = None, time_limit: float | None = None
) -> TightenedRoot:
    """Add cuts to an exact model in rounds: solve its linear relaxation, separate the solution, repeat.

    Parameters
    ----------
    encoding
        An exact model.
    rounds
        Largest number of rounds.
    limit
        Largest number of simultaneous cuts; twice the number of binaries by default. New cuts replace slack ones.
    time_limit
        Seconds, exceeded by at most one separation; none by default.

    Returns
    -------
    TightenedRoot
        The model with the cuts that are tight in the last relaxation.
    """
    deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
    program = encoding.program
    relaxation = replace(program, integral=np.zeros(program.columns, dtype=bool))
    pool = _Pool.empty(2 * int(program.integral.sum()) if limit is None else limit, program.columns)
    prepared = PreparedProgram(pool.added_to(relaxation))
    before = after = math.inf
    done = 0
    while True:
        solution = prepared.solve(time_limit=None if math.isinf(deadline) else deadline - time.perf_counter())
        # Infeasibility may be reported by the solver and not certified; other bounds of a linear program are certified.
        after = min(after, solution.bound) if solution.certified else after
        before = before if done else after
        if solution.status is not SolutionStatus.OPTIMAL or solution.x is None:
            break
        slack = pool.slack(solution.x)
        if done == rounds or time.perf_counter() >= deadline:
            pool = pool.without(slack)
            break
        cuts = separate(encoding, solution.x, limit=int(slack.sum()))
        if len(cuts.upper) == 0:
            pool = pool.without(slack)
            break
        pool = pool.replaced(slack, cuts)
        full = pool.added_to(relaxation)
        prepared.change(matrix=full.matrix, row_upper=full.row_upper)
        done += 1
    pool = pool.without(~pool.used)
    tightened = replace(encoding, program=pool.added_to(program))
    return TightenedRoot(encoding=tightened, before=before, after=after, cuts=len(pool.upper), rounds=done)


@dataclass(frozen=True, eq=False)
class _Pool:
    """Fixed number of rows for cuts, empty if unused, so that a basis of one relaxation fits the next.

    A slack cut is basic, and so is the cut that replaces it: the basis stays dual feasible.
    """

    matrix: Any
    upper: Array

    @staticmethod
    def empty(rows: int, columns: int) -> _Pool:
        return _Pool(scipy.sparse.csr_array((rows, columns)), np.full(rows, np.inf))

    @property
    def used(self) -> NDArray[np.bool_]:
        return np.isfinite(self.upper)

    def slack(self, point: Array) -> NDArray[np.bool_]:
        """Return the rows that are unused, or whose cut is not tight at the point."""
        norm = np.sqrt((self.matrix * self.matrix).sum(axis=1))
        loose: NDArray[np.bool_] = self.matrix @ point < self.upper - _SLACK * norm
        return loose | ~self.used

    def without(self, rows: NDArray[np.bool_]) -> _Pool:
        """Return the pool without these rows."""
        return _Pool(self.matrix[np.flatnonzero(~rows)], self.upper[~rows])

    def replaced(self, free: NDArray[np.bool_], cuts: Cuts) -> _Pool:
        """Return the pool with cuts in place of these rows; the rest of them is empty."""
        places, size = np.flatnonzero(free), len(self.upper)
        source = np.arange(size)
        source[places] = size + np.arange(len(places))
        rest = len(places) - len(cuts.upper)
        matrix = scipy.sparse.vstack(
            [self.matrix, cuts.matrix, scipy.sparse.csr_array((rest, self.matrix.shape[1]))], format="csr"
        )
        upper = np.concatenate([self.upper, cuts.upper, np.full(rest, np.inf)])
        return _Pool(matrix[source], upper[source])

    def added_to(self, program: Program) -> Program:
        """Return the program with the rows of the pool after its own."""
        return replace(
            program,
            matrix=scipy.sparse.csr_array(scipy.sparse.vstack([program.matrix, self.matrix], format="csr")),
            row_lower=np.concatenate([program.row_lower, np.full(len(self.upper), -np.inf)]),
            row_upper=np.concatenate([program.row_upper, self.upper]),
        )
