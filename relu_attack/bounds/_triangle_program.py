"""Shared LP model of the bounds by linear programs: linear functions over the triangle relaxation of a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from relu_attack._deadline import Deadline, DoesNotFitError
from relu_attack.domains import Domain
from relu_attack.encodings import Encoding, combination_error, count_entries, encode, row_error
from relu_attack.network import Network
from relu_attack.problem import Problem
from relu_attack.programs import PreparedProgram, Program
from relu_attack.rounding import up

Array = NDArray[np.float64]
Range = tuple[Tensor, Tensor]

CROWN = 0.5
"""Fraction of the time for CROWN before the programs."""
# Seconds for one coefficient to encode a linear program and pass it to HiGHS, which ignores the time limit meanwhile.
_SETUP = 2e-6
# Square root of the infinity of HiGHS: coefficients are products of two ends.
_LARGEST = 1e10


@dataclass(frozen=True, eq=False)
class TriangleRelaxation:
    """Linear functions ``matrix @ point + constant`` of points of a relaxation, with rounding error `error`."""

    program: Program
    matrix: Any
    constant: Array
    error: Array

    @staticmethod
    def of_units(
        network: Network, domain: Domain, ranges: list[Range], size: Tensor, deadline: Deadline
    ) -> TriangleRelaxation | None:
        """Return the preactivations of the layer after the known ranges; its inputs are bounded by `size` (inputs,).

        None if the remaining time is too short for the program.
        """
        layers, affine = network.layers[: len(ranges)], network.layers[len(ranges)].affine
        part = Network(layers, affine, network.input_shape, (affine.operator.outputs,))
        encoding = _relaxation(part, domain, ranges, deadline)
        if encoding is None:
            return None
        error = row_error(affine, size, np.zeros(affine.operator.outputs, dtype=bool))
        return TriangleRelaxation(encoding.program, encoding.output_matrix, encoding.output_constant, error)

    @staticmethod
    def of_objective(
        network: Network, domain: Domain, ranges: list[Range], size: Tensor, objective: Tensor, deadline: Deadline
    ) -> TriangleRelaxation | None:
        """Return the objective rows; None if the remaining time is too short for the program."""
        encoding = _relaxation(network, domain, ranges, deadline)
        if encoding is None:
            return None
        affine, weight = network.output, objective.numpy()
        matrix = scipy.sparse.csr_array(scipy.sparse.csr_array(weight) @ encoding.output_matrix)
        error = combination_error(affine, objective, size)
        return TriangleRelaxation(encoding.program, matrix, weight @ encoding.output_constant, error.numpy())

    def tighten(self, known: Range, chosen: Tensor, deadline: Deadline, *, until_stable: bool) -> Range:
        """Return ranges (1, rows) with the `chosen` rows (rows,) tightened in the remaining time.

        The widest ranges come first, and the end nearer to zero before the other; with `until_stable` a row ends once
        its sign is fixed.
        """
        low, high = (side[0].numpy().copy() for side in known)
        prepared = PreparedProgram(self.program)
        order = np.argsort(low - high, kind="stable")
        for row in order[chosen.numpy()[order]]:
            coefficients = self.matrix[[row]].toarray()[0]
            for sign in (1.0, -1.0) if abs(high[row]) <= abs(low[row]) else (-1.0, 1.0):
                left = deadline.left
                if left == 0:
                    return _range(low, high)
                if until_stable and (low[row] >= 0 or high[row] <= 0):
                    break
                prepared.change(objective=sign * coefficients, constant=sign * self.constant[row])
                solution = prepared.solve(time_limit=None if math.isinf(left) else left)
                if not (solution.certified and math.isfinite(solution.bound)):
                    continue
                bound = float(up(torch.tensor(solution.bound + self.error[row], dtype=torch.float64)))
                if sign > 0:
                    high[row] = min(high[row], bound)
                else:
                    low[row] = max(low[row], -bound)
        return _range(low, high)


def has_program(ranges: Sequence[Range]) -> bool:
    """Return whether the ranges of all units are small enough for HiGHS, which rejects large numbers."""
    return all(bool((end.abs() <= _LARGEST).all()) for layer in ranges for end in layer)


def _relaxation(network: Network, domain: Domain, ranges: list[Range], deadline: Deadline) -> Encoding | None:
    problem = Problem(network, domain, torch.zeros(1, network.outputs, dtype=torch.float64), batched=False)
    sides = [(low[0], high[0]) for low, high in ranges]
    try:
        deadline.require(_SETUP * count_entries(network, sides))
        return encode(problem, sides, relaxed=True, deadline=deadline)
    except DoesNotFitError:
        return None


def _range(low: Array, high: Array) -> Range:
    return torch.as_tensor(low)[None], torch.as_tensor(high)[None]
