"""Weak duality: bounds of linear functions over rows and boxes, valid for any multipliers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.rounding._numbers import outward, up
from relu_attack.rounding._sums import dot_error

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class MatrixProducts:
    """A matrix with a row for each constraint, given by its products from the left.

    `times` maps y (..., rows) to ``y A``, (..., columns), and `times_magnitude` does so with ``|A|``. `terms` is the
    largest number of nonzero entries of a column, which is that of products in a sum.
    """

    times: Product
    times_magnitude: Product
    terms: int

    @staticmethod
    def of(matrix: Tensor) -> MatrixProducts:
        """Return the products with a dense matrix (rows, columns)."""
        size = matrix.abs()
        return MatrixProducts(lambda y: y @ matrix, lambda y: y @ size, len(matrix))


def weak_duality(
    objective: Tensor,
    multipliers: Tensor,
    rows: MatrixProducts,
    sides: tuple[Tensor, Tensor],
    box: tuple[Tensor, Tensor],
) -> Tensor:
    """Bound linear functions ``c . x`` from above over all x in a box that satisfy rows ``b_low <= A x <= b_high``.

    The objective c has shape (..., functions, columns); `sides` are ``b_low, b_high``, each (rows,) or (..., functions,
    rows), and `box` its ends, each (columns,) or (..., 1 or functions, columns), both infinite without a bound. The
    multipliers are any numbers y, (..., functions, rows): nonnegative ones multiply ``b_high``, negative ones
    ``b_low``. One of an infinite side, or that is not finite, counts as 0.

    The result, (..., functions), is at least the maximum, in real arithmetic, for any y; it is plus infinity without a
    bound. A bound below 0 for the objective 0 proves that there is no such x (Farkas).

    ``c . x = y A x + (c - y A) . x <= sum_i max(y_i b_low_i, y_i b_high_i) + sum_j max r_j x_j`` with the reduced costs
    ``r = c - y A``, each a sum of `terms` products and c, up to its `dot_error`; the maximum over the
    interval and the ends of the box is at one of four corners (Neumaier and Shcherbina, Safe bounds in linear and
    mixed-integer linear programming, 2004). Rounding is monotone, so the largest corner stays the largest. These
    products and those of the sides are summed with their own `dot_error`. No interval is the point 0, so
    that an infinite end makes an infinite bound unless the whole interval gains nothing there.

    The maximum of x + y over x + 2 y <= 4 in [0, 3]^2 is 3.5, with a multiplier of 1/2:

    >>> objective, row = torch.ones(1, 2).double(), torch.tensor([[1.0, 2.0]]).double()
    >>> sides, box = (torch.tensor([-torch.inf]), torch.tensor([4.0])), (torch.zeros(2), torch.full((2,), 3.0))
    >>> bound = weak_duality(objective, torch.tensor([[0.5]]).double(), MatrixProducts.of(row), sides, box)
    >>> bool(3.5 <= bound < 3.5 + 1e-12)
    True
    """
    side = torch.where(multipliers >= 0, sides[1], sides[0])
    used = torch.isfinite(multipliers) & torch.isfinite(side) & (multipliers != 0)
    y, side = torch.where(used, multipliers, 0.0), torch.where(used, side, 0.0)
    size = rows.times_magnitude(y.abs()) + objective.abs()
    operands = y.abs().sum(-1, keepdim=True) + rows.times_magnitude(y.new_ones(1, y.shape[-1]))
    error, cost = dot_error(size, rows.terms + 1, operands), objective - rows.times(y)
    interval = torch.stack(outward(cost - error, cost + error))
    corners = torch.stack([interval * end for end in box])
    gain, priced = corners.flatten(0, 1).amax(0), y * side
    reach = torch.maximum(*(torch.where(torch.isfinite(end), end.abs(), 0.0) for end in box))
    factors = interval.abs().amax(0).sum(-1) + reach.sum(-1) + (y.abs() + side.abs()).sum(-1)
    total, size = gain.sum(-1) + priced.sum(-1), gain.abs().sum(-1) + priced.abs().sum(-1)
    return up(total + dot_error(size, gain.shape[-1] + priced.shape[-1] + 2, factors))
