"""Balls of the Euclidean norm."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from relu_attack.domains._arrangement import normal, products, uniform
from relu_attack.domains._ball import ClippedBall
from relu_attack.domains._root import find_root
from relu_attack.domains._steepest import L2Move
from relu_attack.domains._walked import WalkedSet
from relu_attack.domains._walked_ball import WalkedL2Ball
from relu_attack.rounding import dot_error, tiny, up


class L2Ball(ClippedBall):
    """The inputs within a Euclidean distance of a center, and within a box.

    Parameters
    ----------
    center, radius, clip, shape
        As in `LInfBall`; the radius is in this norm.

    Raises
    ------
    DomainError
        As in `LInfBall`.

    Notes
    -----
    By the optimality conditions the nearest point is center + clamp(t offset) for one t in [0, 1], and a
    maximizer of c . x is center + clamp(t c) for one t >= 0; the norm grows with t and, between two changes
    of the set of clamped inputs, t is the root of a quadratic. `find_root` does these steps in a bracket.
    `violation` is relative to the radius (the norm) and to the larger clip bound or 1 (the box).

    Examples
    --------
    >>> import torch
    >>> ball = L2Ball(torch.zeros(2, dtype=torch.float64), 1.0, clip=(-1.0, 0.5))
    >>> ball.maximizer(torch.tensor([1.0, 1.0]))
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """

    _move = L2Move

    def walked(self, walkers: int, *, products: int) -> WalkedSet:
        return WalkedL2Ball.of(self, walkers)

    def _norm(self, offset: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(offset, dim=-1)
        return norm

    def _along(self, direction: Tensor, low: Tensor, high: Tensor, *, farthest: float) -> Tensor:
        """Return clamp(t direction) with the largest t up to `farthest` whose norm is at most the radius."""
        radius = self.radius.to(direction.dtype)

        def evaluate(multiplier: Tensor) -> tuple[Tensor, Tensor]:
            moved = multiplier.unsqueeze(-1) * direction
            offset = torch.clamp(moved, low, high)
            free = (moved > low) & (moved < high)
            fixed_square = torch.where(free, 0.0, offset).square().sum(-1)
            free_square = torch.where(free, direction, 0.0).square().sum(-1)
            proposal = ((radius.square() - fixed_square).clamp_min(0) / free_square).sqrt()
            return self._norm(offset) - radius, proposal

        end = direction.new_full(torch.broadcast_shapes(direction.shape[:-1], radius.shape), farthest)
        tolerance = 8 * torch.finfo(direction.dtype).eps * radius
        multiplier = find_root(evaluate, feasible=torch.zeros_like(end), infeasible=end, tolerance=tolerance)
        return torch.clamp(multiplier.unsqueeze(-1) * direction, low, high)

    def _nearest(self, offset: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return self._along(offset, low, high, farthest=1.0)

    def _extreme(self, direction: Tensor, low: Tensor, high: Tensor) -> Tensor:
        # Entries of the direction are at most 1; those below this share of the largest count for nothing.
        return self._along(direction * self.radius.unsqueeze(-1), low, high, farthest=1e16)

    def _norm_step(self, offset: Tensor, direction: Tensor) -> Tensor:
        square, slope = direction.square().sum(-1), (offset * direction).sum(-1)
        room = (self.radius.square() - offset.square().sum(-1)).clamp_min(0)
        root = (slope.square() + square * room).sqrt()
        # The form without cancellation for either sign of the slope.
        return torch.where(slope > 0, room / (slope + root), (root - slope) / square)

    def _room(self, distance: Tensor) -> Tensor:
        square = distance.square()
        total = square.sum(-1, keepdim=True)
        others = total - square - dot_error(total, self.inputs + 4, 2 * distance.sum(-1, keepdim=True))
        radius = self.radius.unsqueeze(-1)
        left = up(up(up(radius.square()) - others).clamp_min(0).sqrt())
        return torch.where(others > 0, torch.minimum(left, radius), radius)

    def _within(self, offset: list[Fraction], radius: Fraction) -> bool:
        return sum(entry * entry for entry in offset) <= radius * radius

    def _draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        sets = () if self.batch is None else (self.batch,)
        direction = normal(*sets, count, self.inputs, generator=generator)
        share = uniform(*sets, count, 1, generator=generator) ** (1 / self.inputs)
        return share * direction / self._norm(direction).unsqueeze(-1)

    def _norm_bound(self, rows: Tensor) -> Tensor:
        center, radius, value = self.center_point, self.radius.reshape(-1, 1), products(rows, self.center_point)
        size = rows.abs()
        magnitude, operands = products(size, center.abs()), size.sum(-1) + center.abs().sum(-1).reshape(-1, 1)
        # Squares of small numbers underflow.
        scale = size.amax(-1, keepdim=True).clamp_min(tiny(rows.dtype))
        reach = radius * (scale[..., 0] * torch.linalg.vector_norm(size.div_(scale), dim=-1))
        error = dot_error(magnitude + reach, self.inputs + 8, (operands + radius) * (1 + radius))
        bound: Tensor = value + reach + error
        return bound
