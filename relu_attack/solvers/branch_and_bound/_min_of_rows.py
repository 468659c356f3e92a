"""Objectives of branch and bound: the minimum of linear functions, or the first where the others are nonnegative."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from relu_attack.network import Affine, Dense, Loss
from relu_attack.output_constraints import OutputConstraints
from relu_attack.rounding import dot_error, up

# Maximum number of rows that are bounded one by one as well; memory grows with its square.
_MAX_SINGLE_ROWS = 256


@dataclass(frozen=True, eq=False)
class MinOfRows:
    """Linear functions ``matrix f(x) + offset`` of the outputs, and their combination into one value.

    If `constrained`, the value is the first row where no other row is negative, and has to exceed `threshold`;
    otherwise it is the minimum of the rows. The matrix is (rows, outputs), the offset (rows,), both float64.
    """

    matrix: Tensor
    offset: Tensor
    constrained: bool = False
    threshold: float = 0.0

    @staticmethod
    def of(objective: Tensor, constraints: OutputConstraints | None) -> MinOfRows:
        """Return the objective (1, outputs), restricted to where the constraints hold within tolerance, if given."""
        if constraints is None:
            return MinOfRows(objective, objective.new_zeros(1))
        matrix = torch.cat([objective, -constraints.matrix])
        return MinOfRows(matrix, torch.cat([objective.new_zeros(1), constraints.accepted]), constrained=True)

    def __len__(self) -> int:
        return len(self.offset)

    @cached_property
    def affine(self) -> Affine:
        """The rows as an affine map of the outputs, the threshold subtracted from the first one."""
        if not self.threshold:
            return Affine(Dense(self.matrix), self.offset)
        offset, lost = self.offset.clone(), torch.zeros_like(self.offset)
        offset[0] -= self.threshold
        lost[0] = dot_error(self.offset[0].abs() + abs(self.threshold), 2, 2.0)
        return Affine(Dense(self.matrix), offset, Loss(constants=lost))

    def above(self, threshold: float) -> MinOfRows:
        """Return the rows with a threshold, if it is finite and they are constrained."""
        return self if not self.constrained or not math.isfinite(threshold) else replace(self, threshold=threshold)

    def combinations(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return which combinations bound the value, given weights (boxes, rows) that descended.

        Weights `descended`, (boxes, combinations, rows), are the given ones, without the first row's as well where
        constraints alone may fail; `plain` are again the given ones, and each row alone where there are several, but
        not very many.
        """
        descended, plain = weights[:, None], weights[:, None]
        if self.constrained:
            descended = torch.cat([descended, descended.index_fill(2, torch.tensor([0]), 0.0)], 1)
        if 1 < len(self) <= _MAX_SINGLE_ROWS:
            alone = torch.eye(len(self), dtype=weights.dtype).expand(len(weights), -1, -1)
            plain = torch.cat([plain, alone], 1)
        return descended, plain

    def value(self, outputs: Tensor) -> Tensor:
        """Return the values (points,) of outputs (points, outputs): minus infinity where a constraint is violated."""
        rows = outputs @ self.matrix.T + self.offset
        if not self.constrained:
            return rows.amin(1)
        return torch.where((rows[:, 1:] >= 0).all(1), rows[:, 0], -torch.inf)

    def bound(self, weights: Tensor, mixed: Tensor) -> Tensor:
        """Return upper bounds of the value, (boxes, combinations), where ``weights . rows`` is at most `mixed`.

        The weights (boxes, combinations, rows) are nonnegative, of any size; the rows are those of `affine`.
        """
        if not self.constrained:
            # The minimum is at most the weighted mean; the weights sum to 1 up to rounding only.
            mean = mixed / weights.sum(-1)
            return up(mean + dot_error(mean.abs(), len(self) + 2, 2.0))
        # Where the constraints hold, their weighted sum is nonnegative, so the weighted first row is at most the total;
        # without weight on the first row, a negative total proves that they hold nowhere.
        first = weights[..., 0]
        over = mixed / first
        found = up(self.threshold + over + dot_error(over.abs() + abs(self.threshold), 3, 2.0))
        return torch.where(first > 0, found, torch.where(mixed < 0, -torch.inf, torch.inf))
