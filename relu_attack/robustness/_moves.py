"""Steepest moves within a ball of each norm; points stay in the ball and its clip box, to rounding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from relu_attack.robustness._samples import Sets


class Move(ABC):
    """A move of walkers along a gradient, as steep as the norm of their sets allows.

    Parameters
    ----------
    sets
        The set of each of P samples, in the walk's dtype.
    walkers
        Walkers for each sample; rows are sample by sample.
    """

    longest: ClassVar[float] = 2.0
    """Length of the first move in radii: from anywhere in the ball to its far side."""

    def __init__(self, sets: Sets, walkers: int) -> None:
        self._walkers = walkers
        parts = (sets.center, sets.low, sets.high, sets.radius[:, None])
        # One walker for each sample needs no dimension of its own, nor three views at each step.
        self._center, self._low, self._high, self._radius = (part if walkers == 1 else part[:, None] for part in parts)

    def _by_sample(self, rows: Tensor) -> Tensor:
        return rows if self._walkers == 1 else rows.view(len(self._center), self._walkers, -1)

    def starts(self, offsets: Tensor) -> Tensor:
        """Return starts (P * walkers, inputs) from points (walkers, inputs) of the ball of radius 1 around 0."""
        points = torch.clamp(self._center + self._radius * offsets, self._low, self._high)
        return points.view(-1, points.shape[-1])

    def __call__(self, x: Tensor, gradient: Tensor, length: float, out: Tensor) -> None:
        """Move `x` (rows, inputs) by `length` radii; the gradient may be overwritten, the new points go to `out`."""
        self._move(self._by_sample(x), self._by_sample(gradient), length, self._by_sample(out))

    @abstractmethod
    def _move(self, x: Tensor, gradient: Tensor, length: float, out: Tensor) -> None:
        """Do the same on views of shape (P, walkers, inputs), or (P, inputs) for one walker each."""


class LInfMove(Move):
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


class L2Move(Move):
    """Along the gradient, then back to the ball and then into the clip box, which holds the center."""

    def _move(self, x: Tensor, gradient: Tensor, length: float, out: Tensor) -> None:
        torch.addcmul(x, gradient, self._radius / _positive(_norm(gradient)), value=length, out=out)
        out.sub_(self._center)
        out.mul_((self._radius / _positive(_norm(out))).clamp_max_(1.0)).add_(self._center)
        torch.clamp(out, self._low, self._high, out=out)


class L1Move(Move):
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


MOVES: dict[str, type[Move]] = {"linf": LInfMove, "l2": L2Move, "l1": L1Move}
