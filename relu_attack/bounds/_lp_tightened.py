"""Tightened LP bounds: the range of each unit over the triangle relaxation of the layers below it."""

from __future__ import annotations

from dataclasses import replace

import torch

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds._bounds import Bounds
from relu_attack.bounds._crown import crown, intersect
from relu_attack.bounds._interval import activation_range, affine_range, objective_range
from relu_attack.bounds._triangle_program import CROWN, Range, TriangleRelaxation, has_program
from relu_attack.errors import OptionError
from relu_attack.problem import Problem

# Fraction of the time that is reserved for the program of the objective.
_KEPT = 0.1


def lp_tightened(problem: Problem, *, deadline: Deadline = NEVER, only_unstable: bool = True) -> Bounds:
    """Bound objectives and every preactivation over one set, layer by layer.

    Parameters
    ----------
    problem
        One polyhedral set; its objectives are bounded one by one.
    deadline
        Time limit, at which the running program is stopped. The layers and the objective share the time; ranges
        computed by then are used, and later layers have interval bounds from them, within those of `crown`, which has
        the first half of the time.
    only_unstable
        Whether to skip stable units, whose ranges an exact model does not use. Otherwise every unit has two programs.

    Returns
    -------
    Bounds
        Ranges of shape (1, problems) for the objectives and (1, units) for the layers, never wider than those of
        `crown` and certified: each end is recomputed from the multipliers of its program by weak duality. If a program
        fails numerically, and after a layer with a range that is infinite or beyond 1e10, the ends are those of
        `crown`.

    Raises
    ------
    OptionError
        For a batch of sets.

    Notes
    -----
    Interval bounds are exact for the first layer over a box; there no program is solved. Progressive tightening is
    from Tjeng, Xiao, Tedrake, Evaluating Robustness of Neural Networks with Mixed Integer Programming (1711.07356),
    section 4.2, the relaxation from Ehlers (1705.01320).

    Examples
    --------
    relu(x) + relu(-x) is at most 1 on [-1, 1], where intervals prove 2:

    >>> import torch
    >>> from relu_attack import Box, Linear
    >>> from relu_attack.network import dense_chain
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> weights = [torch.cat([one, -one]), torch.ones(1, 2, dtype=torch.float64)]
    >>> chain = dense_chain(weights, [torch.zeros(2, dtype=torch.float64), 0 * one[0]])
    >>> problem = Problem.create(chain, Box(-one[0], one[0]), Linear(one[0]))
    >>> bounds = lp_tightened(problem)
    >>> round(bounds.upper.item(), 9)
    1.0
    """
    if problem.domain.batch is not None:
        raise OptionError(
            f"the domain is a batch of {problem.domain.batch} sets; take one at a time, problem.single(i)"
        )
    network, objective = problem.network, problem.objective
    domain = problem.domain.to(device="cpu", dtype=torch.float64)
    known = crown(network, domain, objective, deadline=deadline.share(CROWN))
    if deadline.passed:
        return replace(known, method="lp_tightened")
    box = domain.bounding_box()
    seen = domain if domain.is_polyhedral else box
    plain = seen.is_box and not seen.one_hot
    lower, upper = (end.reshape(1, -1) for end in (box.lower, box.upper))
    ranges: list[Range] = []
    for index, layer in enumerate(network.layers):
        found = intersect(affine_range(layer.affine, lower, upper), known.layers[index])
        chosen = torch.full_like(layer.slope, bool(index) or not plain, dtype=torch.bool)
        if only_unstable:
            chosen &= (found[0][0] < 0) & (found[1][0] > 0) & (layer.slope < 1)
        if bool(chosen.any()) and has_program(ranges) and not deadline.passed:
            # Apart from the time reserved for the objective, the remaining layers have equal fractions.
            share = deadline.share((1 - _KEPT) / (len(network.layers) - index))
            rows = TriangleRelaxation.of_units(network, seen, ranges, torch.maximum(lower.abs(), upper.abs())[0], share)
            if rows is not None:
                found = rows.tighten(found, chosen, share, until_stable=only_unstable)
        ranges.append(found)
        lower, upper = activation_range(layer, *found)
    found = intersect(objective_range(network.output, lower, upper, objective), (known.lower, known.upper))
    if has_program(ranges) and not deadline.passed:
        size = torch.maximum(lower.abs(), upper.abs())[0]
        rows = TriangleRelaxation.of_objective(network, seen, ranges, size, objective, deadline)
        if rows is not None:
            found = rows.tighten(found, torch.ones(len(objective), dtype=torch.bool), deadline, until_stable=False)
    return Bounds(*found, tuple(ranges), method="lp_tightened", sound=True)
