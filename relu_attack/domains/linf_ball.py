"""Balls of the maximum norm: each input may move by the radius."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike
from relu_attack.domains._ball import Clip, read_ball
from relu_attack.domains.box import Box
from relu_attack.errors import DomainError


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
    The bounds are rounded toward the center: a point of the box never differs by more than the radius.

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
        radius = ball.radius.unsqueeze(-1)
        lower = torch.maximum(_step_from(ball.center, radius, -1), ball.low)
        upper = torch.minimum(_step_from(ball.center, radius, 1), ball.high)
        if (lower > upper).any():
            place = torch.nonzero(lower > upper)[0]
            where = "" if ball.batch is None else f" of set {int(place[0])}"
            raise DomainError(
                f"LInfBall is empty: the center{where} is farther than the radius from the clip box "
                f"at index {int(place[-1])}"
            )
        # What a box checks of its bounds holds by now: they are finite, as a sum that overflows is rounded, too.
        self.shape, self.batch, self.lower, self.upper = ball.shape, ball.batch, lower, upper


def _step_from(center: Tensor, radius: Tensor, sign: int) -> Tensor:
    """Return center + sign radius, rounded toward the center."""
    step = sign * radius
    moved = center + step
    # What was rounded off, exactly (Knuth's TwoSum); NaN where the sum overflows.
    way = moved - center
    rest = moved - way
    rest = torch.sub(center, rest, out=rest).add_(torch.sub(step, way, out=way))
    short = rest <= 0 if sign < 0 else rest >= 0
    return torch.where(short, moved, torch.nextafter(moved, center))
