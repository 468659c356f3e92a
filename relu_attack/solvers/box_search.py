"""The search over boxes of inputs that branch and bound and verification share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from relu_attack.bounds.slopes import Descent
from relu_attack.domains import Domain, L1Ball, L2Ball, Polytope
from relu_attack.errors import OptionError
from relu_attack.network import Network
from relu_attack.solvers.boxes import Boxes, Queue, Rows, bound_boxes

# A box goes on from the slopes and weights of the box that it was split from, so one step each is enough: on ACAS Xu
# three steps bound 1 to 12 % fewer boxes and cost more time than that.
_FIRST, _NEXT = Descent(), Descent(iterations=1, rate=0.2)


class BoxSearch:
    """The search for the point of a set at which the smallest of some rows ``matrix f(x) + offset`` is largest.

    Boxes with the largest bounds are split first. A box is closed once its bound is below what `closes` says, and its
    bound is kept: the upper bound is the largest over open and closed boxes.

    Parameters
    ----------
    network
        The chain in float64.
    domain
        One set. Its bounding box is split; boxes that one of its rows or its ball rules out are dropped.
    matrix, offset
        Float64, shape (rows, outputs) and (rows,).
    closes
        Given the best value so far, the bound at or below which a box needs no further split.
    batch
        Boxes that are split at a time: enough to fill matrix products, few enough for the cache.
    period
        Splits between two back-substitutions of every unit; see `bound_boxes`.

    Attributes
    ----------
    x, value
        The best point, in the set, shape (inputs,), and its smallest row by a float64 forward pass.
    regions
        Boxes that were bounded.

    Raises
    ------
    OptionError
        For a batch of sets.
    """

    def __init__(
        self,
        network: Network,
        domain: Domain,
        matrix: Tensor,
        offset: Tensor,
        *,
        closes: Callable[[float], float],
        batch: int,
        period: int,
    ) -> None:
        if domain.batch is not None:
            raise OptionError(f"the domain is a batch of {domain.batch} sets; take one at a time, domain.single(i)")
        self._domain = domain.to(device="cpu", dtype=torch.float64)
        self._network, self._rows = network, Rows(network, matrix, offset)
        self._closes, self._batch, self._period = closes, batch, period
        self._integer = torch.zeros(domain.inputs, dtype=torch.bool)
        self._integer[list(domain.integer)] = True
        self._outside = _outside(self._domain)
        self._open, self._closed = Queue(), -float("inf")
        self.x, self.value, self.regions = self._domain.center().reshape(-1), -float("inf"), 0
        self.offer(self.x[None])
        self._settle(bound_boxes(self._rows, self._root(), period=period, descent=_FIRST))

    def _root(self) -> Boxes:
        box = self._domain.bounding_box()
        lower, upper = box.lower.reshape(1, -1), box.upper.reshape(1, -1)
        lower, upper = torch.where(self._integer, lower.ceil(), lower), torch.where(self._integer, upper.floor(), upper)
        bound = torch.full((1,), torch.inf, dtype=torch.float64)
        return Boxes(lower, upper, bound, torch.zeros_like(lower), (), None, torch.zeros(1, dtype=torch.int64))

    @property
    def upper(self) -> float:
        """No point of the set has a larger value."""
        return max(self._open.bound, self._closed)

    @property
    def open(self) -> int:
        """Number of open boxes."""
        return self._open.count

    def step(self) -> None:
        """Split a batch of boxes and bound the halves."""
        halves = Boxes.join(self._open.take(self._batch).split(self._integer))
        if self._outside is not None:
            halves = halves.take(~self._outside(halves))
        if len(halves):
            self._settle(bound_boxes(self._rows, halves, period=self._period, descent=_NEXT))

    def offer(self, points: Tensor) -> None:
        """Bring points (points, inputs) into the set and keep the best."""
        inside = self._domain.round(self._domain.project(points))
        outputs = self._network.forward(inside).outputs
        values = (outputs @ self._rows.matrix.T + self._rows.offset).amin(1)
        place = int(values.argmax())
        if float(values[place]) > self.value:
            self.x, self.value = inside[place].clone(), float(values[place])

    def _settle(self, boxes: Boxes) -> None:
        """Look for better points in boxes that were just bounded, and close or queue each of them."""
        self.regions += len(boxes)
        self.offer(boxes.vertices())
        limit = self._closes(self.value)
        kept = (boxes.bound > limit) & boxes.divisible()
        closed = boxes.bound[~kept]
        if len(closed):
            self._closed = max(self._closed, float(closed.max()))
        self._open.add(boxes.take(kept))


def _outside(domain: Domain) -> Callable[[Boxes], Tensor] | None:
    """Return what tells which boxes (boxes,) have no point of the set; None where every box has one."""
    if isinstance(domain, Polytope):
        rows = domain.inequalities()
        matrix = torch.cat([rows.matrix, rows.equality_matrix, -rows.equality_matrix])
        limit = torch.cat([rows.upper, rows.equality_value, -rows.equality_value])
        return partial(_beyond_a_row, matrix, limit)
    if isinstance(domain, L1Ball | L2Ball):
        norm = 1.0 if isinstance(domain, L1Ball) else 2.0
        return partial(_beyond_the_ball, domain.center_point.reshape(-1), float(domain.radius), norm)
    return None


def _beyond_a_row(matrix: Tensor, limit: Tensor, boxes: Boxes) -> Tensor:
    center = boxes.lower + (boxes.upper - boxes.lower) / 2
    radius = torch.maximum(center - boxes.lower, boxes.upper - center)
    size = (center.abs() + radius) @ matrix.abs().T + limit.abs()
    least = center @ matrix.T - radius @ matrix.abs().T
    return (least - _rounding(matrix.shape[1]) * size > limit).any(1)


def _beyond_the_ball(center: Tensor, radius: float, norm: float, boxes: Boxes) -> Tensor:
    nearest = torch.clamp(center, boxes.lower, boxes.upper)
    distance = torch.linalg.vector_norm(nearest - center, ord=norm, dim=1)
    size = torch.linalg.vector_norm(nearest.abs() + center.abs(), ord=norm, dim=1) + radius
    outside: Tensor = distance - _rounding(len(center)) * size > radius
    return outside


def _rounding(terms: int) -> float:
    return 4 * (terms + 8) * torch.finfo(torch.float64).eps
