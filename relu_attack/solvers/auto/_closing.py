"""What auto does about the gap: bounds that are worth their time, and the exact method that fits the problem."""

from __future__ import annotations

import time

import torch

from relu_attack._checks import LOGGER
from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds import bound_rows, upper_bound
from relu_attack.problem import Problem
from relu_attack.solvers.branch_and_bound import MOST_INPUTS, choices
from relu_attack.solvers.core import Incumbents

# How many times as long as CROWN its slopes take to descend, 4 to 70 times on random networks: nearly at most, where no
# clock ends what takes longer, and in the geometric mean where one does.
_DESCENT, _TIMED_DESCENT = 60, 16
# Products of CROWN, or of the descent of its slopes, where no time limit tells: seconds of one core.
_BOUND_PRODUCTS = 3e9
# Units that can change their side up to which branch and bound is tried where it splits them: a random network of 50
# inputs and 50 units is closed to 1e-3 in 10 s, one of 100 and 100 is not.
_SPLIT_UNITS = 60
# Most inputs with which CROWN maximizes over other sets than boxes.
_SET_INPUTS = 100


def refine_bounds(
    incumbents: Incumbents, *, seconds: float | None, per_point: float, deadline: Deadline = NEVER
) -> None:
    """Bound all problems by CROWN and then with slopes that descend, each if it is expected to be worth its time.

    Parameters
    ----------
    incumbents
        Takes the bounds.
    seconds
        What either may take. Without it no clock is read, so that the same search ends with the same bounds: the
        products of the network tell then what a bound would take.
    per_point
        Seconds in which a gradient step takes one point through the network and back, in float32. A row of CROWN goes
        back only, through half of the layers in the mean, in float64, and a unit has two: as much work, which took
        a third of the time on random networks.
    deadline
        When to stop in any case: what a bound takes is a guess, on a graphics card a poor one. Neither takes more than
        twice its `seconds`.
    """
    problem, timed = incumbents.problem, seconds is not None
    if not problem.domain.is_box and problem.domain.inputs > _SET_INPUTS:
        return
    rows = problem.network.units * problem.problems / 2
    expected = rows * (per_point if timed else problem.network.multiply_adds)
    limit = _BOUND_PRODUCTS if seconds is None else seconds
    for method in ("crown", "alpha_crown"):
        if expected > limit:
            return
        began, own = time.perf_counter(), deadline if seconds is None else deadline.within(2 * seconds)
        for index, upper in enumerate(upper_bound(problem, method, deadline=own).expand(problem.problems).tolist()):
            incumbents.bound(index, upper, certified=True)
        LOGGER.debug("auto: bounds by %s in %.2f s", method, time.perf_counter() - began)
        expected = _TIMED_DESCENT * (time.perf_counter() - began) if timed else _DESCENT * expected


def exact_methods(problem: Problem, *, units: int, dimension: int, deadline: Deadline = NEVER) -> tuple[str, ...]:
    """Return which exact methods are worth a try; none for large problems.

    Parameters
    ----------
    problem
        Problems that share a network.
    units, dimension
        The mixed-integer program is tried up to `units` that change their side over the set, where their number or that
        of the inputs, which together limit how many linear regions there are, is at most `dimension`. With 0 units
        there is no exact method at all.
    deadline
        When to stop; units that are not looked at by then count as such that change their side.

    Notes
    -----
    Which of them closes the gap is seen as they go: a program with so few units that it can all but enumerate their
    sides closes at once, and it knows whole inputs in all of its bounds; boxes of few inputs come closer where units
    are many, on all random networks that were tried.
    """
    if units == 0:
        return ()
    domain, unstable = problem.domain, _unstable_units(problem, deadline)
    names = []
    if choices(domain) <= MOST_INPUTS or unstable <= _SPLIT_UNITS:
        names.append("branch_and_bound")
    if problem.single(0).domain.is_polyhedral and unstable <= units and min(unstable, choices(domain)) <= dimension:
        names.append("milp")
    return tuple(names)


def _unstable_units(problem: Problem, deadline: Deadline) -> int:
    """Return how many units may change their side over the set, by intervals; the most over a batch."""
    bounds = bound_rows(problem.network, problem.domain, problem.objective[:1], "interval", deadline=deadline)
    layers = zip(problem.network.layers, bounds.layers, strict=True)
    counts = [((low < 0) & (high > 0) & (layer.slope < 1)).sum(-1) for layer, (low, high) in layers]
    return int(torch.stack(counts).sum(0).max()) if counts else 0
