"""Rounds of operator splitting toward the nearest points of a polytope: matrix products that all points share."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains.polytope._copies import WEIGHT, Copies

# Over-relaxation, as OSQP has it.
_RELAXATION = 1.6
# What an operation on each entry costs, in multiplications of a matrix product, times their number in a round.
_ELEMENTWISE = 100
# Multiplications of a point below which one product costs no more than the four that it stands for: calling these takes
# some 15 us.
_FEW = 2**14
# Fewest rows and inputs, and the largest share of entries that are not 0, where products with compressed rows save more
# time than it takes to transpose the points of a step, twice. Measured with 80, 300 and 700 inputs, 64 to 400 rows.
_SPARSE_SIZE, _SPARSE_FILL = 128, 0.1
# Rounds between two readings of the clock and of what is left of the violation.
_ROUNDS_A_LOOK = 25


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

    @cached_property
    def rows(self) -> Tensor:
        """The inequalities."""
        return self.matrix[: self.count]

    @cached_property
    def equations(self) -> Tensor:
        """The equations."""
        return self.matrix[self.count :]

    @cached_property
    def _over_rows(self) -> bool:
        return len(self.matrix) <= self.matrix.shape[1]

    @cached_property
    def _factors(self) -> tuple[Tensor, Tensor]:
        """What points are multiplied by in a round, and its transpose: equations hold by the inverse over inputs."""
        matrix = self.matrix if self._over_rows else self.rows
        if self._sparse:
            return _compressed(matrix), _compressed(matrix.T)
        # In the order of memory that products with points are fastest in.
        return matrix.T.contiguous().T, matrix.contiguous().T

    @cached_property
    def _to_multipliers(self) -> Tensor:
        """What dense products over rows begin with, shape (rows + equations, entries)."""
        identity = torch.eye(len(self.matrix), dtype=self.matrix.dtype, device=self.matrix.device)
        return (torch.cat([self.matrix.T / -2, identity]) @ self.inverse).T

    @cached_property
    def _sparse(self) -> bool:
        """Whether products are with compressed rows, and the entries of the copies of all points side by side."""
        if self.matrix.device.type != "cpu" or not torch.backends.mkl.is_available():
            return False
        if min(self.count, self.matrix.shape[1]) < _SPARSE_SIZE:
            return False
        return int(self.matrix.count_nonzero()) <= _SPARSE_FILL * self.matrix.numel()

    @cached_property
    def _map(self) -> Tensor | None:
        """What a round multiplies copies by, all in one, where they have few entries."""
        size = sum(self.matrix.shape)
        if size**2 > _FEW or self._sparse:
            return None
        state = self.matrix.new_empty(size, size)
        copies = Copies(state[: self.matrix.shape[1]], state, *self._ends)
        copies.mirrored.zero_().fill_diagonal_(1.0)
        self._minimize(copies)
        return copies.moved

    @cached_property
    def _ends(self) -> tuple[Tensor, Tensor]:
        """Bounds of inputs, rows and equations, shape (entries, 1) or (entries, points)."""
        least = torch.full_like(self.values, -torch.inf)
        least[..., self.count :] = 0
        lower, upper = torch.cat([self.low, least], -1), torch.cat([self.high, self.values], -1)
        return torch.atleast_2d(lower).T, torch.atleast_2d(upper).T

    @cached_property
    def products(self) -> int:
        """About the multiplications of a round for each point, with what it does elementwise."""
        return 2 * self.matrix.numel() + self.inverse.numel() + _ELEMENTWISE * sum(self.matrix.shape)

    def copies(self, points: Tensor) -> Copies:
        """Return the first copies of points (points, inputs), which are their own targets."""
        count, size, ends = len(points), sum(self.matrix.shape), self._ends
        if self._sparse:
            target, state = points.new_empty(points.T.shape), points.new_empty(size, count)
            ends = (ends[0].expand(-1, count).contiguous(), ends[1].expand(-1, count).contiguous())
        else:
            target, state = torch.empty_like(points).T, points.new_empty(count, size).T
        copies = Copies(target, state, *ends)
        self.put(copies, points)
        return copies

    def put(self, copies: Copies, points: Tensor) -> None:
        """Put copies where points (points, inputs) stand, which become their targets; multipliers are forgotten."""
        matrix, _ = self._factors
        copies.target.copy_(points.T)
        copies.x.copy_(points.T)
        torch.mm(matrix, copies.x, out=copies.products[: len(matrix)])
        copies.products[self.count :] = 0
        torch.clamp(copies.moved, copies.lower, copies.upper, out=copies.state)

    def round(self, copies: Copies) -> None:
        """Do a round toward the nearest points of the targets, and change the copies."""
        inside = torch.clamp(copies.state, copies.lower, copies.upper, out=copies.inside)
        torch.lerp(copies.state, inside, 2.0, out=copies.mirrored)
        copies.point.add_(copies.target)
        if self._map is None:
            self._minimize(copies)
        else:
            torch.mm(self._map, copies.mirrored, out=copies.moved)
        copies.state.add_(copies.moved, alpha=_RELAXATION).sub_(inside, alpha=_RELAXATION)

    def _minimize(self, copies: Copies) -> None:
        """Minimize ``|x - point / 2|^2 + |rows x - product|^2 / 2`` subject to the equations."""
        matrix, transpose = self._factors
        point, product, count = copies.point, copies.product, self.count
        if self._over_rows:
            if self._sparse:
                right = torch.addmm(product, matrix, point, alpha=-0.5, out=copies.right)
                multipliers = torch.mm(self.inverse, right, out=copies.multipliers)
            else:
                multipliers = torch.mm(self._to_multipliers, copies.mirrored, out=copies.multipliers)
            torch.addmm(point, transpose, multipliers, beta=0.5, alpha=0.5, out=copies.x)
            torch.sub(product[:count], multipliers[:count], out=copies.products[:count])
        else:
            right = point.addmm_(transpose, product[:count])
            torch.mm(self.inverse, right, out=copies.x)
            torch.mm(matrix, copies.x, out=copies.products[:count])

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
        copies = self.copies(target)
        for number in range(1, rounds + 1):
            self.round(copies)
            if number % _ROUNDS_A_LOOK == 0 and (deadline.passed or bool((copies.violation <= tolerance).all())):
                break
        return copies.x.T.contiguous()


def _compressed(matrix: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)
        return matrix.to_sparse_csr()


def _inverse(system: Tensor) -> Tensor:
    return torch.cholesky_inverse(torch.linalg.cholesky(system)) if len(system) else system
