"""Linear relaxation of activations over ranges: a line below and a line above."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.rounding import dot_error


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Lines around the activations of a layer, over a range of its preactivations z.

    ``lower_slope * z <= max(z, a z) <= upper_slope * z + intercept`` for every z of the range, in real arithmetic.

    All have shape (boxes, units). `adjustable` units are those for which any lower slope between the activation's
    slope, `least_slope`, and 1 is sound. `side` is the sign of units whose range ends at 0, as on either side of a
    split, and 0 for others.
    """

    lower_slope: Tensor
    upper_slope: Tensor
    intercept: Tensor
    adjustable: Tensor
    least_slope: Tensor
    side: Tensor

    def project_multipliers(self, multipliers: Tensor) -> Tensor:
        """Project multipliers (boxes, units) to those that are 0 or have the sign of the preactivation."""
        return self.side * (self.side * multipliers).clamp_min(0)

    def select(self, boxes: slice) -> Relaxation:
        """Return the relaxation of a subset of the boxes."""
        lower, upper, intercept = self.lower_slope[boxes], self.upper_slope[boxes], self.intercept[boxes]
        return Relaxation(lower, upper, intercept, self.adjustable[boxes], self.least_slope, self.side[boxes])


def relax(slope: Tensor, lower: Tensor, upper: Tensor) -> Relaxation:
    """Relax the activations ``max(z, slope z)`` over ranges.

    An infinite end of a range (boxes, units) is unknown. The upper line is the chord between the ends; the lower one
    passes through zero and leaves the smaller area, as in CROWN (Zhang et al., 1811.00866, section 3.3).

    For any rounded slope, the line is moved up until it is valid at both ends, which suffices for a convex activation.

    >>> lines = relax(torch.zeros(1), torch.tensor([[-1.0]]), torch.tensor([[3.0]]))
    >>> lines.lower_slope.item(), lines.upper_slope.item(), round(lines.intercept.item(), 3)
    (1.0, 0.75, 0.75)
    """
    active, inactive = lower >= 0, upper <= 0
    low, high = torch.maximum(lower, lower * slope), torch.maximum(upper, upper * slope)
    chord = (high - low) / (upper - lower)
    # For an unknown end the chord is the limit of an end that moves to infinity.
    chord = torch.where(torch.isinf(lower), slope, torch.where(torch.isinf(upper), 1.0, chord))
    upper_slope = torch.where(active, 1.0, torch.where(inactive, slope, chord))
    adjustable = ~(active | inactive) & (slope < 1)
    below = torch.where(upper > -lower, 1.0, slope.expand_as(lower))
    lower_slope = torch.where(adjustable, below, upper_slope)
    above = torch.maximum(_excess(low, upper_slope, lower), _excess(high, upper_slope, upper))
    above = torch.where(torch.isinf(lower) & torch.isinf(upper), torch.inf, above)
    side = (lower == 0).to(lower.dtype) - (upper == 0).to(lower.dtype)
    return Relaxation(lower_slope, upper_slope, torch.where(adjustable, above, 0.0), adjustable, slope, side)


def _excess(value: Tensor, slope: Tensor, end: Tensor) -> Tensor:
    """Return an upper bound of ``value - slope end`` in real arithmetic; minus infinity for an infinite `end`."""
    size = value.abs() + (slope * end).abs()
    # The value is a rounded product.
    excess = value - slope * end + dot_error(size, 3, 2 + end.abs())
    return torch.where(torch.isinf(end), -torch.inf, excess)
