"""Half-precision answers: points of a set that lie in it exactly when they are rounded to float16 or bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.errors import DomainError

HALVES = (torch.float16, torch.bfloat16)


def round_into(points: Tensor, center: Tensor, low: Tensor, high: Tensor, dtype: torch.dtype) -> Tensor:
    """Round points of sets to a half precision, so that none is farther from its center than before in any input.

    The distance of an input to the center then cannot grow, in any norm. Where an end of the clip box forces an input
    away from the center, which only happens where the center lies outside, the whole point is the one that is nearest
    to the center.

    All arguments have shape (samples, inputs), and bounds are infinite where there are none. DomainError is raised when
    no number of the half precision lies between the bounds.

    >>> center = torch.tensor([[0.5, 0.5]])
    >>> ends = torch.zeros(1, 2), torch.ones(1, 2)
    >>> rounded = round_into(center + 0.1, center, *ends, torch.float16)
    >>> rounded.tolist(), bool((rounded.double() - center.double() <= 0.1).all())
    ([[0.599609375, 0.599609375]], True)
    """
    largest = torch.finfo(dtype).max
    low, high = low.clamp(-largest, largest), high.clamp(-largest, largest)
    least, most = (
        _toward(low, torch.full_like(low, torch.inf), dtype),
        _toward(high, torch.full_like(high, -torch.inf), dtype),
    )
    empty = least > most
    if bool(empty.any()):
        row, place = (int(index) for index in torch.nonzero(empty)[0])
        raise DomainError(
            f"sample {row} has no {dtype} number within its bounds at input {place}; give samples in float32"
        )
    nearest = torch.minimum(torch.maximum(center.to(dtype), least), most)
    rounded = torch.minimum(torch.maximum(_toward(points, nearest, dtype), least), most)
    forced = ((rounded.double() - center.double()).abs() > (points.double() - center.double()).abs()).any(
        1, keepdim=True
    )
    return torch.where(forced, nearest, rounded)


def _toward(numbers: Tensor, target: Tensor, dtype: torch.dtype) -> Tensor:
    """Round numbers to a half precision, those that it does not hold in the direction of a target."""
    rounded = numbers.to(dtype) + 0.0  # no negative zero
    up = (rounded.to(numbers.dtype) < numbers) & (target.to(numbers.dtype) > rounded.to(numbers.dtype))
    down = (rounded.to(numbers.dtype) > numbers) & (target.to(numbers.dtype) < rounded.to(numbers.dtype))
    return torch.where(up, _next(rounded, up=True), torch.where(down, _next(rounded, up=False), rounded))


def _next(numbers: Tensor, *, up: bool) -> Tensor:
    """Return the next number above or below in a half precision, for which torch has no `nextafter` everywhere."""
    bits = numbers.view(torch.int16)
    smallest = torch.ones_like(bits) if up else torch.full_like(bits, 1 - 2**15)
    away = numbers > 0 if up else numbers < 0
    moved = torch.where(numbers == 0, smallest, torch.where(away, bits + 1, bits - 1))
    return moved.view(numbers.dtype)
