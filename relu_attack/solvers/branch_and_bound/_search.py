"""The search over boxes of inputs that branch and bound and verification share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds import Range, SlopeOptimizer, crown
from relu_attack.domains import Domain, Halfspaces
from relu_attack.errors import OptionError
from relu_attack.network import Network
from relu_attack.solvers.branch_and_bound._min_of_rows import MinOfRows
from relu_attack.solvers.branch_and_bound._node_bounds import bound_boxes
from relu_attack.solvers.branch_and_bound._node_queue import Queue
from relu_attack.solvers.branch_and_bound._nodes import Boxes

# A box goes on from the slopes and weights of the box that it was split from, so one step each is enough: on ACAS Xu
# three steps bound 1 to 12 % fewer boxes and cost more time than that.
_FIRST, _NEXT = SlopeOptimizer(), SlopeOptimizer(iterations=1, rate=0.2)
# With multipliers more have to be found for each half. On random networks of 20 to 50 inputs 1, 3 and 16 steps were no
# better than 8 where units are split; over the polytope of the quickstart 3 steps halve the open boxes.
_NEXT_FACES, _NEXT_SIDES = SlopeOptimizer(iterations=4, rate=0.2), SlopeOptimizer(iterations=8, rate=0.2)

# Multiplications that bounding a batch may take: about a third of a second on one core.
_WORK = 2**31
# Weights of rows in a batch, 32 MiB of float64: a step over them takes some hundredths of a second.
_WEIGHTS = 2**22
# Share of the time that the bound of the whole set may take.
_ROOT = 0.5

# Vertices of a batch that are brought into a polytope with integer inputs: each may take linear programs.
_DEAR_POINTS = 8

SPLITS = ("auto", "inputs", "units")
"""What boxes are split at: inputs or units; ``"auto"`` takes inputs up to `MOST_INPUTS` `choices`."""
MOST_INPUTS = 12
"""On random networks with two layers of 50, units are better from 20 inputs on, inputs up to 10."""


class BoxSearch:
    """The search for the point of a set at which some rows over the outputs are worth most.

    Boxes with the largest bounds are split first. A box is closed once its bound is below what `closes` says, and its
    bound is kept: the upper bound is the largest over open and closed boxes.

    Parameters
    ----------
    network
        The chain in float64.
    domain
        One set. Its bounding box is split; boxes that it `excludes` are dropped.
    rows
        What points are worth.
    closes
        Given the best value so far, the bound at or below which a box needs no further split.
    batch
        Boxes that are split at most at a time: enough to fill matrix products, few enough for the cache. Of large
        networks they are fewer, so that a batch takes a part of a second.
    period
        Splits between two back-substitutions of every unit; see `bound_boxes`.
    split
        One of `SPLITS`.
    deadline
        When to stop: a batch that is being bounded then gets the bounds that hold without the rest of the work.

    Attributes
    ----------
    x, value
        The best point, in the set, shape (inputs,), and its value by a float64 forward pass; minus infinity where no
        point is known to satisfy the constraints.
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
        rows: MinOfRows,
        *,
        closes: Callable[[float], float],
        batch: int,
        period: int,
        split: str = "auto",
        deadline: Deadline = NEVER,
    ) -> None:
        if domain.batch is not None:
            raise OptionError(f"the domain is a batch of {domain.batch} sets; take one at a time, domain.single(i)")
        self._domain = domain.to(device="cpu", dtype=torch.float64)
        self._network, self._rows, self._halfspaces = network, rows, Halfspaces.of(self._domain)
        self._closes, self._period, self._deadline = closes, period, deadline
        self._units = split == "units" or (split == "auto" and choices(domain) > MOST_INPUTS)
        self._next = _NEXT_SIDES if self._units else _NEXT_FACES if len(self._halfspaces) else _NEXT
        self._integer = torch.zeros(domain.inputs, dtype=torch.bool)
        self._integer[list(domain.integer)] = True
        self._dear = len(self._halfspaces) > 0 and bool(self._integer.any())
        self._open, self._closed = Queue(), -float("inf")
        self.x, self.value, self.regions = self._domain.center().reshape(-1), -float("inf"), 0
        self.offer(self.x[None])
        within = deadline.share(_ROOT)
        root = self._bound(self._root(within), _FIRST, within)
        # What the queue keeps of a box: its ends, ranges, slopes, multipliers and weights.
        self._most = deadline.memory / (8 * (6 * domain.inputs + 4 * network.units + len(rows) + 8))
        self._batch = max(1, min(batch, _WORK // (2 * _work(network, root.ranges)), _WEIGHTS // len(rows)))
        self._settle(root)

    def _root(self, deadline: Deadline) -> Boxes:
        box = self._domain.bounding_box()
        lower, upper = box.lower.reshape(-1), box.upper.reshape(-1)
        lower, upper = torch.where(self._integer, lower.ceil(), lower), torch.where(self._integer, upper.floor(), upper)
        if self._domain.is_box or choices(self._domain) > MOST_INPUTS:
            return Boxes.root(lower, upper)
        # Ranges over the set itself, which boxes alone would not give back; with many inputs they would take too long.
        return Boxes.root(lower, upper, crown(self._network, self._domain, self._rows.matrix, deadline=deadline).layers)

    @property
    def upper(self) -> float:
        """No point of the set has a larger value."""
        return max(self._open.bound, self._closed)

    @property
    def open(self) -> int:
        """Number of open boxes."""
        return self._open.count

    @property
    def full(self) -> bool:
        """Whether the open boxes take the memory that there is, so that none can be split any more."""
        return self._open.count > self._most

    def step(self) -> None:
        """Split a batch of boxes and bound the halves."""
        halves = Boxes.join(self._open.take(self._batch).split(self._integer)).choose(self._domain.one_hot)
        excluded = self._domain.excludes(halves.lower, halves.upper)
        if bool(excluded.any()):
            halves = halves.select(~excluded)
        if len(halves):
            self._settle(self._bound(halves, self._next, self._deadline))

    def offer(self, points: Tensor) -> None:
        """Bring points (points, inputs) into the set and keep the best."""
        inside = self._domain.round(self._domain.project(points))
        values = self._rows.value(self._network.forward(inside).outputs)
        place = int(values.argmax())
        if float(values[place]) > self.value:
            self.x, self.value = inside[place].clone(), float(values[place])

    def _bound(self, boxes: Boxes, descent: SlopeOptimizer, deadline: Deadline) -> Boxes:
        return bound_boxes(
            self._network,
            self._rows.above(self.value if math.isfinite(self.value) else self.upper),
            self._halfspaces,
            boxes,
            period=self._period,
            units=self._units,
            descent=descent,
            deadline=deadline,
        )

    def _settle(self, boxes: Boxes) -> None:
        """Look for better points in boxes that were just bounded, and close or queue each of them."""
        self.regions += len(boxes)
        self._offer_vertices(boxes)
        limit = self._closes(self.value)
        kept = (boxes.bound > limit) & boxes.divisible()
        closed = boxes.bound[~kept]
        if len(closed):
            self._closed = max(self._closed, float(closed.max()))
        self._open.add(boxes.select(kept))

    def _offer_vertices(self, boxes: Boxes) -> None:
        """Offer the vertices of boxes; where bringing points into the set is dear, single points and a promising few.

        These are the best of the vertices that would be better than the best point as they are or, where no point that
        satisfies the constraints is known, those of the boxes with the largest bounds.
        """
        points = boxes.vertices()
        if self._dear and len(points) > _DEAR_POINTS:
            values = self._rows.value(self._network.forward(points).outputs)
            better = values > self.value
            known = math.isfinite(self.value) or bool(better.any())
            chosen = torch.zeros_like(better)
            chosen[(values if known else boxes.bound).topk(_DEAR_POINTS).indices] = True
            points = points[chosen & (better | (not known)) | ~boxes.divisible()]
        if len(points):
            self.offer(points)


def choices(domain: Domain) -> int:
    """Return the number of inputs of a set, a one-hot group counted as one: it is a single choice."""
    return domain.inputs - sum(len(group) - 1 for group in domain.one_hot)


def _work(network: Network, ranges: Sequence[Range]) -> int:
    """Return how many multiplications it takes to bound a box by back-substitution of what can switch over it."""
    below, total = 0, 1
    for layer, (low, high) in zip(network.layers, ranges, strict=True):
        total += 2 * int(((low < 0) & (high > 0)).sum()) * below
        below += layer.affine.operator.outputs * layer.affine.operator.row_nnz
    return total + below
