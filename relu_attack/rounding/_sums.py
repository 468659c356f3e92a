"""Sums of products: their errors, and affine maps of boxes in midpoint-radius form.

The arithmetic, with u and t, is that of `relu_attack.rounding`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.rounding._numbers import gamma, outward, tiny, up


def dot_error(magnitude: Tensor, terms: int, operands: Tensor | float) -> Tensor:
    """Return an upper bound of the error of sums of products.

    `magnitude` are the sums ``|a| . |b|`` as computed, in the same dtype, and `terms` is the number n of products of a
    sum; a number that is added counts as one. `operands` is at least the sum of ``|a_i| + |b_i|`` over the products, to
    a factor of 1.3: subnormal ones may be read as zero. The part of one factor may be left out where that has no
    subnormal numbers, or where its change is in the bound anyway, such as that of a box with the radius of
    `midpoint_radius`.

    The result is at least ``|fl(a . b) - a . b|``, with as much room again for underflow, and infinite or NaN where
    something overflowed.

    Let S be the exact sum of magnitudes, T the computed one and g = gamma_n. Every operation adds an e as in the
    model of arithmetic, and later roundings enlarge them by at most 1 + g: less than ``w = 12 t (n + operands)`` in
    all. So the error is at most ``g S + w``, and ``S <= (T + w) / (1 - g)``, which gives ``g / (1 - g) T + w / (1 -
    g)``. What is computed is at least that before rounding by a factor of 4/3: ``g / (1 - g) = n u / (1 - 2 n u)`` is
    below half of gamma_2n, and g below 1/3 as long as gamma_{2 (n + 2)} is finite.

    >>> weight, x = torch.full((1000,), 1e-154), torch.full((1000,), 2e-154)
    >>> exact, computed = 1000 * 2e-308, 0.0  # where subnormal products are flushed
    >>> bool(dot_error(torch.zeros(()).double(), 1000, float((weight + x).sum())) >= exact - computed)
    True
    """
    underflow = 64 * tiny(magnitude.dtype)
    return magnitude * gamma(2 * (terms + 2), magnitude.dtype) + (operands + float(terms)) * underflow


def sum_above(magnitude: Tensor, terms: int, operands: Tensor | float) -> Tensor:
    """Return an upper bound of sums of products of which none is negative, with room for one more rounding.

    The arguments are those of `dot_error`, `magnitude` being the sums as computed: they are off by that at most.

    Examples
    --------
    >>> bool(sum_above(torch.tensor(3.0), terms=3, operands=4.0) > 3.000001)
    True
    """
    return up(magnitude + dot_error(magnitude, terms + 1, operands))


def midpoint_radius(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Return centres and radii whose boxes ``centre +- radius`` contain the given ones.

    The radius has room for all of centre, lower and upper being read as zero where they are subnormal. It is NaN where
    an end is infinite.

    The centre is what it is computed to. Let d be the larger distance to an end as computed: one operation on operands
    that are read as they are to 2 t. The exact one is below d + ulp(d) / 2 + 2 t. Where half an ulp is at least 2 t,
    the next number above d has that room; elsewhere d + 8 t is rounded by less than 2 t and has it.

    >>> centre, radius = midpoint_radius(torch.tensor(0.0), torch.tensor(1.0))
    >>> centre.item(), 0.5 < radius.item() < 0.5000002
    (0.5, True)
    """
    center = lower / 2 + upper / 2
    distance = torch.maximum(center - lower, upper - center)
    return center, up(distance + 8 * tiny(distance.dtype))


def enclose_affine(
    middle: Tensor,
    spread: Tensor,
    magnitude: Tensor,
    terms: int,
    operands: Tensor | float,
    *,
    lost: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the range of an affine map ``A h + b`` over boxes in midpoint-radius form.

    As computed, `middle` is ``A c + b`` at the centres, `spread` is ``|A| r`` for the radii of `midpoint_radius`, and
    `magnitude` is ``|A| (|c| + r) + |b|``. `terms` is the largest number of products of an output, without the bias.
    `operands` is at least the sum of ``|c| + r`` over the inputs: coefficients that are subnormal may be read as zero.
    `lost` bounds what the map is off by itself. The range holds in real arithmetic.

    The range is within ``A c + b +- |A| r``. Both sums have n + 1 terms at most, so their errors together are at most
    those of a sum of magnitudes ``|A| (|c| + r) + |b|``; it is computed from sums ``|c| + r``, one rounding more. The
    two subtractions at the end are off by at most u times twice that, and as much for their operands: together less
    than n + 6 roundings. What is lost is in the last subtraction only, whose rounding `outward` covers. Centres that
    are read as zero are within the room of the radius.

    >>> one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    >>> lower, upper = enclose_affine(one, zero, one, terms=1, operands=1.0)
    >>> bool(lower < one < upper)
    True
    """
    error = dot_error(magnitude, terms + 6, operands)
    error = error if lost is None else up(error + lost)
    return outward(middle - spread - error, middle + spread + error)
