"""The support function of boxes in midpoint-radius form: where linear bounds become numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.rounding import dot_error, gamma, midpoint_radius


class Support(ABC):
    """The support function of sets, and where it is attained."""

    of_boxes = False
    """Whether the sets are boxes, over which intervals are exact in the first layer."""

    @abstractmethod
    def __call__(self, coefficients: Tensor) -> Tensor:
        """Return ``max coefficients . x`` from above, (boxes, rows).

        The coefficients (boxes, rows, inputs) are overwritten: they are the largest tensor of back-substitution.
        """

    @abstractmethod
    def point(self, coefficients: Tensor) -> Tensor:
        """Return points that attain it nearly, (boxes, rows, inputs): a hint, which no bound relies on."""

    @abstractmethod
    def select(self, boxes: slice) -> Support:
        """Return the support function of some of the sets."""


@dataclass(frozen=True, eq=False)
class BoxSupport(Support):
    """The support function of boxes in midpoint-radius form.

    Every point of a box is within `radius` of `center`, both (boxes, inputs). `reach` is the radius with what the
    rounding of a product with both amounts to for each unit of a coefficient.
    """

    center: Tensor
    radius: Tensor
    reach: Tensor
    of_boxes = True

    def __call__(self, coefficients: Tensor) -> Tensor:
        value = _times(coefficients, self.center) + _times(coefficients.abs_(), self.reach)
        operands = self.center.abs().sum(1, True) + self.reach.sum(1, True)
        return value + dot_error(torch.zeros_like(operands), self.center.shape[1], operands)

    def point(self, coefficients: Tensor) -> Tensor:
        return torch.addcmul(self.center[:, None], coefficients.sign(), self.radius[:, None])

    def select(self, boxes: slice) -> BoxSupport:
        return BoxSupport(self.center[boxes], self.radius[boxes], self.reach[boxes])


def box_support(lower: Tensor, upper: Tensor) -> BoxSupport:
    """Return the support function of boxes (boxes, inputs), sound to rounding."""
    center, radius = midpoint_radius(lower, upper)
    # Two sums of n products, and a few roundings: a half of this.
    factor = gamma(2 * (lower.shape[1] + 8), lower.dtype)
    return BoxSupport(center, radius, radius + factor * (center.abs() + radius))


def _times(rows: Tensor, vector: Tensor) -> Tensor:
    """Return the product of rows (boxes, rows, inputs) with a vector for each box (boxes, inputs)."""
    return (rows @ vector[..., None])[..., 0]
