"""Points of a polytope with whole numbers where they must be, by mixed-integer programs.

In float64 on the CPU; it runs when a polytope with integer inputs is made, and when rounding breaks a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from relu_attack.domains._polytope_form import PRECISION, Array, PolytopeForm
from relu_attack.domains.base import Domain
from relu_attack.errors import DomainError, SolverError

SECONDS = 60.0


def repair(
    form: PolytopeForm,
    points: Tensor,
    whole: Tensor,
    *,
    integer: tuple[int, ...],
    known: Array | None,
    hold: Callable[[tuple[int, ...], Tensor], Domain],
) -> Tensor:
    """Return integral points of the form near `points` (count, inputs) whose nearest whole numbers break a row.

    Parameters
    ----------
    form
        The polytope, with whole bounds of its integer inputs.
    points, whole
        The points, and the same with the nearest whole numbers at the inputs `integer`.
    integer
        Flat indices.
    known
        An integral point of the form, shape (inputs,), or None while none is known.
    hold
        Maps indices and values of inputs to the part of the polytope with these values.

    Returns
    -------
    Tensor
        Whole numbers are those of the integral point nearest in the L1 norm; the other inputs are projected onto the
        part of the set with these whole numbers.

    Raises
    ------
    DomainError
        When the form has no integral point.
    SolverError
        When that was not decided in `SECONDS`, or the solver's whole numbers do not hold exactly.
    """
    index, repaired = list(integer), whole.clone()
    for row, point, around in zip(repaired, points, whole, strict=True):
        answer = nearest_integral(form, integer, point.numpy(), around=around.numpy(), known=known)
        if answer is None:
            some = ", ".join(map(str, index[:5])) + (", ..." if len(index) > 5 else "")
            raise DomainError(f"Polytope has points, but none with whole numbers at its integer inputs {some}")
        row.copy_(torch.as_tensor(answer))
    choices, members = torch.unique(repaired[:, index], dim=0, return_inverse=True)
    for number, choice in enumerate(choices):
        chosen = members == number
        try:
            repaired[chosen] = hold(integer, choice).project(points[chosen])
        except DomainError as reason:
            raise SolverError(f"a mixed-integer program over the Polytope was not solved exactly: {reason}") from None
    return repaired


def nearest_integral(
    form: PolytopeForm, integer: tuple[int, ...], target: Array, *, around: Array, known: Array | None
) -> Array | None:
    """Return a point of the form with whole `integer` inputs that is nearest to `target` in the L1 norm.

    Parameters
    ----------
    form
        The polytope, with whole bounds of its integer inputs.
    integer
        Flat indices.
    target
        Shape (inputs,).
    around
        A point (inputs,) with whole integer inputs. The program is in offsets from it, so that its rows are as exact
        near the answer as they can be.
    known
        A point of the set with whole integer inputs, shape (inputs,). It is the answer where nothing nearer is found in
        `SECONDS`. Without one, any point of the set will do as the answer, not only the nearest.

    Returns
    -------
    Array or None
        Shape (inputs,); None when there is no such point.

    Raises
    ------
    SolverError
        When no point is known, and none was found in `SECONDS`.
    """
    from scipy.sparse import block_array, csr_array, eye_array

    from relu_attack.programs import Program, SolutionStatus, solve

    inputs = form.inputs
    values = np.concatenate([form.b, form.e])
    room = values - np.concatenate([form.A @ around, form.E @ around])
    # Columns are the offsets from `around` and the distances from the target, input by input.
    identity, offset = eye_array(inputs), target - around
    rows = [[csr_array(np.vstack([form.A, form.E])), None], [-identity, identity], [identity, identity]]
    no_limit = np.full(2 * inputs, math.inf)
    program = Program(
        objective=np.repeat([0.0, -1.0], inputs),
        matrix=block_array(rows[0 if len(values) else 1 :]),
        row_lower=np.concatenate([np.where(np.arange(len(values)) < len(form.b), -math.inf, room), -offset, offset]),
        row_upper=np.concatenate([room, no_limit]),
        lower=np.concatenate([form.low - around, np.zeros(inputs)]),
        upper=np.concatenate([form.high - around, np.full(inputs, math.inf)]),
        integral=np.isin(np.arange(2 * inputs), integer),
    )
    start = None if known is None else np.concatenate([known - around, np.abs(known - target)])
    gap = math.inf if known is None else 1e-6
    options = {"primal_feasibility_tolerance": PRECISION, "mip_feasibility_tolerance": PRECISION}
    solution = solve(program, time_limit=SECONDS, warm_start=start, gap=gap, options=options)
    if solution.x is not None:
        return around + solution.x[:inputs]
    if known is not None:
        return known
    if solution.status is SolutionStatus.INFEASIBLE:
        return None
    raise SolverError(
        f"whether the Polytope has a point with whole numbers at its integer inputs was not decided in {SECONDS:g} s: "
        f"{solution.status.value}; narrow the bounds of these inputs"
    )
