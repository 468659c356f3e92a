"""Balls of the maximum norm: each input may move by the radius."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike
from relu_attack.domains._ball import Clip, read_ball
from relu_attack.domains._box import Box
from relu_attack.domains._steepest import LInfMove, SteepestMove
from relu_attack.errors import DomainError
from relu_attack.rounding import ball_ends, inner_ball_ends, inner_box_of


class LInfBall(Box):
    """The inputs that differ from a center by at most a radius, each; a box.

    Parameters
    ----------
    center
        Tensor, array or number: the shape of one input, or (batch, \\*shape) for a batch of balls.
    radius
        Number, or (batch,), one a ball; at least 0, in the units of the inputs.
    clip
        Pair (low, high), numbers or tensors: the box that the ball is intersected with; none by default.
    shape
        Shape of one input, as in `Box`.

    Raises
    ------
    DomainError
        When a number is NaN, a radius is negative, or a ball does not meet the clip box; it says where.

    Notes
    -----
    A point of the ball has the dtype of the center and never differs by more than the radius, in real arithmetic: its
    ends are rounded toward the center. What is proved holds for every real point: the ends of `bounding_box`
    are rounded away from it. Radius and clip bounds keep the precision in which they are given.

    Examples
    --------
    >>> import torch
    >>> ball = LInfBall(torch.tensor([0.25, 0.5]), 0.5, clip=(0.0, 1.0))
    >>> ball.lower, ball.upper
    (tensor([0., 0.]), tensor([0.7500, 1.0000]))
    """

    def __init__(
        self, center: ArrayLike, radius: ArrayLike, *, clip: Clip | None = None, shape: tuple[int, ...] | None = None
    ) -> None:
        ball = read_ball("LInfBall", center, radius, clip, shape)
        self.shape, self.batch = ball.shape, ball.batch
        self.center_point, self.radius = ball.center.clone(), ball.radius
        self.clip_low, self.clip_high = ball.low, ball.high
        self._origin = self
        self.lower, self.upper = self._ends_in(ball.center.dtype)
        empty = self.lower > self.upper
        if empty.any():
            place = torch.nonzero(empty)[0]
            where = "" if ball.batch is None else f" of set {int(place[0])}"
            raise DomainError(
                f"LInfBall is empty: the center{where} is farther than the radius from the clip box "
                f"at index {int(place[-1])}"
            )

    @property
    def inner_bounds(self) -> tuple[Tensor, Tensor]:
        """Bounds that points keep: those of the set itself, each (inputs,) or (P, 1, inputs)."""
        return self.lower, self.upper

    def take(self, rows: slice | Tensor) -> LInfBall:
        return self._select(lambda part: part[rows], len(self.lower[rows]))

    def _select(self, pick: Callable[[Tensor], Tensor], batch: int | None) -> LInfBall:
        ball = object.__new__(LInfBall)
        vars(ball).update(vars(self), batch=batch, _origin=ball)
        for name in ("center_point", "radius", "clip_low", "clip_high", "lower", "upper"):
            setattr(ball, name, pick(getattr(self, name)))
        if self._origin is not self:
            ball._origin = self._origin._select(pick, batch)
        return ball

    def _ends_in(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        if dtype.itemsize < self.center_point.dtype.itemsize:
            largest = torch.finfo(dtype).max
            return self.lower.to(dtype).clamp_min(-largest), self.upper.to(dtype).clamp_max(largest)
        lower, upper = inner_ball_ends(self.center_point, self.radius.unsqueeze(-1), dtype)
        low, high = inner_box_of(self.clip_low, self.clip_high, dtype)
        # Adding 0 turns -0 into 0.
        return torch.maximum(lower, low) + 0.0, torch.minimum(upper, high) + 0.0

    def _around(self) -> tuple[Tensor, Tensor]:
        ball = cast(LInfBall, self._origin)
        lower, upper = ball_ends(ball.center_point, ball.radius.unsqueeze(-1), torch.float64)
        return torch.maximum(lower, ball.clip_low), torch.minimum(upper, ball.clip_high)

    def steepest_move(self, walkers: int) -> SteepestMove:
        center, low, high = (part.reshape(-1, self.inputs) for part in (self.center_point, self.lower, self.upper))
        return LInfMove(center, low, high, self.radius.reshape(-1).to(self.dtype), walkers)
