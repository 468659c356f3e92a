"""Checks of a polytope by linear programs, and its reduced form with a point in the relative interior.

Everything here is numpy in float64 and runs once, when a polytope is made, or for `support`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from relu_attack.errors import DomainError, SolverError

Array: TypeAlias = "NDArray[np.float64]"

# What the rows of A and those of E are called in messages.
RowNames: TypeAlias = "tuple[Sequence[str], Sequence[str]]"

# By how much a point of a linear program may break a row.
PRECISION = 1e-10
# A row with less room than this, relative to the size of the set, holds with equality.
FLAT = 5e-10


@dataclass(frozen=True, kw_only=True, eq=False)
class PolytopeForm:
    """A polytope ``{x : A x <= b, E x = e, low <= x <= high}`` with rows of norm 1, as numpy arrays.

    In reduced form the rows of E are orthonormal, no row of A and no bound holds with equality all over
    the set unless low = high there, and `interior` satisfies all rows of A and all open bounds strictly.
    """

    A: Array
    b: Array
    E: Array
    e: Array
    low: Array
    high: Array

    @property
    def inputs(self) -> int:
        return len(self.low)


def solve_linear_program(
    form: PolytopeForm, objective: Array, *, slack: Array | None = None, slack_bounds: tuple[Any, ...] = ()
) -> Any:
    """Minimize ``objective . (x, t)`` over the form; `slack` (rows, len(t)) are t's columns, all rows stacked."""
    from scipy.optimize import linprog

    def side(matrix: Array, columns: Array | None) -> Array | None:
        if len(matrix) == 0:
            return None
        return matrix if columns is None else np.hstack([matrix, columns])

    rows = len(form.A)
    answer = linprog(
        objective,
        A_ub=side(form.A, None if slack is None else slack[:rows]),
        b_ub=form.b if rows else None,
        A_eq=side(form.E, None if slack is None else slack[rows:]),
        b_eq=form.e if len(form.E) else None,
        bounds=[*zip(form.low, form.high, strict=True), *slack_bounds],
        method="highs",
        options={"primal_feasibility_tolerance": PRECISION, "dual_feasibility_tolerance": PRECISION},
    )
    if answer.status != 0:
        raise SolverError(f"a linear program over the Polytope was not solved: {answer.message}")
    return answer


def feasible_point(form: PolytopeForm, names: RowNames) -> Array:
    """Return a point of the form; raise `DomainError` that names rows in conflict, those that it must break.

    `names` are what the rows of A and those of E are called.
    """
    rows, equalities, inputs = len(form.A), len(form.E), form.inputs
    if rows + equalities == 0:
        return np.clip(np.zeros(inputs), form.low, form.high)
    columns = np.zeros((rows + equalities, rows + 2 * equalities))
    columns[:rows, :rows] = -np.eye(rows)
    columns[rows:, rows:] = np.hstack([np.eye(equalities), -np.eye(equalities)])
    cost = np.concatenate([np.zeros(inputs), np.ones(columns.shape[1])])
    answer = solve_linear_program(form, cost, slack=columns, slack_bounds=((0, None),) * columns.shape[1])
    slack = answer.x[inputs:]
    broken = slack[:rows], slack[rows : rows + equalities] + slack[rows + equalities :]
    conflict: list[str] = []
    for called, excess, value in zip(names, broken, (form.b, form.e), strict=True):
        conflict += [called[int(i)] for i in np.flatnonzero(excess > FLAT * np.maximum(1, np.abs(value)))]
    if conflict:
        raise DomainError(
            f"Polytope is infeasible: {', '.join(conflict[:5])} cannot hold together with the other rows and bounds"
        )
    point: Array = np.clip(answer.x[:inputs], form.low, form.high)
    return point


