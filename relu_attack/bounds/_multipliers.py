"""Rows of a set beside its box, as bounds over parts of the box take them: with multipliers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.domains import Domain, Polytope
from relu_attack.rounding import MatrixProducts, weak_duality


@dataclass(frozen=True, eq=False)
class Halfspaces:
    """Rows ``matrix x <= limit``, some of them equations, that all points of a set satisfy.

    Attributes
    ----------
    matrix
        Shape (rows, inputs).
    limit
        Shape (rows,).
    equation
        Which rows hold with equality, boolean, shape (rows,).
    """

    matrix: Tensor
    limit: Tensor
    equation: Tensor

    @staticmethod
    def of(domain: Domain) -> Halfspaces:
        """Return the rows of one `Polytope`, and that one-hot groups of other sets sum to 1, float64."""
        if not isinstance(domain, Polytope):
            ones = torch.ones(len(domain.one_hot), dtype=torch.float64)
            matrix = ones.new_zeros(len(ones), domain.inputs)
            for row, group in zip(matrix, domain.one_hot, strict=True):
                row[list(group)] = 1.0
            return Halfspaces(matrix, ones, torch.ones_like(ones, dtype=torch.bool))
        rows = domain.inequalities()
        matrix = torch.cat([rows.matrix, rows.equality_matrix]).to("cpu", torch.float64)
        limit = torch.cat([rows.upper, rows.equality_value]).to("cpu", torch.float64)
        return Halfspaces(matrix, limit, torch.arange(len(limit)) >= len(rows.upper))

    def __len__(self) -> int:
        return len(self.limit)

    def admit(self, multipliers: Tensor) -> Tensor:
        """Return the nearest multipliers (..., rows) that are allowed: those of inequalities are not negative."""
        return torch.where(self.equation, multipliers, multipliers.clamp_min(0))

    def bound(self, objective: Tensor, multipliers: Tensor, box: tuple[Tensor, Tensor]) -> Tensor:
        """Bound ``objective . x`` from above over the points of boxes that satisfy the rows, in real arithmetic.

        Parameters
        ----------
        objective
            Shape (..., functions, inputs).
        multipliers
            Any numbers, shape (..., functions, rows); the bound is good where they are admitted ones.
        box
            Lower and upper ends, each (inputs,) or (..., 1, inputs).

        Returns
        -------
        Tensor
            Shape (..., functions).
        """
        low = torch.where(self.equation, self.limit, -torch.inf)
        return weak_duality(objective, multipliers, MatrixProducts.of(self.matrix), (low, self.limit), box)
