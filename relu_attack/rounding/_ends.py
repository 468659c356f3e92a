"""Bounds of exactly given boxes and balls in a dtype, rounded outward for proofs and inward for answers."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.rounding._numbers import down, gamma, tiny, up


def box_of(lower: Tensor, upper: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the ends, in a dtype, of the smallest box around an exactly given one.

    The given ends are float32 or float64, exact numbers. Returned are the nearest numbers of the dtype, zero or normal,
    that are not above `lower` and not below `upper`; ends beyond its range become its largest numbers, as no input lies
    beyond.

    A conversion rounds to nearest, so the neighbour of what is rounded inward is outside; comparisons are exact.

    >>> tenth = torch.tensor([0.1], dtype=torch.float64)
    >>> low, high = box_of(tenth, tenth, torch.float32)
    >>> bool(low.double() < tenth), bool(tenth < high.double())
    (True, True)
    """
    if dtype in (torch.float64, lower.dtype):
        return lower.to(dtype), upper.to(dtype)
    return -_at_least(-lower, dtype), _at_least(upper, dtype)


def _at_least(x: Tensor, dtype: torch.dtype) -> Tensor:
    near = x.to(dtype)
    if x.dtype == dtype or dtype == torch.float64:
        return near
    near = torch.where(near.double() >= x, near, torch.nextafter(near, near.new_full((), torch.inf)))
    # The bits of a positive number are those of a positive integer; a comparison may read a subnormal number as zero.
    positive = x.view(torch.int64) > 0
    near = torch.where(x.abs() < tiny(dtype), positive.to(dtype) * tiny(dtype), near)
    return near.clamp_max(torch.finfo(dtype).max)


