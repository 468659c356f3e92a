"""Rows of a set beside its box, as bounds over parts of the box take them: with multipliers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.domains import Domain, Polytope


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

    def add(self, multipliers: Tensor, coefficients: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
        """Add ``multipliers (limit - matrix x)``, which no point of the set makes negative, to linear functions.

        Parameters
        ----------
        multipliers
            Admitted, shape (..., functions, rows).
        coefficients
            Of the functions, shape (..., functions, inputs).
        largest
            The largest ``|x|`` in each box, shape (..., inputs).

        Returns
        -------
        coefficients, constant
            The new coefficients, and what is to be added to the constants, (..., functions), from above: with what
            was rounded in both.
        """
        moved = coefficients - multipliers @ self.matrix
        size = coefficients.abs() + multipliers.abs() @ self.matrix.abs()
        number = torch.finfo(size.dtype)
        factor = 2 * (len(self) + self.matrix.shape[1] + 8) * number.eps
        rounded = factor * ((size @ largest[..., None])[..., 0] + multipliers.abs() @ self.limit.abs())
        return moved, multipliers @ self.limit + rounded + number.tiny * (1 + largest.sum(-1, keepdim=True))
