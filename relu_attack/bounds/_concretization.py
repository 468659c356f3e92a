"""Concretization: upper bounds of linear functions over a set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains import Domain, Support, box_support
from relu_attack.rounding import box_of


@dataclass(frozen=True, eq=False)
class SetSupport(Support):
    """Upper bound of the support function of one set, or of a batch of P sets, by `Domain.upper_bound`."""

    domain: Domain

    def __call__(self, coefficients: Tensor) -> Tensor:
        return self.domain.upper_bound(coefficients)

    def point(self, coefficients: Tensor) -> Tensor:
        return self.domain.approximate_maximizer(coefficients)

    def select(self, boxes: slice) -> SetSupport:
        sets = self.domain.batch
        whole = sets is None or boxes.indices(sets) == (0, sets, 1)
        return self if whole else SetSupport(self.domain.take(boxes))


def bounding_ends(domain: Domain, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return bounding boxes in a dtype that contain all exact points of a set or P sets, each end (P or 1, inputs)."""
    box = domain.to(device="cpu", dtype=torch.float64).bounding_box()
    lower, upper = box_of(box.lower, box.upper, dtype)
    return lower.reshape(-1, domain.inputs), upper.reshape(-1, domain.inputs)


def set_support(domain: Domain, dtype: torch.dtype = torch.float64, *, deadline: Deadline = NEVER) -> Support:
    """Return the support function of a set or a batch of P sets, sound to rounding, for coefficients of a dtype.

    It is exact for boxes, and `Domain.upper_bound` for other sets. After the deadline no program is solved, and the
    support function is that of the bounding box.
    """
    if domain.is_box and not domain.one_hot:
        return box_support(*bounding_ends(domain, dtype))
    exact = domain.to(device="cpu", dtype=torch.float64).within(deadline)
    exact.bounding_box()  # cached, also for parts of a batch
    return SetSupport(exact)
