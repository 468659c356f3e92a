"""Rounds of operator splitting toward the nearest points of a polytope: matrix products that all points share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline

# Over-relaxation, as OSQP has it.
_RELAXATION = 1.6
# What rows of norm 1 are multiplied by: in squares they then count three times as much as an input. Of 0.3, 1, 3, 10
# and 30, 3 closes in fastest or nearly so on five kinds of polytopes, on two of them to a tenth of 1 in 50 rounds.
WEIGHT = 3.0**0.5
# What an operation on each entry costs, in multiplications of a matrix product, times their number in a round.
_ELEMENTWISE = 100
# Largest distance from the set that is estimated, in violations.
_MOST_REACH = 100.0
# Rounds between two readings of the clock and of what is left of the violation.
_ROUNDS_A_LOOK = 25


class Copies:
    """What points are split into, before it is put into its bounds: the memory of the method, with room to compute in.

    Attributes
    ----------
    box
        Copies of the points with the multipliers of their bounds added, shape (points, inputs).
    sides
        Copies of the products with the matrix with the multipliers of these added, shape (points, rows + equations);
        0 for an equation.
    """

    def __init__(self, box: Tensor, sides: Tensor) -> None:
        self.box, self.sides = box, sides
        self.inside, self.point = torch.empty_like(box), torch.empty_like(box)
        self.within, self.product, self.multipliers = (torch.empty_like(sides) for _ in range(3))

    def at(self, index: Tensor) -> Copies:
        """Return those of some points."""
        return Copies(self.box[index], self.sides[index])


@dataclass(frozen=True, eq=False)
class Splitting:
    """The alternating direction method of multipliers for nearest points of a polytope around 0, or one a point.

    A round puts a copy of the points and one of their products with the rows into their bounds, and solves the least
    squares problem between the copies within the equations. Measured as the step of a walk beside exact projections,
    projected gradients on the dual and steps that stay inside: one round a step is best or level, as the next steps go
    on with its multipliers.

    Source: Boyd, Parikh, Chu, Peleato, Eckstein, Distributed Optimization and Statistical Learning via the Alternating
    Direction Method of Multipliers, 2011; the splitting is that of OSQP (Stellato, Banjac, Goulart, Bemporad, Boyd,
    2020), but for the equations, which hold in every round.

    Attributes
    ----------
    matrix
        Inequalities of norm `WEIGHT`, then orthonormal equations, shape (rows + equations, inputs).
    values
        Right sides, 0 for an equation, shape (rows + equations,), or (points, rows + equations): polytopes with one
        matrix may have sides and bounds of their own.
    count
        How many rows are inequalities.
    low, high
        Bounds, shape (inputs,) or (points, inputs); both 0 for a fixed input.
    inverse
        Inverse of the system of the least squares problem, over rows and equations or, where these are fewer, inputs.
    """

    matrix: Tensor
    values: Tensor
    count: int
    low: Tensor
    high: Tensor
    inverse: Tensor

    @staticmethod
    def of(rows: Tensor, values: Tensor, equations: Tensor, low: Tensor, high: Tensor) -> Splitting:
        """Factorize the system, given rows of norm 1, in their dtype (float64)."""
        free = (low < high).reshape(-1, rows.shape[1]).any(0).to(rows)
        rows, values = WEIGHT * rows, WEIGHT * values
        matrix, count = torch.cat([rows, equations]) * free, len(rows)
        if len(matrix) <= len(free):
            diagonal = torch.cat([values.new_ones(count), values.new_zeros(len(equations))])
            inverse = _inverse(matrix @ matrix.T / 2 + diagonal.diag())
        else:
            rows, equations = matrix[:count], matrix[count:]
            inverse = _inverse(rows.T @ rows + 2 * torch.eye(len(free), dtype=rows.dtype))
            across = equations @ inverse
            inverse = inverse - across.T @ _inverse(across @ equations.T) @ across
        values = torch.cat([values, values.new_zeros(*values.shape[:-1], len(equations))], -1)
        return Splitting(matrix, values, count, low, high, inverse)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Splitting:
        """Return a rounded copy."""
        parts = (self.matrix, self.values, self.low, self.high, self.inverse)
        matrix, values, low, high, inverse = (part.to(device, dtype).contiguous() for part in parts)
        return replace(self, matrix=matrix, values=values, low=low, high=high, inverse=inverse)

    def at(self, index: Tensor) -> Splitting:
        """Return the method for some points: with their sides and bounds where each has its own."""
        if self.values.dim() == 1:
            return self
        return replace(self, values=self.values[index], low=self.low[index], high=self.high[index])

    @property
    def rows(self) -> Tensor:
        """The inequalities."""
        return self.matrix[: self.count]

    @property
    def equations(self) -> Tensor:
        """The equations."""
        return self.matrix[self.count :]

    @cached_property
    def _is_row(self) -> Tensor:
        """1 for an inequality and 0 for an equation."""
        return (torch.arange(len(self.matrix), device=self.values.device) < self.count).to(self.values)

    @cached_property
    def _over_rows(self) -> bool:
        return len(self.matrix) <= self.matrix.shape[1]

    @cached_property
    def _half(self) -> Tensor:
        return (self.matrix / 2).T.contiguous()

    @cached_property
    def products(self) -> int:
        """About the multiplications of a round for each point, with what it does elementwise."""
        return 2 * self.matrix.numel() + self.inverse.numel() + _ELEMENTWISE * sum(self.matrix.shape)

    def copies(self, points: Tensor, products: Tensor) -> Copies:
        """Return the first copies of points (points, inputs), given their products with the matrix."""
        return Copies(points.clamp(self.low, self.high), torch.minimum(products, self.values) * self._is_row)

    def round(self, target: Tensor, copies: Copies, *, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Do a round toward the nearest points of `target` (points, inputs), and change the copies.

        Returns
        -------
        x, products
            Points that satisfy the equations, (points, inputs), in `out` if that is given, and their products with the
            matrix, (points, rows + equations), which the next round overwrites.
        """
        box, sides, point, product = copies.box, copies.sides, copies.point, copies.product
        inside = torch.clamp(box, self.low, self.high, out=copies.inside)
        within = torch.minimum(sides, self.values, out=copies.within)
        torch.add(target, inside, alpha=2, out=point).sub_(box)
        torch.sub(within, sides, out=product).add_(within)
        # The minimum of |x - point / 2|^2 + |rows x - product|^2 / 2 subject to the equations.
        if self._over_rows:
            right = torch.addmm(product, point, self._half, alpha=-1, out=copies.multipliers)
            multipliers = right @ self.inverse
            x = torch.addmm(point, multipliers, self.matrix, beta=0.5, alpha=0.5, out=out)
            products = product.addcmul_(multipliers, self._is_row, value=-1)
        else:
            x = torch.mm(torch.addmm(point, product, self.matrix), self.inverse, out=out)
            products = torch.mm(x, self.matrix.T, out=product).mul_(self._is_row)
        box.add_(x, alpha=_RELAXATION).sub_(inside, alpha=_RELAXATION)
        sides.add_(products, alpha=_RELAXATION).sub_(within, alpha=_RELAXATION)
        return x, products

    def violation(self, points: Tensor, products: Tensor) -> Tensor:
        """Return by how much points that satisfy the equations leave the set, shape (points, 1).

        The distance from the bounds and that from the halfspace of the worst row, added.
        """
        length: Tensor = torch.linalg.vector_norm(points - points.clamp(self.low, self.high), dim=1, keepdim=True)
        if self.count:
            length += (products - self.values)[:, : self.count].amax(1, keepdim=True).clamp_min_(0) / WEIGHT
        return length

    def reach(self, target: Tensor, x: Tensor, copies: Copies) -> Tensor:
        """Return about how many violations points may be away from the set, at least 1, shape (points, 1).

        At a nearest point ``target - x`` is a combination of rows: the sum of its multipliers over its length is how
        much farther the corner of these rows is than the rows are.
        """
        multipliers = (copies.sides - self.values).clamp_min_(0)[:, : self.count].sum(1, keepdim=True) * WEIGHT
        length = torch.linalg.vector_norm(target - x, dim=1, keepdim=True)
        return torch.nan_to_num(multipliers / length, 1.0, _MOST_REACH, 1.0).clamp_(1.0, _MOST_REACH)

    def nearest(self, target: Tensor, *, rounds: int, tolerance: float = 0.0, deadline: Deadline = NEVER) -> Tensor:
        """Return about the nearest points of `target` (points, inputs).

        Parameters
        ----------
        target
            Any points.
        rounds
            How many rounds are done at most.
        tolerance
            Violation at which fewer are enough.
        deadline
            After it no further rounds are done.
        """
        copies, x = self.copies(target, target @ self.matrix.T), target
        for number in range(1, rounds + 1):
            x, products = self.round(target, copies)
            if number % _ROUNDS_A_LOOK == 0 and (
                deadline.passed or bool((self.violation(x, products) <= tolerance).all())
            ):
                break
        return x


def _inverse(system: Tensor) -> Tensor:
    return torch.cholesky_inverse(torch.linalg.cholesky(system)) if len(system) else system
