"""What operator splitting remembers of points: their copies, with the multipliers of the bounds added."""

from __future__ import annotations

import torch
from torch import Tensor

# What rows of norm 1 are multiplied by: in squares they then count three times as much as an input. Of 0.3, 1, 3, 10
# and 30, 3 closes in fastest or nearly so on five kinds of polytopes, on two of them to a tenth of 1 in 50 rounds.
WEIGHT = 3.0**0.5
# Largest distance from the set that is estimated, in violations.
_MOST_REACH = 100.0


class Copies:
    """What points are split into, before it is put into its bounds: the memory of the method, with room to compute in.

    Columns are points; entries are inputs, then rows and equations.

    Attributes
    ----------
    target
        What is projected, shape (inputs, points).
    state
        Copies of the points and of their products with the matrix, with the multipliers of their bounds added, shape
        (entries, points); 0 for an equation.
    lower, upper
        Bounds of the copies, shape (entries, 1) or (entries, points).
    x, products
        The points of the last round and their products, 0 for an equation: parts of `moved`.
    """

    def __init__(self, target: Tensor, state: Tensor, lower: Tensor, upper: Tensor) -> None:
        self.target, self.state, self.lower, self.upper = target, state, lower, upper
        self.inside, self.mirrored, self.moved = (
            torch.empty_like(state),
            torch.empty_like(state),
            torch.zeros_like(state),
        )
        self.inputs = inputs = len(target)
        self.point, self.product = self.mirrored[:inputs], self.mirrored[inputs:]
        self.x, self.products = self.moved[:inputs], self.moved[inputs:]
        self.right, self.multipliers = torch.empty_like(self.product), torch.empty_like(self.product)

    def at(self, index: Tensor) -> Copies:
        """Return those of some points."""
        ends = (end if end.shape[1] == 1 else _chosen(end, index) for end in (self.lower, self.upper))
        return Copies(_chosen(self.target, index), _chosen(self.state, index), *ends)

    @property
    def excess(self) -> Tensor:
        """By how much the copies exceed their bounds: the multipliers of inputs and rows, shape (entries, points)."""
        return self.state - self.state.clamp(self.lower, self.upper)

    @property
    def violation(self) -> Tensor:
        """By how much the points of the last round leave the set, shape (points, 1).

        The distance from the bounds and that from the halfspace of the worst row, added.
        """
        within = torch.clamp(self.moved, self.lower, self.upper, out=self.inside)
        torch.sub(self.moved, within, out=self.mirrored)
        length = _lengths(self.point)
        if len(self.product):
            length.add_(self.product.amax(0, keepdim=True), alpha=1 / WEIGHT)
        return length.T

    @property
    def reach(self) -> Tensor:
        """About how many violations points may be away from the set, at least 1, shape (points, 1).

        At a nearest point ``target - x`` is a combination of rows: the sum of its multipliers over its length is how
        much farther the corner of these rows is than the rows are.
        """
        sides = (self.state[self.inputs :] - self.upper[self.inputs :]).clamp_min_(0)
        reach = WEIGHT * sides.sum(0, keepdim=True) / _lengths(self.target - self.x)
        return torch.nan_to_num(reach, 1.0, _MOST_REACH, 1.0).clamp_(1.0, _MOST_REACH).T


def _chosen(part: Tensor, index: Tensor) -> Tensor:
    """Return columns of a part of copies, in its order of memory."""
    return part.index_select(1, index) if part.is_contiguous() else part.T.index_select(0, index).T


def _lengths(columns: Tensor) -> Tensor:
    """Return the norms of columns, (1, columns): across the order of memory, by the faster of two ways."""
    if columns.is_contiguous():
        return columns.square().sum(0, keepdim=True).sqrt_()
    norms: Tensor = torch.linalg.vector_norm(columns, dim=0, keepdim=True)
    return norms
