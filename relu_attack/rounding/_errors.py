"""Rounding errors: upper bounds of what floating-point arithmetic loses. The errors of sums and products.

Arithmetic is that of IEEE 754, rounded to nearest, with unit roundoff u and the smallest normal number t ("tiny"). Sums
may be taken in any order, with or without fused multiply-adds. Subnormal numbers may be flushed: a result below t may
become zero, and an operand below t may be read as zero (``torch.set_flush_denormal``). So for an operation or a fused
multiply-add whose operands are x, y, z

    fl(x y + z) = (x y + z) (1 + d) + e,    |d| <= u,    |e| <= 4 t (1 + |x| + |y|):

a result that is flushed loses less than t, x or y read as zero less than t |y| or t |x|, z less than t.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@functools.cache
def gamma(terms: int, dtype: torch.dtype) -> float:
    """Return ``n u / (1 - n u)``, rounded up to a number of the dtype: the relative error of n roundings.

    Parameters
    ----------
    terms
        The number n of roundings that a number has gone through: n for a sum of n products.
    dtype
        Of the arithmetic, with unit roundoff u.

    Returns
    -------
    float
        Infinite from ``n u = 1 / 2`` on, where nothing is known.

    Notes
    -----
    A product of n factors ``1 + d`` or ``1 / (1 + d)`` with ``|d| <= u`` is within ``1 +- gamma`` (Higham, Accuracy
    and Stability of Numerical Algorithms, lemma 3.1). Each product of a sum of n goes through n roundings at most, in
    any order: ``|fl(a . b) - a . b| <= gamma |a| . |b|`` but for underflow (equation 3.5). With n u below 1/2 both
    ``n u`` and ``1 - n u`` are exact in Python's numbers, so that there is one division to round up.

    Examples
    --------
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
    """Return the next number above, as an upper bound of what was rounded to `x`.

    Where x is the rounded result of one operation, flushed or not, the exact result is not above it. NaN and minus
    infinity, which say that something overflowed, become plus infinity: of them nothing is known.

    Notes
    -----
    Rounding to nearest gives x only for results up to the middle between x and the next number, and a number below t
    only for results below t, for which t is returned. What is returned is zero or normal, or a negative number that
    flushing raises, so that flushing cannot undo it.

    Examples
    --------
    >>> up(torch.tensor([1.0, 0.0, torch.nan])).tolist()
    [1.0000001192092896, 1.1754943508222875e-38, inf]
    """
    raised = torch.nextafter(x, x.new_full((), torch.inf))
    raised = torch.where(x.abs() < tiny(x.dtype), tiny(x.dtype), raised)
    return torch.where(x > -torch.inf, raised, torch.inf)


def down(x: Tensor) -> Tensor:
    """Return the next number below, as a lower bound of what was rounded to `x`: the mirror image of `up`.

    Examples
    --------
    >>> down(torch.tensor([1.0, 0.0, torch.nan])).tolist()
    [0.9999999403953552, -1.1754943508222875e-38, -inf]
    """
    return -up(-x)


def to_double(x: Tensor) -> Tensor:
    """Return numbers in float64 exactly, subnormal ones of narrower types too, which a conversion may flush to zero.

    Notes
    -----
    A subnormal number of float32 is its fraction, a whole number below 2**23, times 2**-149, both normal in float64.
    Numbers of float16 and bfloat16 are numbers of float32, and get there by their bits.

    Examples
    --------
    >>> to_double(torch.tensor([1e-45, 0.5])).tolist() == [2.0**-149, 0.5]
    True
    """
    if x.dtype == torch.float64 or not x.is_floating_point():
        return x.double()
    single = x.float().contiguous()
    bits = single.view(torch.int32) & 0x7FFFFFFF
    sign = torch.ones_like(single, dtype=torch.float64).masked_fill_(single.signbit(), -1.0)
    small = sign * bits.double() * 2.0**-149
    return torch.where(bits < 1 << 23, small, single.double())


