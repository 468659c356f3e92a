"""Gap closing for `auto`: tighter bounds when affordable, and the choice of exact methods."""

from __future__ import annotations

import time

import torch

from relu_attack._checks import LOGGER
from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds import bound_rows, upper_bound
from relu_attack.problem import Problem
from relu_attack.solvers.auto._enumeration import ENUMERATION, enumerable
from relu_attack.solvers.branch_and_bound import MAX_SPLIT_INPUTS, branching_inputs
from relu_attack.solvers.core import Incumbents

# Share of the time for the intervals by which unstable units are counted: with more, the network is large.
_COUNTING_SHARE = 0.1
# Time of alpha-CROWN over that of CROWN, which is 4 to 70 on random networks: near the maximum where no time limit ends
# it, the geometric mean where one does.
_DESCENT_FACTOR, _TIMED_DESCENT_FACTOR = 60, 16
# Maximum multiplications of CROWN, or of alpha-CROWN, without a time limit: some seconds of one core.
_MAX_BOUND_PRODUCTS = 3e9
# Maximum number of unstable units for branch and bound over units: a random network of 50 inputs and 50 units is closed
# to 1e-3 in 10 s, one of 100 and 100 is not.
_MAX_SPLIT_UNITS = 60
# Maximum input dimension for CROWN over non-box sets.
_MAX_SET_INPUTS = 100


def refine_bounds(
    incumbents: Incumbents, *, seconds: float | None, per_point: float, deadline: Deadline = NEVER
) -> None:
    """Bound all problems by CROWN and then by alpha-CROWN, each if its expected time is affordable.

    Parameters
    ----------
    incumbents
        Receive the bounds.
    seconds
        Maximum time of either. If None, the number of multiplications decides instead, so that a repeated search has
        the same bounds.
    per_point
        Seconds of a gradient step per point, forward and backward in float32. A unit needs two rows of CROWN, backward
        through half of the layers on average in float64: as much work, which took a third of the time on random
        networks.
    deadline
        End of the time in any case, since the estimate is rough, above all on a GPU. Neither takes more than twice its
        `seconds`.
    """
    problem, timed = incumbents.problem, seconds is not None
    if not problem.domain.is_box and problem.domain.inputs > _MAX_SET_INPUTS:
        return
    rows = problem.network.units * problem.problems / 2
    expected = rows * (per_point if timed else problem.network.multiply_adds)
    limit = _MAX_BOUND_PRODUCTS if seconds is None else seconds
    for method in ("crown", "alpha_crown"):
        if expected > limit:
            return
        began, own = time.perf_counter(), deadline if seconds is None else deadline.within(2 * seconds)
        for index, upper in enumerate(upper_bound(problem, method, deadline=own).expand(problem.problems).tolist()):
            incumbents.bound(index, upper, certified=True)
        LOGGER.debug("auto: bounds by %s in %.2f s", method, time.perf_counter() - began)
        expected = _TIMED_DESCENT_FACTOR * (time.perf_counter() - began) if timed else _DESCENT_FACTOR * expected


def exact_methods(problem: Problem, *, units: int, dimension: int, deadline: Deadline = NEVER) -> tuple[str, ...]:
    """Return the names of the exact methods to try; none for large problems.

    Parameters
    ----------
    problem
        Problems that share a network.
    units, dimension
        The mixed-integer program is tried with at most `units` unstable units, if their number or that of the inputs,
        which together limit the number of linear regions, is at most `dimension`. With 0 units
        no exact method is tried.
    deadline
        End of the time; units that are not bounded in a tenth of it count as unstable.

    Notes
    -----
    Which method closes the gap shows as they run. A program with few units nearly enumerates their patterns, and its
    bounds use integrality; branch and bound over few inputs is better with many units, on all random networks tried.
    Where all points can be tried in time, that is the only one.
    """
    if units == 0:
        return ()
    if enumerable(problem, deadline.left):
        return (ENUMERATION,)
    domain, unstable = problem.domain, _unstable_units(problem, deadline.share(_COUNTING_SHARE))
    names = []
    inputs = branching_inputs(domain)
    if inputs <= MAX_SPLIT_INPUTS or unstable <= _MAX_SPLIT_UNITS:
        names.append("branch_and_bound")
    if problem.single(0).domain.is_polyhedral and unstable <= units and min(unstable, inputs) <= dimension:
        names.append("milp")
    return tuple(names)


def _unstable_units(problem: Problem, deadline: Deadline) -> int:
    """Return the number of unstable units by intervals, the maximum over a batch."""
    bounds = bound_rows(problem.network, problem.domain, problem.objective[:1], "interval", deadline=deadline)
    layers = zip(problem.network.layers, bounds.layers, strict=True)
    counts = [((low < 0) & (high > 0) & (layer.slope < 1)).sum(-1) for layer, (low, high) in layers]
    return int(torch.stack(counts).sum(0).max()) if counts else 0
