"""Steepest moves: along a gradient, as steep as the norm of a set allows; points stay in the set, to rounding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor


class SteepestMove(ABC):
    """A move of all walkers of one set or a batch of sets; rows are set by set."""

    longest: ClassVar[float] = 2.0
    """Length of the first move of a walk, in radii: from anywhere in the set to its far side."""

    @abstractmethod
    def __call__(self, x: Tensor, gradient: Tensor, length: float, out: Tensor) -> None:
        """Move `x` (rows, inputs) by `length` radii; the gradient may be overwritten, the new points go to `out`."""


class ProjectedMove(SteepestMove):
    """Along the gradient in the Euclidean norm, then the nearest point of the set: for any set.

    `ascend`, that of `Domain`, takes points, gradients and the lengths of steps, and returns points of the set.
    `widths` of the set are (inputs,), or (P, 1, inputs) for P sets; each has `walkers` walkers.
    """

    def __init__(self, ascend: Callable[[Tensor, Tensor, Tensor], Tensor], widths: Tensor, walkers: int) -> None:
        self._ascend, self._radius = ascend, torch.linalg.vector_norm(widths, dim=-1, keepdim=True) / 2
        self._shape = (-1, widths.shape[-1]) if widths.dim() == 1 else (len(widths), walkers, widths.shape[-1])

    def __call__(self, x: Tensor, gradient: Tensor, length: float, out: Tensor) -> None:
        rows, gradient = x.view(self._shape), gradient.view(self._shape)
        moved = self._ascend(rows, gradient, length * self._radius / _positive(_norm(gradient)))
        out.copy_(moved.view_as(out))


class BallMove(SteepestMove):
    """A move within balls of one norm.

    Flat centers and bounds have shape (balls, inputs), radii (balls,); each ball has `walkers` walkers.
    """

    def __init__(self, center: Tensor, low: Tensor, high: Tensor, radius: Tensor, walkers: int) -> None:
        self._walkers = walkers
        parts = (center, low, high, radius[:, None])
        # One walker for each ball needs no dimension of its own, nor three views at each step.
        self._center, self._low, self._high, self._radius = (part if walkers == 1 else part[:, None] for part in parts)

    def _by_ball(self, rows: Tensor) -> Tensor:
        return rows if self._walkers == 1 else rows.view(len(self._center), self._walkers, -1)

    def __call__(self, x: Tensor, gradient: Tensor, length: float, out: Tensor) -> None:
        self._move(self._by_ball(x), self._by_ball(gradient), length, self._by_ball(out))

    @abstractmethod
    def _move(self, x: Tensor, gradient: Tensor, length: float, out: Tensor) -> None:
        """Do the same on views of shape (P, walkers, inputs), or (P, inputs) for one walker each."""


class BoxMove(SteepestMove):
    """Each input by a share of half of its width, along the sign of its gradient.

    The ends are (inputs,), or (P, 1, inputs) for P boxes, each with `walkers` walkers.
    """

    def __init__(self, lower: Tensor, upper: Tensor, walkers: int) -> None:
        self._lower, self._upper, self._half = lower, upper, (upper - lower) / 2
        self._shape = lower.shape if lower.dim() == 1 else (len(lower), walkers, lower.shape[-1])

    def __call__(self, x: Tensor, gradient: Tensor, length: float, out: Tensor) -> None:
        shape = (-1, *self._shape) if len(self._shape) == 1 else self._shape
        moved = out.view(shape)
        torch.addcmul(x.view(shape), gradient.sign_().view(shape), self._half, value=length, out=moved)
        torch.clamp(moved, self._lower, self._upper, out=moved)


class LInfMove(BallMove):
    """Each input by the same amount, along the sign of its gradient."""

    @cached_property
    def _common(self) -> float | None:
        """The radius of all sets, if it is one."""
        smallest, largest = self._radius.aminmax()
        return float(smallest) if smallest == largest else None

    def _move(self, x: Tensor, gradient: Tensor, length: float, out: Tensor) -> None:
        if self._common is None:
            torch.addcmul(x, gradient.sign_(), self._radius, value=length, out=out)
        else:
            torch.add(x, gradient.sign_(), alpha=length * self._common, out=out)
        torch.clamp(out, self._low, self._high, out=out)


class L2Move(BallMove):
    """Along the gradient, then back to the ball and then into the clip box, which holds the center."""

    def _move(self, x: Tensor, gradient: Tensor, length: float, out: Tensor) -> None:
        torch.addcmul(x, gradient, self._radius / _positive(_norm(gradient)), value=length, out=out)
        out.sub_(self._center)
        out.mul_((self._radius / _positive(_norm(out))).clamp_max_(1.0)).add_(self._center)
        torch.clamp(out, self._low, self._high, out=out)


class L1Move(BallMove):
    """A share of the way to the point of the set that is best for the gradient.

    That point spends the radius on the inputs with the largest gradients, each up to the clip box. A sparse set has
    no better use for a step: along the gradient itself most of it would be cut off again.
    """

    longest = 1.0

    def _move(self, x: Tensor, gradient: Tensor, length: float, out: Tensor) -> None:
        limit = torch.where(gradient > 0, self._high - self._center, self._center - self._low).clamp_min_(0)
        size, order = gradient.abs().sort(-1, descending=True)
        room = limit.gather(-1, order).clamp_max_(self._radius)
        before = room.cumsum(-1).sub_(room)
        spent = torch.minimum(room, (self._radius - before).clamp_min_(0)).masked_fill_(size == 0, 0.0)
        offset = torch.zeros_like(gradient).scatter_(-1, order, spent)
        best = self._center + torch.copysign(offset, gradient)
        torch.lerp(x, best, length, out=out)


def _norm(rows: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return norm


def _positive(norm: Tensor) -> Tensor:
    return norm.clamp_min(torch.finfo(norm.dtype).tiny ** 0.5)
