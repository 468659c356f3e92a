"""A box around a polytope: multipliers by any solver, ends from the rows and bounds that the user gave."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains._linear_constraints import LinearConstraints
from relu_attack.domains.polytope._form import Scaled, implied_ends, linear_programs
from relu_attack.errors import SolverError
from relu_attack.rounding import MatrixProducts, dot_error, down, sum_above, up, weak_duality

# Multipliers below this share of the largest are noise of the solver, which costs more than it gains.
_NOISE = 1e-13
# Rounds in which single rows limit inputs, each given the limits of the last one, and the share of its width by which
# an end must come closer to be worth its proof.
_PROPAGATIONS, _GAIN = 2, 0.01


def enclosing_box(given: LinearConstraints, near: Scaled, *, deadline: Deadline = NEVER) -> tuple[Tensor, Tensor, bool]:
    """Return ends (inputs,) that hold all exact points of the rows and bounds.

    Parameters
    ----------
    given
        Rows and bounds as the user gave them, float64.
    near
        The same rows in coordinates that suit a solver; nothing of it goes into the ends but multipliers.
    deadline
        After it only inputs that no bound and no single row limits get a program.

    Returns
    -------
    lower, upper
        Given bounds, or better ones by weak duality.
    whole
        Whether every end has had its program.

    Raises
    ------
    SolverError
        When the multipliers bound an input that has no bound of its own by nothing.
    """
    lower, upper = limited_by_single_rows(given)
    if near.form.inputs and len(given):
        multipliers, objective, whole = _multipliers(near, given, (lower, upper), deadline)
        # Better ends make what the multipliers leave of the other inputs cost less.
        for _ in range(2):
            lower, upper = _improved(given, objective, multipliers, lower, upper)
    else:
        whole = True
    if not bool((torch.isfinite(lower) & torch.isfinite(upper)).all()):
        raise SolverError("a bounding box of the Polytope could not be certified; give lower and upper bounds")
    # Rows that agree up to roundings only have no exact point; those points count that meet them to their tolerance.
    point = torch.as_tensor(near.center)
    return torch.minimum(lower, point), torch.maximum(upper, point), whole


def _improved(
    given: LinearConstraints, objective: Tensor, multipliers: Tensor, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the better of known ends and those by multipliers (functions, rows) of +- an input (functions, inputs)."""
    value, share = _bound(objective, multipliers, given, lower, upper)
    value = _without_share(value, share, objective, lower, upper)
    ends = torch.full((2, len(lower)), torch.inf, dtype=torch.float64)
    side, place = (objective > 0).any(1).long(), objective.abs().argmax(1)
    ends[side, place] = value
    return torch.maximum(lower, -ends[0]), torch.minimum(upper, ends[1])


def limited_by_single_rows(given: LinearConstraints) -> tuple[Tensor, Tensor]:
    """Return ends (inputs,) that hold all exact points: the given bounds, or what one row makes of them."""
    lower, upper, inputs = given.lower, given.upper, given.A.shape[1]
    rows, limits, equations = given.A.numpy(), given.ub.numpy(), np.flatnonzero(given.equation.numpy())
    # An equation is two inequalities; which of the rows each of them is.
    both, limits = np.vstack([rows, -rows[equations]]), np.concatenate([limits, -limits[equations]])
    origin = np.concatenate([np.arange(len(rows)), equations])
    for _ in range(_PROPAGATIONS if len(given) else 0):
        ends = lower.numpy(), upper.numpy()
        low, high, low_row, high_row = implied_ends(both, limits, *ends)
        least = _GAIN * np.where(np.isfinite(ends[1] - ends[0]), ends[1] - ends[0], 0.0)
        is_lower, place = np.nonzero(np.stack([high < ends[1] - least, low > ends[0] + least]))
        sign = np.where(is_lower, -1.0, 1.0)
        row = origin[np.where(is_lower, low_row[place], high_row[place])]
        if len(place) == 0:
            break
        each = np.arange(len(place))
        objective, multipliers = np.zeros((len(place), inputs)), np.zeros((len(place), len(rows)))
        objective[each, place], multipliers[each, row] = sign, sign / rows[row, place]
        lower, upper = _improved(given, torch.as_tensor(objective), torch.as_tensor(multipliers), lower, upper)
    return lower, upper