def outward(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range with its lower end moved `down` and its upper end `up`."""
    return down(lower), up(upper)


def dot_error(magnitude: Tensor, terms: int, operands: Tensor | float) -> Tensor:
    """Return an upper bound of the error of sums of products.

    Parameters
    ----------
    magnitude
        The sums ``|a| . |b|`` as computed, in the same dtype.
    terms
        Number n of products of a sum; a number that is added counts as one.
    operands
        At least the sum of ``|a_i| + |b_i|`` over the products, to a factor of 1.3: subnormal ones may be read as zero.
        The part of one factor may be left out where that has no subnormal numbers, or where its change is in the bound
        anyway, such as that of a box with the radius of `midpoint_radius`.

    Returns
    -------
    Tensor
        At least ``|fl(a . b) - a . b|``, in the shape of `magnitude`, with as much room again for underflow. Infinite
        or NaN where something overflowed.

    Notes
    -----
    Let S be the exact sum of magnitudes, T the computed one and g = gamma_n. Every operation adds an e as in the
    heading of this file, and later roundings enlarge them by at most 1 + g: less than ``w = 12 t (n + operands)`` in
    all. So the error is at most ``g S + w``, and ``S <= (T + w) / (1 - g)``, which gives ``g / (1 - g) T + w / (1 -
    g)``. What is computed is at least that before rounding by a factor of 4/3: ``g / (1 - g) = n u / (1 - 2 n u)`` is
    below half of gamma_2n, and g below 1/3 as long as gamma_{2 (n + 2)} is finite.

    Examples
    --------
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


def compound(*relative: float) -> float:
    """Return a relative error that covers several after one another: ``(1 + a) (1 + b) ... - 1``, rounded up.

    Notes
    -----
    Each operation is rounded once, and the next number above is no smaller than its exact result. Errors are zero or at
    least u, beside which what is flushed is nothing.

    Examples
    --------
    >>> compound(0.0, 0.0), 0.21 < compound(0.1, 0.1) < 0.2100001
    (0.0, True)
    """
    total = 0.0
    for part in relative:
        if part:
            both = math.nextafter(total * part, math.inf)
            total = math.nextafter(math.nextafter(total + part, math.inf) + both, math.inf)
    return total


def midpoint_radius(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Return centres and radii whose boxes ``centre +- radius`` contain the given ones.

    Parameters
    ----------
    lower, upper
        Ends of the same shape.

    Returns
    -------
    centre, radius
        The radius has room for all of centre, lower and upper being read as zero where they are subnormal. NaN where an
        end is infinite.

    Notes
    -----
    The centre is what it is computed to. Let d be the larger distance to an end as computed: one operation on operands
    that are read as they are to 2 t. The exact one is below d + ulp(d) / 2 + 2 t. Where half an ulp is at least 2 t,
    the next number above d has that room; elsewhere d + 8 t is rounded by less than 2 t and has it.

    Examples
    --------
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

    Parameters
    ----------
    middle
        The value ``A c + b`` at the centres, as computed.
    spread
        ``|A| r`` for the radii of `midpoint_radius`, as computed.
    magnitude
        ``|A| (|c| + r) + |b|``, as computed.
    terms
        Largest number of products of an output, without the bias.
    operands
        At least the sum of ``|c| + r`` over the inputs: coefficients that are subnormal may be read as zero.
    lost
        Upper bound of what the map is off by itself; nothing when not given.

    Returns
    -------
    lower, upper
        In real arithmetic, both in the shape of `middle`.

    Notes
    -----
    The range is within ``A c + b +- |A| r``. Both sums have n + 1 terms at most, so their errors together are at most
    those of a sum of magnitudes ``|A| (|c| + r) + |b|``; it is computed from sums ``|c| + r``, one rounding more. The
    two subtractions at the end are off by at most u times twice that, and as much for their operands: together less
    than n + 6 roundings. What is lost is in the last subtraction only, whose rounding `outward` covers. Centres that
    are read as zero are within the room of the radius.

    Examples
    --------
    >>> one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    >>> lower, upper = enclose_affine(one, zero, one, terms=1, operands=1.0)
    >>> bool(lower < one < upper)
    True
    """
    error = dot_error(magnitude, terms + 6, operands)
    error = error if lost is None else up(error + lost)
    return outward(middle - spread - error, middle + spread + error)


Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class MatrixProducts:
    """A matrix with a row for each constraint, known by its products from the left.

    Attributes
    ----------
    times
        Takes y (..., rows) and returns ``y A``, (..., columns).
    times_magnitude
        The same with ``|A|``.
    terms
        Most entries of a column that are not zero: the number of products of a sum.
    """

    times: Product
    times_magnitude: Product
    terms: int

    @staticmethod
    def of(matrix: Tensor) -> MatrixProducts:
        """Return the products with a dense matrix (rows, columns)."""
        size = matrix.abs()
        return MatrixProducts(lambda y: y @ matrix, lambda y: y @ size, len(matrix))


def weak_duality(
    objective: Tensor,
    multipliers: Tensor,
    rows: MatrixProducts,
    sides: tuple[Tensor, Tensor],
    box: tuple[Tensor, Tensor],
) -> Tensor:
    """Bound linear functions ``c . x`` from above over all x in a box that satisfy rows ``b_low <= A x <= b_high``.

    Parameters
    ----------
    objective
        c, shape (..., functions, columns).
    multipliers
        Any numbers y, shape (..., functions, rows): at least 0 they price `b_high`, else `b_low`. One that prices an
        infinite side, or is not finite, counts as 0.
    rows
        Products with A.
    sides
        ``b_low, b_high``, each (rows,) or (..., functions, rows); infinite where there is none.
    box
        Ends of the box, each (columns,) or (..., 1 or functions, columns); infinite where there is none.

    Returns
    -------
    Tensor
        Shape (..., functions): at least the maximum, in real arithmetic, whatever y is; below 0 for the objective 0 it
        proves that there is no such x (Farkas). Plus infinity where nothing is known.

    Notes
    -----
    ``c . x = y A x + (c - y A) . x <= sum_i max(y_i b_low_i, y_i b_high_i) + sum_j max r_j x_j`` with the reduced costs
    ``r = c - y A``, of which each is a sum of `terms` products and c, known up to its `dot_error`; the maximum over the
    interval and the ends of the box is at one of four corners (Neumaier and Shcherbina, Safe bounds in linear and
    mixed-integer linear programming, 2004). As rounding keeps order, the largest corner stays the largest. These
    products and those of the priced sides are summed with their `dot_error` in turn. No interval is the point 0, so
    that an infinite end makes an infinite bound unless the whole interval gains nothing there.

    Examples
    --------
    The maximum of x + y over x + 2 y <= 4 in [0, 3]^2 is 3.5, with a multiplier of 1/2:

    >>> objective, row = torch.ones(1, 2).double(), torch.tensor([[1.0, 2.0]]).double()
    >>> sides, box = (torch.tensor([-torch.inf]), torch.tensor([4.0])), (torch.zeros(2), torch.full((2,), 3.0))
    >>> bound = weak_duality(objective, torch.tensor([[0.5]]).double(), MatrixProducts.of(row), sides, box)
    >>> bool(3.5 <= bound < 3.5 + 1e-12)
    True
    """
    side = torch.where(multipliers >= 0, sides[1], sides[0])
    used = torch.isfinite(multipliers) & torch.isfinite(side) & (multipliers != 0)
    y, side = torch.where(used, multipliers, 0.0), torch.where(used, side, 0.0)
    size = rows.times_magnitude(y.abs()) + objective.abs()
    operands = y.abs().sum(-1, keepdim=True) + rows.times_magnitude(y.new_ones(1, y.shape[-1]))
    error, cost = dot_error(size, rows.terms + 1, operands), objective - rows.times(y)
    interval = torch.stack(outward(cost - error, cost + error))
    corners = torch.stack([interval * end for end in box])
    gain, priced = corners.flatten(0, 1).amax(0), y * side
    reach = torch.maximum(*(torch.where(torch.isfinite(end), end.abs(), 0.0) for end in box))
    factors = interval.abs().amax(0).sum(-1) + reach.sum(-1) + (y.abs() + side.abs()).sum(-1)
    total, size = gain.sum(-1) + priced.sum(-1), gain.abs().sum(-1) + priced.abs().sum(-1)
    return up(total + dot_error(size, gain.shape[-1] + priced.shape[-1] + 2, factors))
