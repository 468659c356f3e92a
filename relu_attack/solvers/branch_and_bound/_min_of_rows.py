"""What a branch and bound is after: the smallest of some rows, or an objective where other rows are not negative."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from relu_attack.network import Affine, Dense, Loss
from relu_attack.output_constraints import OutputConstraints
from relu_attack.rounding import dot_error, up

# Rows that are mixtures of their own besides: their weights take the square of this.
_MOST_ALONE = 256


@dataclass(frozen=True, eq=False)
class MinOfRows:
    """Functions ``matrix f(x) + offset``, and what is made of them.

    Attributes
    ----------
    matrix, offset
        Float64, shape (rows, outputs) and (rows,).
    constrained
        Whether the first row is to be large where none of the others is negative; else the smallest row is.
    threshold
        What the first row is compared with when `constrained`: a box matters as far as it has more.
    """

    matrix: Tensor
    offset: Tensor
    constrained: bool = False
    threshold: float = 0.0

    @staticmethod
    def of(objective: Tensor, constraints: OutputConstraints | None) -> MinOfRows:
        """Return the objective (1, outputs), where constraints hold if there are any, to their tolerance."""
        if constraints is None:
            return MinOfRows(objective, objective.new_zeros(1))
        matrix = torch.cat([objective, -constraints.matrix])
        return MinOfRows(matrix, torch.cat([objective.new_zeros(1), constraints.accepted]), constrained=True)

    def __len__(self) -> int:
        return len(self.offset)

    @cached_property
    def affine(self) -> Affine:
        """The rows as a map of the outputs, the first one less the threshold."""
        if not self.threshold:
            return Affine(Dense(self.matrix), self.offset)
        offset, lost = self.offset.clone(), torch.zeros_like(self.offset)
        offset[0] -= self.threshold
        lost[0] = dot_error(self.offset[0].abs() + abs(self.threshold), 2, 2.0)
        return Affine(Dense(self.matrix), offset, Loss(constants=lost))

    def above(self, threshold: float) -> MinOfRows:
        """Return the rows with a finite threshold, where one has a meaning."""
        return self if not self.constrained or not math.isfinite(threshold) else replace(self, threshold=threshold)

    def mixtures(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return which mixtures bound the value, given weights (boxes, rows) that descended.

        Returns
        -------
        descended, plain
            Weights, (boxes, mixtures, rows): the given ones, without the first row's as well where constraints alone
            may fail; and again the given ones, and each row alone where there are several, but not very many.
        """
        descended, plain = weights[:, None], weights[:, None]
        if self.constrained:
            descended = torch.cat([descended, descended.index_fill(2, torch.tensor([0]), 0.0)], 1)
        if 1 < len(self) <= _MOST_ALONE:
            alone = torch.eye(len(self), dtype=weights.dtype).expand(len(weights), -1, -1)
            plain = torch.cat([plain, alone], 1)
        return descended, plain

    def value(self, outputs: Tensor) -> Tensor:
        """Return what outputs (points, outputs) are worth, (points,): minus infinity where a constraint is broken."""
        rows = outputs @ self.matrix.T + self.offset
        if not self.constrained:
            return rows.amin(1)
        return torch.where((rows[:, 1:] >= 0).all(1), rows[:, 0], -torch.inf)

    def bound(self, weights: Tensor, mixed: Tensor) -> Tensor:
        """Return upper bounds of the value, (boxes, mixtures), where ``weights . rows`` is at most `mixed`.

        Parameters
        ----------
        weights
            Not negative, of any size, (boxes, mixtures, rows).
        mixed
            Shape (boxes, mixtures), of `affine`'s rows.
        """
        if not self.constrained:
            # The smallest row is at most the mean, by weights whose sum is not quite 1.
            mean = mixed / weights.sum(-1)
            return up(mean + dot_error(mean.abs(), len(self) + 2, 2.0))
        # Where the constraints hold their part is not negative, so the part of the first row is at most the whole;
        # without such a part, a negative whole says that they hold nowhere.
        first = weights[..., 0]
        over = mixed / first
        found = up(self.threshold + over + dot_error(over.abs() + abs(self.threshold), 3, 2.0))
        return torch.where(first > 0, found, torch.where(mixed < 0, -torch.inf, torch.inf))