def inner_box_of(lower: Tensor, upper: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the ends, in a dtype, of the largest box within an exactly given one; a lower end may be above its upper.

    The arguments are those of `box_of`.

    Examples
    --------
    >>> tenth = torch.tensor([0.1], dtype=torch.float64)
    >>> low, high = inner_box_of(-tenth, tenth, torch.float32)
    >>> bool(-tenth < low.double()), bool(high.double() < tenth)
    (True, True)
    """
    if dtype in (torch.float64, lower.dtype):
        return lower.to(dtype), upper.to(dtype)
    return _at_least(lower, dtype), -_at_least(-upper, dtype)


def _moved(center: Tensor, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``center + step`` in float64, an upper bound of it, and a lower bound; both are exact where that is known.

    The error of a sum is ``(c - (s - (s - c))) + (d - (s - c))`` (Knuth's TwoSum), unless something is subnormal or
    overflows. Where one of the numbers is at least 2^-900, the error is a multiple of t unless it is the other number
    itself, and so is not flushed. Elsewhere the neighbours are bounds, but for operands that are read as zero: those
    change the sum by less than 2 t, which matters below 2^-900 only.
    """
    normal = _is_normal(center) & _is_normal(step)
    misread = 4 * max(tiny(center.dtype), tiny(step.dtype))
    center, step = center.double(), step.double()
    moved = center + step
    way = moved - center
    rest = (center - (moved - way)) + (step - way)
    large = torch.maximum(center.abs(), step.abs()) >= 2.0**-900
    known = normal & (large | (center == 0) | (step == 0)) & torch.isfinite(rest)
    slack = torch.full_like(moved, misread).masked_fill_(normal & (moved.abs() >= 2.0**-900), 0.0)
    above = torch.where(known & (rest <= 0), moved, up(moved + slack))
    below = torch.where(known & (rest >= 0), moved, down(moved - slack))
    return moved, above, below


def _is_normal(x: Tensor) -> Tensor:
    """Return which numbers are zero or normal, by their bits, as a comparison may read a subnormal number as zero."""
    zero = x.view(torch.int64) << 1 == 0 if x.dtype == torch.float64 else x.view(torch.int32) << 1 == 0
    return zero | (x.abs() >= tiny(x.dtype))


def ball_ends(center: Tensor, radius: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return ends that contain every exact point within a radius of a center, for proofs.

    Center and radius are float32 or float64, exact numbers, of shapes that broadcast, the radius at least 0. Returned
    are at most ``center - radius`` and at least ``center + radius`` in real arithmetic, with equality where float64
    holds these and the dtype does; ends beyond its range become its largest numbers, as no input lies beyond.

    The sum in float64 is taken as it is where its error is known to be zero or below; elsewhere the next number is.

    >>> third, tenth = torch.tensor([3e-9]), torch.tensor(0.1, dtype=torch.float64)
    >>> from fractions import Fraction
    >>> lower, upper = ball_ends(third, tenth, torch.float64)
    >>> Fraction(upper.item()) >= Fraction(third.item()) + Fraction(0.1)
    True
    """
    return -_ball_end(-center, radius, dtype), _ball_end(center, radius, dtype)


def _ball_end(center: Tensor, radius: Tensor, dtype: torch.dtype) -> Tensor:
    above = _moved(center, radius)[1]
    return _at_least(above.clamp_max(torch.finfo(above.dtype).max), dtype)


def inner_ball_ends(center: Tensor, radius: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return ends within a radius of a center in real arithmetic, for answers; the arguments are those of `ball_ends`.

    Returned are at least ``center - radius`` and at most ``center + radius``, the farthest such numbers of the dtype
    but for subnormal ones. They meet in the center at worst, which must be a number of the dtype.

    >>> third, tenth = torch.tensor([3e-9]), torch.tensor(0.1, dtype=torch.float64)
    >>> inner_ball_ends(third, tenth, torch.float32)[1] == torch.tensor(0.1)
    tensor([True])
    """
    return -_inner_ball_end(-center, radius, dtype), _inner_ball_end(center, radius, dtype)


def _inner_ball_end(center: Tensor, radius: Tensor, dtype: torch.dtype) -> Tensor:
    if _flushes():
        moved, _, below = _moved(center, radius)
        below = torch.where(moved == torch.inf, torch.finfo(moved.dtype).max, below)
        below, center = torch.broadcast_tensors(-_at_least(-below, dtype), center.to(dtype))
        # Unlike a maximum, this keeps the bits of a center that is read as zero.
        return torch.where(below > center, below, center)
    # Rounding to nearest goes too far by less than the distance to the next number, and what that is shows exactly.
    own, radius = center.double(), radius.double()
    near = (own + radius).to(dtype).clamp_max(torch.finfo(dtype).max)
    end = near.double()
    offset = end - own
    beyond, equal = offset > radius, offset == radius
    if bool(equal.any()):
        way = offset - end
        beyond = beyond | (equal & ((end - (offset - way)) - (own + way) > 0))
    return torch.where(beyond, torch.nextafter(near, center.to(dtype)), near)


def _flushes() -> bool:
    """Return whether this processor currently reads subnormal numbers as zero."""
    return not bool(torch.tensor(5e-324, dtype=torch.float64) > 0)


def exact_sum_above(terms: Tensor) -> Tensor:
    """Return upper bounds of the sums of numbers (..., count) of at least 0, shape (...), in float64.

    A sum of which every partial sum is a float64 is returned exactly.

    Numbers are added in pairs, together with the rounding error of each addition (Knuth's TwoSum). No error is below t,
    as sums of normal numbers are multiples of one of their units; subnormal numbers have a margin.

    >>> terms = torch.tensor([[0.75, 0.25], [1.0, 2.0**-60]])
    >>> exact_sum_above(terms).tolist()
    [1.0, 1.0000000000000002]
    """
    total = terms.double()
    count, rest, size = total.shape[-1], total.new_zeros(total.shape[:-1]), total.new_zeros(total.shape[:-1])
    room = (~_is_normal(total)).double().sum(-1) * (4.0 * count * tiny(total.dtype))
    while total.shape[-1] > 1:
        odd = total.shape[-1] % 2
        first, second, last = total[..., odd::2], total[..., 1 + odd :: 2], total[..., :odd]
        joined = first + second
        way = joined - first
        lost = (first - (joined - way)) + (second - way)
        rest, size = rest + lost.sum(-1), size + lost.abs().sum(-1)
        total = torch.cat([last, joined], -1)
    total = total.squeeze(-1)
    rest = rest + size * gamma(2 * count, total.dtype) + room
    return torch.where(rest <= 0, total, up(total + up(rest)))
