"""Rows of a set beside its box, as bounds over parts of the box take them: with multipliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from relu_attack.domains._linear_constraints import LinearConstraints
from relu_attack.rounding import MatrixProducts, enclose_affine, midpoint_radius, weak_duality


class HasRows(Protocol):
    """A set that may have linear rows."""

    def linear_rows(self) -> LinearConstraints | None:
        """Return the rows of the set, or None."""

    @property
    def has_auxiliary_rows(self) -> bool:
        """Whether these rows need columns beside the inputs."""

    @property
    def groups(self) -> LinearConstraints:
        """The equations of its one-hot groups."""


@dataclass(frozen=True, eq=False)
class Halfspaces:
    """Rows ``matrix x <= limit``, some of them equations, that all points of a set satisfy.

    The matrix is (rows, inputs); `equation` is a mask of the rows that hold with equality.
    """

    matrix: Tensor
    limit: Tensor
    equation: Tensor

    @staticmethod
    def of(domain: HasRows) -> Halfspaces:
        """Return the rows of one set in its inputs alone, float64; none where rows need auxiliary variables."""
        rows = None if domain.has_auxiliary_rows else domain.linear_rows()
        if rows is None or rows.auxiliary:
            rows = domain.groups
        return Halfspaces(*rows.one_sided)

    def to(self, device: torch.device) -> Halfspaces:
        """Return the rows on another device."""
        return Halfspaces(self.matrix.to(device), self.limit.to(device), self.equation.to(device))

    def __len__(self) -> int:
        return len(self.limit)

    def project_to_dual_cone(self, multipliers: Tensor) -> Tensor:
        """Return the nearest multipliers (..., rows) that are allowed: those of inequalities are not negative."""
        return torch.where(self.equation, multipliers, multipliers.clamp_min(0))

    def bound(self, objective: Tensor, multipliers: Tensor, box: tuple[Tensor, Tensor]) -> Tensor:
        """Bound ``objective . x`` from above over the points of boxes that satisfy the rows, in real arithmetic.

        `objective` has shape (..., functions, inputs), the multipliers (..., functions, rows), and the ends of the
        boxes (inputs,) or (..., 1, inputs). Any multipliers are valid; the bound is good where they are admitted ones.
        """
        low = torch.where(self.equation, self.limit, -torch.inf)
        return weak_duality(objective, multipliers, MatrixProducts.of(self.matrix), (low, self.limit), box)

    def excludes(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Return which boxes, with ends (boxes, inputs), surely hold no point that satisfies the rows, (boxes,)."""
        center, radius = midpoint_radius(lower, upper)
        size, absolute = center.abs() + radius, self.matrix.abs().T
        operands = size.sum(1, keepdim=True)
        least, most = enclose_affine(
            center @ self.matrix.T, radius @ absolute, size @ absolute, self.matrix.shape[1], operands
        )
        return ((least > self.limit) | (self.equation & (most < self.limit))).any(1)
