"""Bounds by linear programs: the range of each unit over the triangle relaxation of the layers below it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from relu_attack.bounds.base import Bounds
from relu_attack.bounds.interval import activation_range, affine_range, objective_range
from relu_attack.domains import Domain
from relu_attack.encodings import Encoding, encode
from relu_attack.encodings.coefficients import folding_error, row_error
from relu_attack.errors import OptionError
from relu_attack.network import Network
from relu_attack.problem import Problem
from relu_attack.programs import PreparedProgram, Program

Array = NDArray[np.float64]
Range = tuple[Tensor, Tensor]

# Share of the time that is kept for the one program of the objective.
_KEPT = 0.1


def lp_tightened(
    problem: Problem, *, deadline: float | None = None, only_unstable: bool = True, improve: Bounds | None = None
) -> Bounds:
    """Bound objectives and every preactivation over one set, layer by layer.

    Parameters
    ----------
    problem
        One polyhedral set; its objectives are bounded one by one.
    deadline
        A reading of `time.perf_counter` after which no program is started and the one that runs is stopped; none by
        default. The layers and the objective share the time; what is done of one by then is kept, and the layers above
        get interval bounds from it.
    only_unstable
        Whether to leave units alone that are known not to switch: an exact model does not use their ranges. Else every
        unit gets two programs.
    improve
        Bounds that hold already; the answer is nowhere wider.

    Returns
    -------
    Bounds
        Ranges of shape (1, problems) for the objectives and (1, units) for the layers, never wider than interval bounds
        and certified: each end is rebuilt from the multipliers of its program by weak duality.

    Raises
    ------
    DomainError
        For a set without linear rows, such as an `L2Ball`.
    OptionError
        For a batch of sets.

    Notes
    -----
    Interval bounds are exact for the first layer over a box; there no program is solved. Progressive tightening is
    from Tjeng, Xiao, Tedrake, Evaluating Robustness of Neural Networks with Mixed Integer Programming (1711.07356),
    section 4.2, the relaxation from Ehlers (1705.01320).

    Examples
    --------
    relu(x) + relu(-x) is at most 1 on [-1, 1], where intervals say 2:

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
    box, limit = domain.bounding_box(), math.inf if deadline is None else deadline
    lower, upper = (end.reshape(1, -1) for end in (box.lower, box.upper))
    ranges: list[Range] = []
    for index, layer in enumerate(network.layers):
        found = affine_range(layer.affine, lower, upper)
        found = found if improve is None else _intersect(found, improve.layers[index])
        chosen = torch.full_like(layer.slope, bool(index) or not _is_box(domain), dtype=torch.bool)
        if only_unstable:
            chosen &= (found[0][0] < 0) & (found[1][0] > 0) & (layer.slope < 1)
        if bool(chosen.any()) and time.perf_counter() < limit:
            rows = _Rows.of_units(network, domain, ranges, torch.maximum(lower.abs(), upper.abs())[0])
            # What is kept for the objective aside, the layers that are left get equal shares of the time.
            now = time.perf_counter()
            share = now + (1 - _KEPT) * (limit - now) / (len(network.layers) - index)
            found = rows.tighten(found, chosen, share, until_stable=only_unstable)
        ranges.append(found)
        lower, upper = activation_range(layer, *found)
    found = objective_range(network.output, lower, upper, objective)
    found = found if improve is None else _intersect(found, (improve.lower, improve.upper))
    if time.perf_counter() < limit:
        rows = _Rows.of_objective(network, domain, ranges, torch.maximum(lower.abs(), upper.abs())[0], objective)
        found = rows.tighten(found, torch.ones(len(objective), dtype=torch.bool), limit, until_stable=False)
    return Bounds(*found, tuple(ranges), method="lp_tightened", sound=True)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Linear functions ``matrix @ point + constant`` of the points of a relaxation, off by rounding of `error`."""

    program: Program
    matrix: Any
    constant: Array
    error: Array

    @staticmethod
    def of_units(network: Network, domain: Domain, ranges: list[Range], size: Tensor) -> _Rows:
        """Return the preactivations of the layer above the known ranges; its inputs are of `size` (inputs,) at most."""
        layers, affine = network.layers[: len(ranges)], network.layers[len(ranges)].affine
        part = Network(layers, affine, network.input_shape, (affine.operator.outputs,))
        encoding = _relaxation(part, domain, ranges)
        error = row_error(affine, size, np.zeros(affine.operator.outputs, dtype=bool))
        return _Rows(encoding.program, encoding.output_matrix, encoding.output_constant, error)

    @staticmethod
    def of_objective(network: Network, domain: Domain, ranges: list[Range], size: Tensor, objective: Tensor) -> _Rows:
        """Return the objective rows."""
        encoding = _relaxation(network, domain, ranges)
        affine, weight = network.output, objective.numpy()
        matrix = scipy.sparse.csr_array(scipy.sparse.csr_array(weight) @ encoding.output_matrix)
        # A coefficient is a sum over the outputs of products with coefficients that may be sums themselves.
        error = (1 + network.outputs) * (objective.abs() @ folding_error(affine, size))
        return _Rows(encoding.program, matrix, weight @ encoding.output_constant, error.numpy())

    def tighten(self, known: Range, chosen: Tensor, limit: float, *, until_stable: bool) -> Range:
        """Return ranges (1, rows) of which the `chosen` rows (rows,) are tightened in the time that is left.

        The widest come first, the side nearer to zero before the other; with `until_stable` a row is done when it
        cannot change its sign any more.
        """
        low, high = (side[0].numpy().copy() for side in known)
        prepared = PreparedProgram(self.program)
        order = np.argsort(low - high, kind="stable")
        for row in order[chosen.numpy()[order]]:
            coefficients = self.matrix[[row]].toarray()[0]
            for sign in (1.0, -1.0) if abs(high[row]) <= abs(low[row]) else (-1.0, 1.0):
                left = limit - time.perf_counter()
                if left <= 0:
                    return _range(low, high)
                if until_stable and (low[row] >= 0 or high[row] <= 0):
                    break
                prepared.change(objective=sign * coefficients, constant=sign * self.constant[row])
                solution = prepared.solve(time_limit=None if math.isinf(left) else left)
                if not (solution.certified and math.isfinite(solution.bound)):
                    continue
                bound = np.nextafter(solution.bound + self.error[row], np.inf)
                if sign > 0:
                    high[row] = min(high[row], bound)
                else:
                    low[row] = max(low[row], -bound)
        return _range(low, high)


def _relaxation(network: Network, domain: Domain, ranges: list[Range]) -> Encoding:
    problem = Problem(network, domain, torch.zeros(1, network.outputs, dtype=torch.float64), batched=False)
    return encode(problem, [(low[0], high[0]) for low, high in ranges], relaxed=True)


def _is_box(domain: Domain) -> bool:
    rows = domain.inequalities()
    return len(rows.matrix) == 0 and len(rows.equality_matrix) == 0 and not domain.one_hot


def _intersect(one: Range, other: Range) -> Range:
    return torch.maximum(one[0], other[0]), torch.minimum(one[1], other[1])


def _range(low: Array, high: Array) -> Range:
    return torch.as_tensor(low)[None], torch.as_tensor(high)[None]
