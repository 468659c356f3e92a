"""Ranges of units by mixed-integer programs over the layers below, each with a time limit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch

from relu_attack._deadline import NEVER, Deadline, DoesNotFitError
from relu_attack.encodings import Ranges, encode
from relu_attack.network import Network
from relu_attack.problem import Problem
from relu_attack.programs import PreparedProgram

# A program with less time does not get beyond its root, which the linear program has bounded already.
_SHORTEST = 0.05
# Relative widening of a range from branch and bound, for the tolerances of the solver.
_ROOM = 1e-6
# Range bounds need neither heuristics for feasible points nor a small gap.
_OPTIONS = {"mip_heuristic_effort": 0.0}
_GAP = 1e-2


def milp_tightened(
    problem: Problem,
    ranges: Ranges,
    *,
    deadline: Deadline = NEVER,
    unit_time_limit: float = 1.0,
    stop: Callable[[], object] | None = None,
) -> Ranges:
    """Tighten the ranges of the unstable units from the second hidden layer on.

    `problem` is a single one over a polyhedral set; its objective and output constraints are not used. `ranges` has for
    each hidden layer the ends of its preactivations, float64, each of shape (units,), as of `lp_tightened`. The
    deadline is exceeded by at most one program; the time is shared evenly, and a program has at most `unit_time_limit`
    seconds, two for each unit. Once `stop`, which is polled, returns true, KeyboardInterrupt is raised.

    The result is nowhere wider, reported by the solver's branch and bound and not certified. It is the same object if
    the time is too short for any program, or no unit is unstable.

    From Tjeng, Xiao, Tedrake, Evaluating Robustness of Neural Networks with Mixed Integer Programming (1711.07356),
    section 4.2. The first layer's ranges are exact by linear programs.

    0.5 - 2 relu(-x) for x in [-1, 1] has the range [-1.5, 0.5]:

    >>> from relu_attack import Box, Linear
    >>> from relu_attack.network import dense_chain
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> first, second = torch.cat([one, -one]), torch.cat([0 * one, -2 * one], 1)
    >>> chain = dense_chain([first, second, one], [0 * first[:, 0], 0.5 * one[0], 0 * one[0]])
    >>> problem = Problem.create(chain, Box(-one[0], one[0]), Linear(one[0]))
    >>> wide = [(-first.abs()[:, 0], first.abs()[:, 0]), (-2.5 * one[0], 1.5 * one[0])]
    >>> [round(end.item(), 3) for end in milp_tightened(problem, wide)[1]]
    [-1.5, 0.5]
    """
    network, tight = problem.network, list(ranges)
    count = 2 * sum(len(_switching(network, tight, index)) for index in range(1, len(tight)))
    if count == 0 or deadline.left / count < _SHORTEST:
        return ranges
    for index in range(1, len(tight)):
        layer = network.layers[index]
        below = Network(network.layers[:index], layer.affine, network.input_shape, (layer.units,))
        rows = torch.zeros(1, layer.units, dtype=torch.float64)
        try:
            part = replace(problem, network=below, objective=rows, constraints=None)
            encoding = encode(part, tight[:index], deadline=deadline)
        except DoesNotFitError:
            return tight
        prepared = PreparedProgram(encoding.program, options=_OPTIONS)
        lower, upper = (end.clone() for end in tight[index])
        for unit in _switching(network, tight, index):
            row = encoding.output_matrix[[unit]].toarray()[0]
            for sign, end in ((1.0, upper), (-1.0, lower)):
                seconds = min(unit_time_limit, deadline.left / count)
                count -= 1
                if seconds < _SHORTEST:
                    continue
                prepared.change(objective=sign * row, constant=sign * float(encoding.output_constant[unit]))
                solution = prepared.solve(time_limit=seconds, gap=_GAP, stop=stop)
                if solution.interrupted:
                    raise KeyboardInterrupt
                found = solution.bound + _ROOM * max(1.0, abs(solution.bound))
                if math.isfinite(found):
                    end[unit] = sign * min(sign * float(end[unit]), found)
        tight[index] = (lower, upper)
    return tight


def _switching(network: Network, ranges: Ranges, index: int) -> list[int]:
    lower, upper = ranges[index]
    switches = (lower < 0) & (upper > 0) & (network.layers[index].slope < 1)
    return [int(unit) for unit in torch.nonzero(switches).flatten()]
