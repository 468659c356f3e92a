"""Checks of a polytope by linear programs, and its reduced form with a point in the relative interior.

Everything here is numpy in float64 and runs once, when a polytope is made, or for `maximizer`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from relu_attack._deadline import NEVER, Deadline
from relu_attack.errors import DomainError, SolverError
from relu_attack.programs import LinearProgramSequence, LinearSolution, minimize_linear

Array: TypeAlias = "NDArray[np.float64]"

# What the rows of A and those of E are called in messages.
RowNames: TypeAlias = "tuple[Sequence[str], Sequence[str]]"

# By how much a point of a linear program may break a row.
PRECISION = 1e-10
# A row with less room than this, relative to its own range over the set, holds with equality.
FLAT = 5e-10
# With less room than this the widths of the set are looked for by programs, as bounds and single rows are too wide.
_THIN = 1e-5
# A point with as much room, in widths of the set, is interior enough: the largest ball takes seconds with many rows.
ROOMY = 1e-3
# Rounds in which rows pass bounds on.
_ROUNDS = 3
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaled:
    """A form in offsets u from a point of it, in which its widths are about 1: ``x = center + scale u``.

    Attributes
    ----------
    form
        The rows of the form, of norm 1 in these coordinates, and its bounds. They hold at u = 0; what the point breaks
        them by for a rounding is forgiven.
    center, scale
        Shape (inputs,); the scale of a fixed input is 0.
    factor
        What the rows of A and E, stacked and times the scale, were multiplied by.
    rounding
        By how much the sides of the rows of A are off for a rounding, relative to their norm.
    """

    form: PolytopeForm
    center: Array
    scale: Array
    factor: Array
    rounding: Array

    @staticmethod
    def around(form: PolytopeForm, center: Array, scale: Array) -> Scaled:
        """Move a form to offsets from its point `center`; an input with equal bounds gets the scale 0."""
        scale = np.where(form.high > form.low, scale, 0.0)
        rows = np.vstack([form.A, form.E]) * scale
        norm = np.linalg.norm(rows, axis=1)
        factor = 1 / np.where(norm > 0, norm, 1.0)
        count = len(form.A)
        room = np.maximum(form.b - form.A @ center, 0)
        size = np.abs(form.A) @ np.abs(center) + np.abs(form.b)
        divisor = np.where(scale > 0, scale, 1.0)
        near = PolytopeForm(
            A=rows[:count] * factor[:count, None], b=room * factor[:count],
            E=rows[count:] * factor[count:, None], e=np.zeros(len(form.E)),
            low=np.minimum(form.low - center, 0) / divisor, high=np.maximum(form.high - center, 0) / divisor,
        )  # fmt: skip
        return Scaled(
            form=near, center=center, scale=scale, factor=factor, rounding=4 * EPSILON * size * factor[:count]
        )


def spread(form: PolytopeForm) -> Array:
    """Return the widths of the inputs as far as bounds and single rows imply them, 1 where they do not, 0 if fixed.

    Widths are what the coordinates of programs are scaled by, so that each input and each row has a scale of its own;
    nothing is proved from them.
    """
    low, high = form.low, form.high
    rows, limits = np.vstack([form.A, form.E, -form.E]), np.concatenate([form.b, form.e, -form.e])
    for _ in range(_ROUNDS if len(rows) else 0):
        implied = implied_ends(rows, limits, low, high)
        low, high = np.fmax(low, implied[0]), np.fmin(high, implied[1])
    with np.errstate(invalid="ignore"):
        # Rows that fix an input, or nearly, are dealt with as rows: there its bounds count.
        width, bounds = high - low, form.high - form.low
    width = np.where(width > 1e-9 * np.maximum(np.abs(low), np.abs(high)), width, bounds)
    return np.where(form.high == form.low, 0.0, np.where(np.isfinite(width), width, 1.0))


def implied_ends(rows: Array, limits: Array, low: Array, high: Array) -> tuple[Array, Array, Array, Array]:
    """Return the ends of the inputs that single rows ``rows x <= limits`` imply within bounds, to rounding.

    Returns
    -------
    lower, upper
        Shape (inputs,); infinite where no row limits the input.
    lower_row, upper_row
        The rows that do, shape (inputs,).
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        least = np.where(rows > 0, rows * low, np.where(rows < 0, rows * high, 0.0))
        unknown = np.isinf(least)
        known = np.where(unknown, 0.0, least)
        others = known.sum(1, keepdims=True) - known
        others = np.where(unknown.sum(1, keepdims=True) - unknown == 0, others, -np.inf)
        side = (limits[:, None] - others) / rows
        size = np.abs(side) * 1e-12
        above = np.nan_to_num(np.where(rows > 0, side + size, np.inf), nan=np.inf, posinf=np.inf)
        below = np.nan_to_num(np.where(rows < 0, side - size, -np.inf), nan=-np.inf, neginf=-np.inf)
    return below.max(0), above.min(0), below.argmax(0), above.argmin(0)