def least_broken_point(form: PolytopeForm, center: Array) -> tuple[Array, float]:
    """Return a point within the bounds that breaks the rows as little as possible, and by how much it does.

    The largest excess over the rows, each relative to max(1, \\|b\\|), is the least. The program is in offsets from
    `center`, shape (inputs,), so that roundings of large numbers do not hide small excesses.
    """
    size = np.maximum(1, np.abs(np.concatenate([form.b, form.e, form.e])))
    near = replace(
        form,
        A=np.vstack([form.A, form.E, -form.E]),
        b=np.concatenate([form.b - form.A @ center, form.e - form.E @ center, form.E @ center - form.e]),
        E=form.E[:0], e=form.e[:0], low=form.low - center, high=form.high - center,
    )  # fmt: skip
    objective = np.append(np.zeros(form.inputs), 1.0)
    answer = solve_linear_program(near, objective, slack=-size[:, None], slack_bounds=((0, None),))
    point: Array = np.clip(center + answer.x[:-1], form.low, form.high)
    excess = np.concatenate([form.A @ point - form.b, np.abs(form.E @ point - form.e)])
    return point, float((excess / size[: len(excess)]).max(initial=0.0))


def require_bounded(form: PolytopeForm) -> None:
    """Raise `DomainError` that names an input without limit and its direction."""
    has_low, has_high = np.isfinite(form.low), np.isfinite(form.high)
    if (has_low & has_high).all():
        return
    loose = ~has_low & ~has_high
    stacked = np.vstack([form.A, form.E])[:, loose]
    direction = np.zeros(form.inputs)
    if loose.any():
        _, sizes, basis = np.linalg.svd(stacked, full_matrices=True)
        rank = int((sizes > 1e-12 * max(1, *stacked.shape)).sum())
        if rank < loose.sum():
            direction[loose] = basis[-1]
    if not direction.any():
        # No line is in the set, so a ray is strict in some row or bound: look for the largest sum of slacks.
        gain = -form.A.sum(0) + (has_low & ~has_high) * 1.0 - (has_high & ~has_low) * 1.0
        cone = replace(
            form, b=0 * form.b, e=0 * form.e, low=np.where(has_low, 0.0, -1.0), high=np.where(has_high, 0.0, 1.0)
        )
        answer = solve_linear_program(cone, -gain)
        if -answer.fun > 1e-8:
            direction = answer.x
    if direction.any():
        worst = int(np.abs(direction).argmax())
        where = "above" if direction[worst] > 0 else "below"
        raise DomainError(f"Polytope is unbounded: input {worst} has no limit {where}; add a row or a bound for it")


def _around(form: PolytopeForm, point: Array) -> PolytopeForm:
    """Return the form in offsets from a point of it, so that roundings cannot make a thin set look empty."""
    return replace(
        form, b=np.maximum(form.b - form.A @ point, 0), e=0 * form.e, low=form.low - point, high=form.high - point
    )


def reduce_form(form: PolytopeForm, point: Array) -> tuple[PolytopeForm, Array]:
    """Move rows and bounds that hold with equality to E and to low = high; return an interior point as well.

    `point` is one of the set up to the solver's tolerance.
    """
    while True:
        # Rows that are consistent only up to roundings are moved by these roundings, to hold at the point.
        point = np.clip(point, form.low, form.high)
        form = replace(form, e=form.E @ point, b=np.maximum(form.b, form.A @ point))
        near, free = _around(form, point), form.high > form.low
        has_low, has_high = np.isfinite(form.low) & free, np.isfinite(form.high) & free
        identity = np.eye(form.inputs)
        rows = np.vstack([form.A, -identity[has_low], identity[has_high]])
        values = np.concatenate([near.b, -near.low[has_low], near.high[has_high]])
        if len(rows) == 0:
            break
        ball = replace(near, A=rows, b=values)
        column = np.concatenate([np.ones(len(rows)), np.zeros(len(form.E))])[:, None]
        objective = np.concatenate([np.zeros(form.inputs), [-1.0]])
        answer = solve_linear_program(ball, objective, slack=column, slack_bounds=((None, None),))
        point, room = point + answer.x[:-1], answer.x[-1]
        if room > FLAT * max(1.0, np.abs(point).max()):
            break
        # The duals of the largest inscribed ball sum to 1: a row with one has no room anywhere in the set.
        tight = -answer.ineqlin.marginals > 1e-6
        in_rows, in_low, in_high = np.split(tight, [len(form.A), len(form.A) + int(has_low.sum())])
        low, high = form.low.copy(), form.high.copy()
        high[np.flatnonzero(has_low)[in_low]] = form.low[has_low][in_low]
        at_top = np.flatnonzero(has_high)[in_high]
        low[at_top] = high[at_top]
        form = replace(
            form, A=form.A[~in_rows], b=form.b[~in_rows], low=low, high=high,
            E=np.vstack([form.E, form.A[in_rows]]), e=np.concatenate([form.e, form.b[in_rows]]),
        )  # fmt: skip
    return _orthonormal_equalities(form, point)


