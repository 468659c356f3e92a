"""Balls of the sum of absolute values."""

from __future__ import annotations

import functools
from fractions import Fraction
from functools import cached_property

import torch
from torch import Tensor

from relu_attack.domains._arrangement import products, uniform
from relu_attack.domains._ball import ClippedBall
from relu_attack.domains._linear_constraints import LinearConstraints
from relu_attack.domains._root import find_root
from relu_attack.domains._steepest import L1Move
from relu_attack.domains._walked import WalkedSet
from relu_attack.domains._walked_ball import WalkedL1Ball
from relu_attack.rounding import dot_error, up

# Largest coefficients among which the radius is spent, mostly: to find them takes a third of the time that sorting all
# 784 takes.
_FEW = 64


class L1Ball(ClippedBall):
    """The inputs whose absolute differences from a center sum to at most a radius, within a box.

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
    The nearest point is center + clamp(soft threshold of the offset) for one threshold; the norm is
    piecewise linear in the threshold, and `find_root` solves it in a bracket. A maximizer of c . x spends
    the radius on the inputs with the largest \\|c\\| first, each up to the clip box (a fractional knapsack).
    `violation` is relative to the radius (the norm) and to the larger clip bound or 1 (the box).

    Examples
    --------
    >>> import torch
    >>> ball = L1Ball(torch.zeros(3), 1.0, clip=(0.0, 0.75))
    >>> ball.maximizer(torch.tensor([1.0, 3.0, 2.0]))
    tensor([0.0000, 0.7500, 0.2500])
    """

    _move = L1Move

    def walked(self, walkers: int, *, products: int) -> WalkedSet:
        return WalkedL1Ball.of(self, walkers)

    def _norm(self, offset: Tensor) -> Tensor:
        return offset.abs().sum(-1)

    def _nearest(self, offset: Tensor, low: Tensor, high: Tensor) -> Tensor:
        radius, size = self.radius.to(offset.dtype), offset.abs()

        def shrink(threshold: Tensor) -> tuple[Tensor, Tensor]:
            left = (size - threshold.unsqueeze(-1)).clamp_min(0)
            soft = torch.copysign(left, offset)
            return torch.clamp(soft, low, high), (left > 0) & (soft > low) & (soft < high)

        def evaluate(threshold: Tensor) -> tuple[Tensor, Tensor]:
            shrunk, free = shrink(threshold)
            excess = self._norm(shrunk) - radius
            return excess, threshold + excess / free.sum(-1)

        largest = size.amax(-1)
        tolerance = 8 * torch.finfo(offset.dtype).eps * radius
        threshold = find_root(evaluate, feasible=largest, infeasible=torch.zeros_like(largest), tolerance=tolerance)
        return shrink(threshold)[0]

    def _extreme(self, direction: Tensor, low: Tensor, high: Tensor) -> Tensor:
        start = torch.clamp(torch.zeros_like(direction), low, high)
        left = (self.radius - self._norm(start)).clamp_min(0).unsqueeze(-1)
        limit = torch.where(direction > 0, high, low)
        capacity = torch.where(direction == 0, 0.0, torch.minimum((limit - start).abs(), left))
        order = direction.abs().argsort(dim=-1, descending=True)
        capacity = capacity.gather(-1, order)
        spent_before = capacity.cumsum(-1) - capacity
        move = torch.minimum(capacity, (left - spent_before).clamp_min(0))
        return start + torch.copysign(torch.zeros_like(direction).scatter(-1, order, move), direction)

    def _norm_step(self, offset: Tensor, direction: Tensor) -> Tensor:
        def evaluate(step: Tensor) -> tuple[Tensor, Tensor]:
            moved = offset + step.unsqueeze(-1) * direction
            excess = self._norm(moved) - self.radius
            return excess, step - excess / (torch.sign(moved) * direction).sum(-1)

        moving = self._norm(direction)
        end = torch.where(moving > 0, (self._norm(offset) + self.radius) / moving, 0.0)
        tolerance = 8 * torch.finfo(torch.float64).eps * self.radius
        return find_root(evaluate, feasible=torch.zeros_like(end), infeasible=end, tolerance=tolerance)

    def _room(self, distance: Tensor) -> Tensor:
        total = distance.sum(-1, keepdim=True)
        others = total - distance - dot_error(total, self.inputs + 4, total)
        radius = self.radius.unsqueeze(-1)
        return torch.where(others > 0, torch.minimum(up(radius - others), radius), radius)

    def _within(self, offset: list[Fraction], radius: Fraction) -> bool:
        return sum(map(abs, offset)) <= radius

    def _draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        sets = () if self.batch is None else (self.batch,)
        # Shares of a sum of exponentials are uniform on the simplex; the last one is what is left unspent.
        share = -torch.log1p(-uniform(*sets, count, self.inputs + 1, generator=generator))
        sign = torch.sign(uniform(*sets, count, self.inputs, generator=generator) - 0.5)
        return sign * (share / share.sum(-1, keepdim=True))[..., :-1]

    def _norm_bound(self, rows: Tensor) -> Tensor:
        """Bound functions over ball and box: for any l >= 0, ``c . x <= l radius + max c . x - l |x - center|``.

        The best l is the size of the last coefficient that the radius is spent on, as in a fractional knapsack.
        """
        radius, ends = self.radius.reshape(-1, 1), self._bends
        distance, size = (ends - self.center_point).abs(), ends.abs().amax(0)
        left = radius - distance[1].sum(-1).reshape(-1, 1)
        price = self._price(rows, left)
        # What is concave in an input is largest at an end or at the bend.
        parts = (rows * end - price.unsqueeze(-1) * far for end, far in zip(ends, distance, strict=True))
        value = functools.reduce(torch.maximum, parts).sum(-1)
        far = distance.amax(0).sum(-1).reshape(-1, 1)
        magnitude = products(rows.abs(), size) + price * (far + radius)
        operands = rows.abs().sum(-1) + size.sum(-1).reshape(-1, 1) + self.inputs * price
        operands = operands + distance.sum(0).sum(-1).reshape(-1, 1) + radius
        bound: Tensor = value + price * radius + dot_error(magnitude, self.inputs + 8, operands)
        return bound

    def _price(self, rows: Tensor, left: Tensor) -> Tensor:
        """Return the size of the last coefficient of each row that what is left of the radius is spent on, or 0."""
        below, center, above = self._bends
        room = torch.where(rows > 0, above - center, center - below)
        for count in sorted({min(_FEW, self.inputs), self.inputs}):
            sizes, order = rows.abs().topk(count, dim=-1)
            spent = room.gather(-1, order).cumsum(-1)
            if bool((spent[..., -1] >= left).all()):
                break
        return torch.where(spent >= left.unsqueeze(-1), sizes, 0.0).amax(-1)

    @cached_property
    def _bends(self) -> Tensor:
        """Where the distance of an input from the center bends: ends of the box, the nearest point between them."""
        box = self.bounding_box()
        return torch.stack([box.lower, torch.clamp(self.center_point, box.lower, box.upper), box.upper])

    @property
    def is_polyhedral(self) -> bool:
        return self.batch is None

    @property
    def has_auxiliary_rows(self) -> bool:
        return True

    def linear_rows(self) -> LinearConstraints | None:
        """Return rows in x and its distances s: ``x - center <= s``, ``center - x <= s``, ``sum s <= radius``."""
        return self._rows if self.batch is None else None

    @cached_property
    def _rows(self) -> LinearConstraints:
        exact, count = self.to(device="cpu", dtype=torch.float64), self.inputs
        center, radius, none = exact.center_point, exact.radius.reshape(1), torch.zeros(count, dtype=torch.float64)
        matrix, place = torch.zeros(2 * count + 1, 2 * count, dtype=torch.float64), torch.arange(count)
        matrix[place, place], matrix[count + place, place] = 1.0, -1.0
        matrix[place, count + place] = matrix[count + place, count + place] = -1.0
        matrix[-1, count:] = 1.0
        sides = torch.full((2 * count + 1,), -torch.inf, dtype=torch.float64), torch.cat([center, -center, radius])
        bounds = torch.cat([exact.clip_low, none]), torch.cat([exact.clip_high, radius.expand(count)])
        return LinearConstraints.trusted(matrix, sides, bounds, auxiliary=count)
