"""Program of a network over a set, with the maps between inputs and points of the program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relu_attack.domains import LinearConstraints
from relu_attack.problem import Problem
from relu_attack.programs import Program

Ranges: TypeAlias = Sequence[tuple[Tensor, Tensor]]
"""For each hidden layer, lower and upper ends of the preactivations, float64, each of shape (units,)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoding:
    """Program whose points are forward passes of a network; the result of `encode`.

    Attributes
    ----------
    program
        Maximization of the objective of the problem, including its constant.
    problem
        The single problem.
    inputs
        Columns 0 to ``inputs - 1`` are x; auxiliary columns of the set follow.
    ranges
        The ranges of the preactivations that the program assumes.
    input_box
        Bounding box of the set, two arrays of shape (inputs,).
    matrices
        For each hidden layer its linear operator as a CSR array, shape (units, units before).
    activation_columns
        For each hidden layer the column of each unit's activation h; -1 where h is constantly 0. Shape (units,).
    preactivation_columns
        The column of the preactivation z of each unstable unit; -1 for stable units.
    binary_columns
        The column of the binary s of each unstable unit, 1 for active; -1 for stable units, and for all units of a
        relaxation.
    output_matrix
        The outputs are ``output_matrix @ point + output_constant``: a CSR array, shape (outputs, columns).
    output_constant
        Shape (outputs,).
    """

    program: Program
    problem: Problem
    inputs: int
    ranges: Ranges
    input_box: tuple[NDArray[np.float64], NDArray[np.float64]]
    matrices: tuple[Any, ...]
    activation_columns: tuple[NDArray[np.int64], ...]
    preactivation_columns: tuple[NDArray[np.int64], ...]
    binary_columns: tuple[NDArray[np.int64], ...]
    output_matrix: Any
    output_constant: NDArray[np.float64]

    def start(self, x: Tensor) -> NDArray[np.float64]:
        """Return the point (columns,) of one input (inputs,), by a float64 forward pass: a warm start."""
        network = self.problem.network
        flat = x.detach().to("cpu", torch.float64).reshape(1, self.inputs)
        point = np.zeros(self.program.columns)
        point[: self.inputs] = flat[0].numpy()
        auxiliary = auxiliary_values(self.problem.domain.require_linear_rows(), flat[0])
        point[self.inputs : self.inputs + len(auxiliary)] = auxiliary
        places = zip(self.activation_columns, self.preactivation_columns, self.binary_columns, strict=True)
        evaluation = network.forward(flat)
        for layer, z, columns in zip(network.layers, evaluation.preactivations, places, strict=True):
            values = layer.activate(z)[0], z[0], (z[0] > 0).double()
            for column, value in zip(columns, values, strict=True):
                point[column[column >= 0]] = value.numpy()[column >= 0]
        return point

    def input(self, point: NDArray[np.float64]) -> Tensor:
        """Return the input x (inputs,), float64, of a point (columns,) of the program."""
        return torch.as_tensor(point[: self.inputs].copy(), dtype=torch.float64)


def auxiliary_values(rows: LinearConstraints, x: Tensor) -> NDArray[np.float64]:
    """Return the smallest auxiliary variables (auxiliary,) that the rows of a set allow for x (inputs,).

    An auxiliary variable of a set is a magnitude: rows bound it from below by x, and sums of such variables from above.
    """
    if rows.auxiliary == 0:
        return np.zeros(0)
    count, (matrix, limit, _) = len(x), rows.one_sided
    own = matrix[:, count:]
    floor = (matrix[:, :count] @ x - limit)[:, None] / torch.where(own < 0, -own, 1.0)
    least = torch.where(own < 0, floor, -torch.inf).amax(0)
    return torch.maximum(least, rows.lower[count:]).numpy()