def _orthonormal_equalities(form: PolytopeForm, point: Array) -> tuple[PolytopeForm, Array]:
    """Replace E by orthonormal rows over the inputs that can move, and put the point on them."""
    free = form.high > form.low
    point = np.clip(point, form.low, form.high)
    if len(form.E) and free.any():
        _, sizes, basis = np.linalg.svd(form.E[:, free], full_matrices=False)
        basis = basis[sizes > 1e-10]
        shift = np.linalg.lstsq(form.E[:, free], form.e - form.E @ point, rcond=1e-10)[0]
        point[free] += shift
        equations = np.zeros((len(basis), form.inputs))
        equations[:, free] = basis
    else:
        equations = np.zeros((0, form.inputs))
    kept = np.abs(form.A[:, free]).sum(1) > 1e-12
    return replace(form, A=form.A[kept], b=form.b[kept], E=equations, e=equations @ point), point


def maximize(form: PolytopeForm, interior: Array, direction: Array) -> tuple[Array, float, float]:
    """Maximize ``direction . x`` over a reduced form; return a maximizer, and a bound safe from the solver's tolerance.

    Returns
    -------
    point, bound, share
        For all x in the set ``direction . x <= bound + share * max |x_j|``, the maximum over the inputs j
        without two finite bounds: weak duality with the solver's multipliers, and the residual of the
        reduced costs priced at the bounds (Neumaier and Shcherbina, Safe bounds in linear and
        mixed-integer linear programming, 2004).
    """
    answer = solve_linear_program(_around(form, interior), -direction)
    residual, bound = direction.copy(), 0.0
    if len(form.A):
        dual = np.maximum(-answer.ineqlin.marginals, 0)
        residual, bound = residual - dual @ form.A, bound + dual @ form.b
    if len(form.E):
        dual = -answer.eqlin.marginals
        residual, bound = residual - dual @ form.E, bound + dual @ form.e
    wall = np.where(residual > 0, form.high, form.low)
    limited = np.isfinite(wall)
    bound += (residual * np.where(limited, wall, 0)).sum()
    return interior + answer.x, float(bound), float(np.abs(residual[~limited]).sum())


def bounding_box(form: PolytopeForm, interior: Array) -> tuple[Array, Array]:
    """Return bounds of each input over the set, never inside it; given bounds that are attained are kept."""
    inputs = form.inputs
    known = np.zeros((2, inputs), dtype=bool)
    bound = np.stack([-form.low, form.high])
    share = np.zeros((2, inputs))
    for side, sign in enumerate((-1.0, 1.0)):
        for i in range(inputs):
            if known[side, i]:
                continue
            point, value, part = maximize(form, interior, sign * np.eye(inputs)[i])
            value += 1e-12 * abs(value)
            if part > 0 or value < bound[side, i]:
                given = bound[side, i]
                bound[side, i], share[side, i] = (given, 0.0) if np.isfinite(given) and part > 0 else (value, part)
            known[side, i] = True
            # A point at a given bound proves that bound to be attained: no program is needed for it.
            known[0] |= point <= form.low
            known[1] |= point >= form.high
    open_inputs = ~(np.isfinite(form.low) & np.isfinite(form.high))
    if share.max() > 0:
        largest = np.abs(bound[:, open_inputs]).max() / (1 - share.max())
        if not 0 <= share.max() < 1:
            raise SolverError("a bounding box of the Polytope could not be certified; give lower and upper bounds")
        bound = bound + share * largest
    return -bound[0], bound[1]