def solve_linear_program(
    form: PolytopeForm,
    objective: Array,
    *,
    slack: Array | None = None,
    slack_bounds: tuple[float, float] = (0.0, math.inf),
    deadline: Deadline = NEVER,
) -> LinearSolution:
    """Minimize ``objective . (x, t)`` over the form; `slack` (rows, len(t)) are t's columns, all rows stacked.

    Raises
    ------
    SolverError
        When it is not solved, or not by the deadline.
    """
    columns = np.zeros((len(form.A) + len(form.E), 0)) if slack is None else slack
    low, high = (np.full(columns.shape[1], bound) for bound in slack_bounds)
    rows, sides = _stacked(form)
    return minimize_linear(
        objective,
        np.hstack([rows, columns]),
        sides,
        (np.concatenate([form.low, low]), np.concatenate([form.high, high])),
        tolerance=PRECISION,
        time_limit=deadline.left,
    )


def linear_programs(form: PolytopeForm) -> LinearProgramSequence:
    """Return linear programs over the form, for one objective after the other."""
    return LinearProgramSequence(*_stacked(form), (form.low, form.high), tolerance=PRECISION)


def _stacked(form: PolytopeForm) -> tuple[Array, tuple[Array, Array]]:
    """Return the matrix of all rows, and their lower and upper sides."""
    lower = np.concatenate([np.full(len(form.b), -math.inf), form.e])
    return np.vstack([form.A, form.E]), (lower, np.concatenate([form.b, form.e]))


def feasible_point(form: PolytopeForm, names: RowNames) -> Array:
    """Return a point of the form; raise `DomainError` that names rows in conflict, those that it must break.

    `names` are what the rows of A and those of E are called.
    """
    if len(form.A) + len(form.E) == 0:
        return np.clip(np.zeros(form.inputs), form.low, form.high)
    low, high = np.where(np.isfinite(form.low), form.low, 0.0), np.where(np.isfinite(form.high), form.high, 0.0)
    middle: Array = np.clip(low / 2 + high / 2, form.low, form.high)
    if (form.A @ middle <= form.b).all() and (form.E @ middle == form.e).all():
        return middle
    point, slack, size = _least_slack(form, middle, spread(form))
    conflict = [called for called, wrong in zip((*names[0], *names[1]), slack > size, strict=True) if wrong]
    if conflict:
        raise DomainError(
            f"Polytope is infeasible: {', '.join(conflict[:5])} cannot hold together with the other rows and bounds"
        )
    return point


def _least_slack(form: PolytopeForm, center: Array, scale: Array) -> tuple[Array, Array, Array]:
    """Return a point within the bounds that breaks the rows by the least sum, each in units of its scaled norm.

    The program is in offsets from `center`, (inputs,). By how much each row is broken, (rows + equations,), comes with
    the point, and what is no more than the solver's tolerance and roundings.
    """
    rows, equalities, inputs = len(form.A), len(form.E), form.inputs
    near = Scaled.around(form, center, scale)
    moved = replace(
        near.form, b=(form.b - form.A @ center) * near.factor[:rows], e=(form.e - form.E @ center) * near.factor[rows:]
    )
    columns = np.zeros((rows + equalities, rows + 2 * equalities))
    columns[:rows, :rows] = -np.eye(rows)
    columns[rows:, rows:] = np.hstack([np.eye(equalities), -np.eye(equalities)])
    cost = np.concatenate([np.zeros(inputs), np.ones(columns.shape[1])])
    answer = solve_linear_program(moved, cost, slack=columns)
    slack = answer.x[inputs:]
    broken = np.concatenate([slack[:rows], slack[rows : rows + equalities] + slack[rows + equalities :]])
    values = np.abs(np.concatenate([form.b, form.e]))
    size = np.abs(center) @ np.abs(np.vstack([form.A, form.E])).T + values
    allowed = FLAT * np.maximum(1, np.abs(np.concatenate([moved.b, moved.e]))) + 4 * EPSILON * size * near.factor
    point: Array = np.clip(center + scale * answer.x[:inputs], form.low, form.high)
    return point, broken, allowed


