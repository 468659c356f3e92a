"""Points of a polytope with whole numbers where they must be, by mixed-integer programs.

In float64 on the CPU; it runs when a polytope with integer inputs is made, and when rounding breaks a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains._domain import Domain
from relu_attack.domains.polytope._form import PRECISION, Array, PolytopeForm
from relu_attack.errors import DomainError, SolverError

# What a program may take: until it is decided whether there is an integral point, and to find one nearer than is known.
SECONDS = 60.0
NODES = 1000
# Relative gap at which values count as the nearest.
GAP = 1e-6


def repair(
    form: PolytopeForm,
    points: Tensor,
    whole: Tensor,
    *,
    integer: tuple[int, ...],
    known: Array | None,
    hold: Callable[[tuple[int, ...], Tensor], Domain],
    deadline: Deadline = NEVER,
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
    deadline
        After it every point becomes the one that is known, if one is.

    Returns
    -------
    Tensor
        At the integer inputs the values nearest in the L1 norm, over these inputs, that some point of the form has; the
        others are projected onto the part of the set with these values.

    Raises
    ------
    DomainError
        When the form has no integral point.
    SolverError
        When that was not decided in `SECONDS`, or the solver's whole numbers do not hold exactly.
    """
    repaired = whole.clone()
    if deadline.passed and known is not None:
        return torch.as_tensor(known).to(repaired).expand_as(repaired).clone()

    def complete(chosen: Tensor, values: Tensor) -> None:
        repaired[chosen] = hold(integer, values).project(points[chosen])

    # Nearest values that the other inputs, if there are any, can make up for are the answer; many points share them.
    others = len(integer) < form.inputs
    failed: list[int] = [] if others else list(range(len(points)))
    for values, chosen in _distinct(whole[:, list(integer)]) if others else ():
        try:
            complete(chosen, values)
        except DomainError:
            failed += chosen.tolist()
    for place in failed:
        near, around = points[place].numpy(), whole[place].numpy()
        seconds = min(SECONDS, deadline.left) if known is not None else SECONDS
        if seconds == 0.0 and known is not None:
            repaired[place] = torch.as_tensor(known)
            continue
        nearest = nearest_integral(form, integer, near, around=around, known=known, seconds=seconds)
        repaired[place, list(integer)] = torch.as_tensor(nearest)
    left = torch.tensor(failed, dtype=torch.long)
    for values, chosen in _distinct(repaired[left][:, list(integer)]):
        try:
            complete(left[chosen], values)
        except DomainError as reason:
            raise SolverError(f"a mixed-integer program over the Polytope was not solved exactly: {reason}") from None
    return repaired


def _distinct(rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each distinct row of (count, columns) and where it is."""
    distinct, members = torch.unique(rows, dim=0, return_inverse=True)
    for number, row in enumerate(distinct):
        yield row, torch.nonzero(members == number).squeeze(-1)


def nearest_integral(
    form: PolytopeForm,
    integer: tuple[int, ...],
    target: Array,
    *,
    around: Array,
    known: Array | None,
    seconds: float = SECONDS,
) -> Array:
    """Return the whole values of the `integer` inputs, at some point of the form, that are nearest to `target`.

    Parameters
    ----------
    form
        The polytope, with whole bounds of its integer inputs.
    integer
        Flat indices.
    target
        Shape (inputs,); what counts is the L1 norm of the difference at the integer inputs.
    around
        A point (inputs,) with whole integer inputs. The program is in offsets from it, so that its rows are as exact
        near the answer as they can be.
    known
        A point of the set with whole integer inputs, shape (inputs,): its values are the answer where nothing nearer is
        found within `NODES`. Without one, any values that a point has will do, not only the nearest.
    seconds
        What the program may take.

    Returns
    -------
    Array
        Shape (integer inputs,).

    Raises
    ------
    DomainError
        When no point has whole numbers there.
    SolverError
        When no point is known, and none was found in `SECONDS`.
    """
    from scipy.sparse import csr_array, eye, hstack, vstack

    from relu_attack.programs import Program, SolutionStatus, solve

    inputs, whole, count = form.inputs, list(integer), len(integer)
    matrix, values = np.vstack([form.A, form.E]), np.concatenate([form.b, form.e])
    room = values - matrix @ around
    below = np.concatenate([np.full(len(form.b), -math.inf), room[len(form.b) :]])
    # Columns are the offsets of all inputs from `around`, and the distances of the integer inputs from the target.
    chosen, distances = csr_array(eye(inputs))[whole], csr_array(eye(count))
    offset, no_limit = (target - around)[whole], np.full(count, math.inf)
    program = Program(
        objective=np.concatenate([np.zeros(inputs), -np.ones(count)]),
        matrix=vstack(
            [
                hstack([csr_array(matrix), csr_array((len(values), count))]),
                hstack([-chosen, distances]),
                hstack([chosen, distances]),
            ]
        ),
        row_lower=np.concatenate([below, -offset, offset]),
        row_upper=np.concatenate([room, no_limit, no_limit]),
        lower=np.concatenate([form.low - around, np.zeros(count)]),
        upper=np.concatenate([form.high - around, no_limit]),
        integral=np.isin(np.arange(inputs + count), whole),
    )
    options: dict[str, float] = {"primal_feasibility_tolerance": PRECISION, "mip_feasibility_tolerance": PRECISION}
    if known is not None:
        options["mip_max_nodes"] = NODES
    # The known point is compared here and is no warm start: HiGHS 1.16 may give a warm start back as the optimum.
    solution = solve(program, time_limit=seconds, gap=math.inf if known is None else GAP, options=options)
    found = [] if solution.x is None else [np.asarray(around[whole] + solution.x[whole])]
    found += [] if known is None else [np.asarray(known[whole])]
    if found:
        return min(found, key=lambda values: float(np.abs(values - target[whole]).sum()))
    if solution.status is SolutionStatus.INFEASIBLE:
        some = ", ".join(map(str, integer[:5])) + (", ..." if count > 5 else "")
        raise DomainError(f"Polytope has points, but none with whole numbers at its integer inputs {some}")
    raise SolverError(
        f"whether the Polytope has a point with whole numbers at its integer inputs was not decided in {SECONDS:g} s: "
        f"{solution.status.value}; narrow the bounds of these inputs"
    )
