"""Single roundings: relative errors, the next numbers outward, and exact conversions."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor


@functools.cache
def gamma(terms: int, dtype: torch.dtype) -> float:
    """Return ``n u / (1 - n u)``, rounded up to a number of the dtype: the relative error of n roundings.

    The result is infinite for ``n u >= 1 / 2``, with the unit roundoff u of the dtype, where there is no bound. A sum
    of n products has n roundings.

    A product of n factors ``1 + d`` or ``1 / (1 + d)`` with ``|d| <= u`` is within ``1 +- gamma`` (Higham, Accuracy
    and Stability of Numerical Algorithms, lemma 3.1). Each product of a sum of n goes through n roundings at most, in
    any order: ``|fl(a . b) - a . b| <= gamma |a| . |b|`` but for underflow (equation 3.5). With n u below 1/2 both
    ``n u`` and ``1 - n u`` are exact in Python's numbers, so that there is one division to round up.

    >>> gamma(100, torch.float64) < 1.2e-14, gamma(2**23, torch.float32)
    (True, inf)
    """
    loss = terms * (torch.finfo(dtype).eps / 2)
    if loss == 0 or loss >= 0.5:
        return math.inf if loss else 0.0
    exact = torch.tensor(math.nextafter(loss / (1 - loss), math.inf), dtype=torch.float64)
    near = exact.to(dtype)
    return float(near if near >= exact else torch.nextafter(near, torch.full_like(near, torch.inf)))


def tiny(dtype: torch.dtype) -> float:
    """Return the smallest positive normal number t: numbers below it may be flushed to zero."""
    return torch.finfo(dtype).tiny


def up(x: Tensor) -> Tensor:
    """Return the next number above, an upper bound of every result that is rounded to `x`.

    If x is the rounded result of one operation, flushed or not, the exact result is at most the value returned. NaN and
    minus infinity, the results of an overflow, become plus infinity.

    Rounding to nearest gives x only for results up to the middle between x and the next number, and a number below t
    only for results below t, for which t is returned. The value returned is zero or normal, or a negative number
    that flushing raises, so that flushing preserves the bound.

    >>> up(torch.tensor([1.0, 0.0, torch.nan])).tolist()
    [1.0000001192092896, 1.1754943508222875e-38, inf]
    """
    raised = torch.nextafter(x, x.new_full((), torch.inf))
    raised = torch.where(x.abs() < tiny(x.dtype), tiny(x.dtype), raised)
    return torch.where(x > -torch.inf, raised, torch.inf)


def down(x: Tensor) -> Tensor:
    """Return the next number below, a lower bound of every result that is rounded to `x`: the mirror image of `up`.

    Examples
    --------
    >>> down(torch.tensor([1.0, 0.0, torch.nan])).tolist()
    [0.9999999403953552, -1.1754943508222875e-38, -inf]
    """
    return -up(-x)


def to_double(x: Tensor) -> Tensor:
    """Return numbers in float64 exactly, subnormal ones of narrower types too, which a conversion may flush to zero.

    A subnormal number of float32 is its fraction, an integer below 2**23, times 2**-149, both normal in float64.
    Numbers of float16 and bfloat16 are numbers of float32, and get there by their bits.

    >>> to_double(torch.tensor([1e-45, 0.5])).tolist() == [2.0**-149, 0.5]
    True
    """
    if x.dtype == torch.float64 or not x.is_floating_point():
        return x.double()
    single = x.float().contiguous()
    bits = single.view(torch.int32) & 0x7FFFFFFF
    found, subnormal = single.double(), (bits > 0) & (bits < 1 << 23)
    if bool(subnormal.any()):
        size = bits[subnormal].double() * 2.0**-149
        found[subnormal] = torch.where(single[subnormal].signbit(), -size, size)
    return found


def outward(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range with its lower end moved `down` and its upper end `up`."""
    return down(lower), up(upper)


def neighbors(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the nearest numbers of a dtype that are at most, and at least, float64 values; both as float64.

    A conversion rounds to nearest, so its error is less than the distance to the neighbor on the other side.

    >>> below, above = neighbors(torch.tensor([0.1, 0.5]).double() + 1e-12, torch.float32)
    >>> below.tolist() == torch.tensor([0.1, 0.5]).tolist(), bool((above > below).all())
    (True, True)
    """
    near = values.to(dtype)
    infinity = torch.full_like(near, torch.inf)
    below = torch.where(near.double() > values, torch.nextafter(near, -infinity), near)
    above = torch.where(near.double() < values, torch.nextafter(near, infinity), near)
    return below.double(), above.double()


def compound(*relative: float) -> float:
    """Return the compound of relative errors, ``(1 + a) (1 + b) ... - 1``, rounded up.

    Each operation is rounded once, and the next number above is no smaller than its exact result. Errors are zero or at
    least u, so that flushing is negligible.

    >>> compound(0.0, 0.0), 0.21 < compound(0.1, 0.1) < 0.2100001
    (0.0, True)
    """
    total = 0.0
    for part in relative:
        if part:
            both = math.nextafter(total * part, math.inf)
            total = math.nextafter(math.nextafter(total + part, math.inf) + both, math.inf)
    return total