def least_broken_point(form: PolytopeForm, center: Array, sizes: Array) -> tuple[Array, float]:
    """Return a point within the bounds that breaks the rows as little as possible, and by how much it does.

    The largest excess over the rows of A and E, each relative to its entry of `sizes`, is the least. The program is in
    offsets from `center`, shape (inputs,), so that roundings of large numbers do not hide small excesses.
    """
    size = np.concatenate([sizes, sizes[len(form.b) :]])
    near = replace(
        form,
        A=np.vstack([form.A, form.E, -form.E]),
        b=np.concatenate([form.b - form.A @ center, form.e - form.E @ center, form.E @ center - form.e]),
        E=form.E[:0], e=form.e[:0], low=form.low - center, high=form.high - center,
    )  # fmt: skip
    objective = np.append(np.zeros(form.inputs), 1.0)
    answer = solve_linear_program(near, objective, slack=-size[:, None])
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
        if -answer.value > 1e-8:
            direction = answer.x
    if direction.any():
        worst = int(np.abs(direction).argmax())
        where = "above" if direction[worst] > 0 else "below"
        raise DomainError(f"Polytope is unbounded: input {worst} has no limit {where}; add a row or a bound for it")


def reduce_form(form: PolytopeForm, point: Array) -> tuple[PolytopeForm, Array, Array]:
    """Move rows and bounds that hold with equality to E and to low = high; return an interior point and scales as well.

    `point` is one of the set up to the solver's tolerance. The scales (inputs,) are about the widths of the set.
    """
    given, scale, refined = form, spread(form), False
    while True:
        # Rows that are consistent only up to roundings are moved by these roundings, to hold at the point.
        point = np.clip(point, form.low, form.high)
        form = replace(form, e=form.E @ point, b=np.maximum(form.b, form.A @ point))
        near = Scaled.around(form, point, scale)
        ball, has_low, has_high = _with_bounds_as_rows(near)
        if len(ball.A) == 0 or ball.b.min() >= ROOMY:
            break
        column = np.concatenate([np.ones(len(ball.A)), np.zeros(len(ball.E))])[:, None]
        objective = np.concatenate([np.zeros(form.inputs), [-1.0]])
        answer = solve_linear_program(ball, objective, slack=column, slack_bounds=(-math.inf, math.inf))
        point, room = point + near.scale * answer.x[:-1], answer.x[-1]
        if room < _THIN and not refined:
            # What the first scale's tolerance let a row give way is much beside the widths that are known now.
            scale, refined = scale * _widths(near.form), True
            form, point = given, _least_slack(given, point, scale)[0]
            continue
        if room > FLAT:
            break
        # The duals of the largest inscribed ball sum to 1: a row with one has no room anywhere in the set.
        tight = -answer.duals[: len(ball.A)] > 1e-6
        in_rows, in_low, in_high = np.split(tight, [len(form.A), len(form.A) + int(has_low.sum())])
        low, high = form.low.copy(), form.high.copy()
        high[np.flatnonzero(has_low)[in_low]] = form.low[has_low][in_low]
        at_top = np.flatnonzero(has_high)[in_high]
        low[at_top] = high[at_top]
        form = replace(
            form, A=form.A[~in_rows], b=form.b[~in_rows], low=low, high=high,
            E=np.vstack([form.E, form.A[in_rows]]), e=np.concatenate([form.e, form.b[in_rows]]),
        )  # fmt: skip
    form, point = orthonormal_equalities(form, point, scale)
    return form, point, scale