def _multipliers(
    near: Scaled, given: LinearConstraints, known_ends: tuple[Tensor, Tensor], deadline: Deadline
) -> tuple[Tensor, Tensor, bool]:
    """Return multipliers (functions, rows) that bound inputs well, and the functions (functions, inputs): +- an input.

    A given bound that is attained needs no function. And whether all were found that are needed.
    """
    inputs, rows, free = len(near.center), len(given), int((~given.equation).sum())
    known = np.zeros((2, inputs), dtype=bool)
    found, functions, whole = [], [], True
    programs = linear_programs(near.form)
    for side, sign in enumerate((-1.0, 1.0)):
        for place in range(inputs):
            if known[side, place] or near.form.low[place] == near.form.high[place]:
                continue
            bounded = bool(torch.isfinite(known_ends[side][place]))
            if bounded and deadline.passed:
                whole = False
                continue
            objective = np.zeros(inputs)
            objective[place] = sign
            functions.append(objective)
            try:
                answer = programs.minimize(-objective, time_limit=deadline.left if bounded else math.inf)
            except SolverError:
                whole = whole and math.isinf(deadline.left)
                found.append(np.zeros(rows))
                continue
            row = -answer.duals
            row[:free] = np.maximum(row[:free], 0)
            row[np.abs(row) <= _NOISE * np.abs(row).max(initial=0.0)] = 0.0
            found.append(row * near.factor * near.scale[place])
            # A point at a given bound proves that bound to be attained: no program is needed for it.
            known[0] |= answer.x <= near.form.low
            known[1] |= answer.x >= near.form.high
    shape = (len(found), rows)
    multipliers = torch.as_tensor(np.array(found, dtype=np.float64).reshape(shape))
    return multipliers, torch.as_tensor(np.array(functions, dtype=np.float64).reshape(len(functions), inputs)), whole


def _bound(
    objective: Tensor, multipliers: Tensor, given: LinearConstraints, lower: Tensor, upper: Tensor
) -> tuple[Tensor, Tensor]:
    """Bound functions over the rows and a box from above, for admitted multipliers.

    Returns
    -------
    value, share
        Shape (functions,): ``objective . x <= value + share max |x_j|`` in real arithmetic, the maximum being over the
        inputs j without two finite bounds.

    Notes
    -----
    Without two bounds an input goes out from the one that there is, or from 0, in a direction of no limit: by at most
    its size and that of the bound, at the rate ``c - y A``, which is known up to its rounding errors.
    """
    matrix = given.A
    no_lower, no_upper = torch.isinf(lower), torch.isinf(upper)
    start = torch.where(no_lower, torch.where(no_upper, 0.0, upper), lower)
    ends = torch.where(no_lower, start, lower), torch.where(no_lower | no_upper, start, upper)
    value = weak_duality(objective, multipliers, MatrixProducts.of(matrix), (given.lb, given.ub), ends)
    rate, size = objective - multipliers @ matrix, objective.abs() + multipliers.abs() @ matrix.abs()
    operands = multipliers.abs().sum(1, keepdim=True) + matrix.abs().sum(0)
    error = dot_error(size, len(matrix) + 2, operands).masked_fill_(size == 0, 0.0)
    left = ((rate + error) * no_upper).clamp_min(0) + ((error - rate) * no_lower).clamp_min(0)
    left, total = torch.where(left > 0, up(left), 0.0), left.sum(1)
    beyond = sum_above(left @ start.abs(), len(start), left.sum(1) + start.abs().sum())
    value = torch.where(total > 0, up(value + beyond), value)
    return value, torch.where(total > 0, sum_above(total, len(start) + 2, total), 0.0)


def _without_share(value: Tensor, share: Tensor, objective: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Return bounds without shares: the largest input is at most the largest value plus its share of the largest."""
    if not bool((share > 0).any()):
        return value
    opened = torch.isinf(lower) | torch.isinf(upper)
    concerned = (objective.abs() @ opened.double()) > 0
    rest = down(1 - share[concerned].amax())
    if not bool(rest > 0):
        return torch.where(share > 0, torch.inf, value)
    ends = torch.stack([lower, upper])[:, opened]
    known = torch.where(torch.isfinite(ends), ends.abs(), 0.0).amax()
    largest = up(torch.maximum(known, value[concerned].abs().amax()) / rest)
    return torch.where(share > 0, up(value + up(share * largest)), value)
