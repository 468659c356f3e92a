"""Balls as walkers meet them: projections in the dtype of the walk, which begin where the last one ended."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relu_attack.domains._walked import WalkedSet

if TYPE_CHECKING:
    from relu_attack.domains._ball import ClippedBall

# Newton steps of a projection. With three, walkers reach what they reach with exact projections on L1 and L2 balls with
# 784 inputs, to what the seed makes; with two, 4 % less in one run of nine.
_ROUNDS = 3
# Between changes of the clamped inputs an L2 ball has a quadratic: one root is as good as four.
_QUADRATIC_ROUNDS = 1

# Ratio of the values at two thresholds below which a Newton step went past the root and hardly came closer to it.
_TO_AND_FRO = -0.5

# Distance in radii up to which a center is in the clip box but for roundings to float32.
_ROUNDING = 1e-4


class WalkedBall(WalkedSet):
    """A ball whose nearest points have one multiplier, remembered for each walker.

    `project` finds multipliers to the last digit and points that lie in the set without doubt, which takes ten to
    thirty steps of a small network. Here a few Newton steps from the last multiplier of the same walker come close, and
    the point is then drawn toward the center, into the ball: it leaves the set by roundings only.

    Parameters
    ----------
    ball
        One ball or a batch of balls, in the dtype and on the device of the walk; clip boxes hold the centers.
    walkers
        Rows of points for each ball.
    """

    def __init__(self, ball: ClippedBall, walkers: int) -> None:
        super().__init__(ball, walkers)
        self._ball, self._center = ball, ball.center_point.clamp(ball.clip_low, ball.clip_high)
        self._radius = (ball.radius - _moved(ball)).to(ball.dtype).unsqueeze(-1)
        self._low = torch.maximum(ball.clip_low - self._center, -self._radius)
        self._high = torch.minimum(ball.clip_high - self._center, self._radius)
        # No test by value during the walk, which would wait for the device.
        self._is_clipped = bool(((self._low > -self._radius) | (self._high < self._radius)).any())
        self._is_centered = not bool(self._center.any())
        self._tiny = torch.finfo(ball.dtype).tiny

    @classmethod
    def of(cls, ball: ClippedBall, walkers: int) -> WalkedSet:
        """Return the ball as walkers meet it; one whose center its clip box excludes, with exact projections."""
        held = _moved(ball) <= _ROUNDING * ball.radius
        return cls(ball, walkers) if bool(held.all()) else WalkedSet(ball, walkers)

    def sample(self, generator: torch.Generator) -> Tensor:
        points = self._ball.draw(self._walkers, generator).reshape(-1, self._ball.inputs)
        return self.brought_in(points) if self._is_clipped else points

    def project_(self, points: Tensor) -> None:
        self._bring_in(points)

    def brought_in(self, points: Tensor) -> Tensor:
        points = points.clone()
        self._bring_in(points)
        return points

    def _bring_in(self, points: Tensor) -> None:
        rows = points if self._ball.batch is None else points.view(self._ball.batch, -1, points.shape[-1])
        if not self._is_centered:
            rows.sub_(self._center)
        self._shrink(rows)
        if not self._is_centered:
            rows.add_(self._center)

    @abstractmethod
    def _shrink(self, offset: Tensor) -> None:
        """Move offsets from the center (..., walkers, inputs) into the ball and the clip box, in place."""

    def _factor(self, norm: Tensor) -> Tensor:
        """Return by which factor offsets of a norm (..., 1) shrink to the ball, at most 1."""
        return (self._radius / norm.clamp_min(self._tiny)).clamp_max_(1.0)


class WalkedL2Ball(WalkedBall):
    """An L2 ball: the nearest offset is ``clamp(t offset)``.

    What is remembered is how many times t is what it would be without a clip box.
    """

    _stretch: Tensor | float = 1.0

    def _shrink(self, offset: Tensor) -> None:
        share = self._factor(_norm(offset))
        if not self._is_clipped:
            offset.mul_(share)
            return
        times = (share * self._stretch).clamp_max_(1.0)
        for _ in range(_QUADRATIC_ROUNDS):
            moved = offset * times
            held = torch.clamp(moved, self._low, self._high)
            free = torch.eq(moved, held, out=moved).mul_(held)
            square, free_square = _norm(held).square_(), _norm(free).square_().clamp_min_(self._tiny)
            left = (self._radius.square() - square + free_square).clamp_min_(0)
            times = (times * (left / free_square).sqrt_()).clamp_max_(1.0)
        self._stretch = (times / share.clamp_min(self._tiny)).clamp_min_(1.0)
        torch.clamp(offset.mul_(times), self._low, self._high, out=offset)
        offset.mul_(self._factor(_norm(offset)))


class WalkedL1Ball(WalkedBall):
    """An L1 ball: the nearest offset has all sizes lowered by one threshold, between 0 and the clip bounds.

    What is remembered is the excess of the norm over the threshold: about how many inputs are not zero.
    """

    _moving: Tensor | float
    _buffers: tuple[Tensor, ...] | None = None

    def __init__(self, ball: ClippedBall, walkers: int) -> None:
        super().__init__(ball, walkers)
        self._moving = float(ball.inputs)
        self._half, self._middle = (self._high - self._low) / 2, (self._high + self._low) / 2
        self._zero = torch.zeros_like(self._radius)

    def _shrink(self, offset: Tensor) -> None:
        sign, most, lowered, left = self._buffers_like(offset)
        size = offset.mul_(torch.sign(offset, out=sign))
        torch.addcmul(self._half, sign, self._middle, out=most)
        # Below this threshold at least one input is free.
        highest = size.amax(-1, keepdim=True).mul_(1 - 4 * torch.finfo(size.dtype).eps)
        excess = self._total(torch.minimum(size, most, out=left)).sub_(self._radius).clamp_min_(0)
        threshold = excess / self._moving
        if not self._is_clipped:  # all but the largest size may be zero
            threshold = torch.maximum(threshold, highest - self._radius)
        threshold = torch.minimum(threshold, highest)
        last: tuple[Tensor, Tensor] | None = None
        for _ in range(_ROUNDS):
            torch.sub(size, threshold, out=lowered)
            torch.clamp(lowered, self._zero, most, out=left)
            beyond, free = self._total(left).sub_(self._radius), self._total(lowered.eq_(left)).clamp_min_(1)
            root = torch.addcdiv(threshold, beyond, free)
            if last is not None and self._is_clipped:
                root = _without_cycle(root, (threshold, beyond), last)
            last, threshold = (threshold, beyond), torch.minimum(root.clamp_min_(0), highest)
        torch.clamp(torch.sub(size, threshold, out=lowered), self._zero, most, out=left)
        known = (excess > 0) & (threshold > 0)
        self._moving = torch.where(known, excess / threshold.clamp_min(self._tiny), self._moving)
        torch.mul(left, sign.mul_(self._factor(self._total(left))), out=offset)

    def _buffers_like(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return four tensors of the shape of rows, the same ones each time: new memory costs as much as a pass."""
        if self._buffers is None or self._buffers[0].shape != rows.shape:
            self._buffers = tuple(torch.empty_like(rows) for _ in range(4))
        return self._buffers

    @staticmethod
    def _total(rows: Tensor) -> Tensor:
        return rows.sum(-1, keepdim=True)


def _without_cycle(root: Tensor, now: tuple[Tensor, Tensor], last: tuple[Tensor, Tensor]) -> Tensor:
    """Return the root of a Newton step, or that of the line through this threshold and the last one, with their values.

    With clip bounds the norm over the threshold is not convex, and Newton steps may go to and fro for ever.
    """
    ratio = now[1] / last[1]
    return torch.where(ratio < _TO_AND_FRO, torch.lerp(now[0], last[0], ratio / (ratio - 1)), root)


def _moved(ball: ClippedBall) -> Tensor:
    """Return a bound of how far the centers are from the clip box, () or (P, 1)."""
    center = ball.center_point.double()
    return (center - center.clamp(ball.clip_low.double(), ball.clip_high.double())).abs().sum(-1)


def _norm(rows: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return norm