def _with_bounds_as_rows(near: Scaled) -> tuple[PolytopeForm, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return a form with its finite bounds as rows, and which inputs have a lower and an upper one.

    Room that is no more than what rounding makes of the sides does not count.
    """
    form, free = near.form, near.scale > 0
    has_low, has_high = np.isfinite(form.low) & free, np.isfinite(form.high) & free
    identity = np.eye(form.inputs)
    unit = EPSILON * np.abs(near.center) / np.where(free, near.scale, 1.0)
    sides = np.concatenate([form.b, -form.low[has_low], form.high[has_high]])
    rounding = np.concatenate([near.rounding, unit[has_low], unit[has_high]])
    rows = np.vstack([form.A, -identity[has_low], identity[has_high]])
    return replace(form, A=rows, b=np.maximum(sides - rounding, 0)), has_low, has_high


def _widths(form: PolytopeForm) -> Array:
    """Return the width of each input over a form by programs; 1 where it is hardly any."""
    ends, programs = np.zeros((2, form.inputs)), linear_programs(form)
    for place in np.flatnonzero(form.high > form.low):
        for side, sign in enumerate((1.0, -1.0)):
            objective = np.zeros(form.inputs)
            objective[place] = sign
            ends[side, place] = programs.minimize(objective).x[place]
    width = ends[1] - ends[0]
    return np.where(width > 10 * PRECISION, width, 1.0)


def orthonormal_equalities(form: PolytopeForm, point: Array, scale: Array) -> tuple[PolytopeForm, Array]:
    """Replace E by orthonormal rows over the inputs that can move, and put the point on them."""
    free = form.high > form.low
    point = np.clip(point, form.low, form.high)
    if len(form.E) and free.any():
        rows = form.E[:, free] * scale[free]
        norm = np.linalg.norm(rows, axis=1)
        rows = rows / np.where(norm > 0, norm, 1.0)[:, None]
        left = (form.e - form.E @ point) / np.where(norm > 0, norm, 1.0)
        point[free] += scale[free] * np.linalg.lstsq(rows, left, rcond=1e-10)[0]
        rank = int((np.linalg.svd(rows, compute_uv=False) > 1e-10).sum())
        basis = np.linalg.svd(form.E[:, free], full_matrices=False)[2][:rank]
        equations = np.zeros((len(basis), form.inputs))
        equations[:, free] = basis
    else:
        equations = np.zeros((0, form.inputs))
    kept = (form.A[:, free] != 0).any(1)
    return replace(form, A=form.A[kept], b=form.b[kept], E=equations, e=equations @ point), point


def rescale(form: PolytopeForm, point: Array, moved: Array, shift: Array, scale: Array) -> PolytopeForm:
    """Return a form over u with ``x = shift + scale u``, rows of norm 1; `point` becomes `moved` and keeps its room."""
    rows = np.vstack([form.A, form.E]) * scale
    norm = np.linalg.norm(rows, axis=1)
    norm, count = np.where(norm > 0, norm, 1.0), len(form.A)
    rows = rows / norm[:, None]
    room = np.maximum(form.b - form.A @ point, 0) / norm[:count]
    return PolytopeForm(
        A=rows[:count], b=rows[:count] @ moved + room, E=rows[count:], e=rows[count:] @ moved,
        low=np.minimum((form.low - shift) / scale, moved), high=np.maximum((form.high - shift) / scale, moved),
    )  # fmt: skip


def maximizers(near: Scaled, directions: Array, deadline: Deadline) -> Array:
    """Return points (directions, inputs) that maximize ``direction . x`` over a form, to the solver's tolerance.

    The center stands for what is not solved by the deadline.
    """
    programs, found = linear_programs(near.form), []
    for direction in directions * near.scale:
        size = np.abs(direction).max(initial=0.0)
        point = near.center
        if not deadline.passed:
            try:
                answer = programs.minimize(-direction / (size or 1.0), time_limit=deadline.left)
                point = near.center + near.scale * answer.x
            except SolverError:
                if math.isinf(deadline.left):
                    raise
        found.append(point)
    return np.array(found).reshape(directions.shape)
