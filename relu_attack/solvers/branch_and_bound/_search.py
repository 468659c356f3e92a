"""Best-first branch and bound, shared by the method `branch_and_bound` and by verification."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds import Range, SlopeOptimizer, crown
from relu_attack.domains import Domain, Halfspaces
from relu_attack.errors import OptionError
from relu_attack.network import Network
from relu_attack.solvers.branch_and_bound._min_of_rows import MinOfRows
from relu_attack.solvers.branch_and_bound._node_bounds import bound_nodes
from relu_attack.solvers.branch_and_bound._node_queue import NodeQueue
from relu_attack.solvers.branch_and_bound._nodes import Nodes

# Slopes and weights are warm-started from the parent, so one descent step a node is enough: on ACAS Xu three steps
# bound 1 to 12 % fewer nodes and cost more time than that.
_ROOT_DESCENT, _NODE_DESCENT = SlopeOptimizer(), SlopeOptimizer(iterations=1, rate=0.2)
# Multipliers need more steps. On random networks of 20 to 50 inputs 1, 3 and 16 steps were no better than 8 with splits
# of units; over the polytope of the quickstart 3 steps halve the number of open nodes.
_NODE_DESCENT_WITH_ROWS, _NODE_DESCENT_OF_UNITS = (
    SlopeOptimizer(iterations=4, rate=0.2),
    SlopeOptimizer(iterations=8, rate=0.2),
)

# Maximum multiplications of bounding a batch: about a third of a second on one core.
_MAX_MULTIPLICATIONS = 2**31
# Maximum weights of rows in a batch, 32 MiB of float64: a step over them takes some hundredths of a second.
_MAX_WEIGHTS = 2**22
# Evaluations of a point that bounding the root or its two halves takes at least, 16 to 25 where one takes hundredths of
# a second.
_BOUND_PASSES = 16
# Seconds that nodes may take beyond the time that is left.
_LATE = 0.2
# Maximum share of the time for the bound of the root.
_ROOT_SHARE = 0.5

# Maximum number of vertices of a batch that are projected onto a polytope with integers, which may take programs each.
_MAX_PROJECTED_VERTICES = 8

SPLITS = ("auto", "inputs", "units")
"""Kinds of branching; ``"auto"`` splits inputs up to `MAX_SPLIT_INPUTS` `branching_inputs`, else units."""
MAX_SPLIT_INPUTS = 12
"""On random networks with two layers of 50, units are better from 20 inputs on, inputs up to 10."""


class TreeSearch:
    """Best-first branch and bound for the maximum of an objective of the outputs over a set.

    Nodes with the largest bounds are split first. A node whose bound is at most `closes` of the best value is pruned;
    the upper bound is the largest bound of open and pruned nodes. The bounding box of the set is split, and boxes that
    it `excludes` are dropped.

    `closes` maps the best value to the bound at or below which a node is pruned. A `batch` of nodes is split at a time:
    enough to fill matrix products, few enough for the cache, and fewer for large networks, so that a batch takes a
    fraction of a second. `period` is that of `bound_nodes`, and `split` one of `SPLITS`. At the deadline, the batch
    that is being bounded gets cheaper valid bounds; a search that is resumed gets a later one.

    The best point is `x`, (inputs,), and `value` its value by a float64 forward pass, minus infinity while no feasible
    point is known. `regions` counts the nodes that were bounded.
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
        self._closes, self._period, self.deadline = closes, period, deadline
        self._units = split == "units" or (split == "auto" and branching_inputs(domain) > MAX_SPLIT_INPUTS)
        self._next = (
            _NODE_DESCENT_OF_UNITS
            if self._units
            else _NODE_DESCENT_WITH_ROWS
            if len(self._halfspaces)
            else _NODE_DESCENT
        )
        self._integer = torch.zeros(domain.inputs, dtype=torch.bool)
        self._integer[list(domain.integer)] = True
        self._projects_by_programs = len(self._halfspaces) > 0 and bool(self._integer.any())
        self._open, self._closed = NodeQueue(), -float("inf")
        self.x, self.value, self.regions = self._domain.center().reshape(-1), -float("inf"), 0
        # Memory of a node in the queue: its box, ranges, slopes, multipliers and weights.
        self._most = deadline.memory / (8 * (6 * domain.inputs + 4 * network.units + len(rows) + 8))
        self._batch, self._started = max(1, min(batch, _MAX_WEIGHTS // len(rows))), False
        began = time.perf_counter()
        network.values(self.x[None])
        self._expected = _BOUND_PASSES * (time.perf_counter() - began)
        self.offer(self.x[None])
        if not self.late:
            self._start()

    def _start(self) -> None:
        """Bound the root."""
        self._started, within = True, self.deadline.share(_ROOT_SHARE)
        root = self._bound(self._root(within), _ROOT_DESCENT, within)
        self._batch = max(1, min(self._batch, _MAX_MULTIPLICATIONS // (2 * _work(self._network, root.ranges))))
        self._settle(root)

    def _root(self, deadline: Deadline) -> Nodes:
        box = self._domain.bounding_box()
        lower, upper = box.lower.reshape(-1), box.upper.reshape(-1)
        lower, upper = torch.where(self._integer, lower.ceil(), lower), torch.where(self._integer, upper.floor(), upper)
        if self._domain.is_box or branching_inputs(self._domain) > MAX_SPLIT_INPUTS:
            return Nodes.root(lower, upper)
        # Ranges over the set itself, which boxes alone would not give back; with many inputs they would take too long.
        return Nodes.root(lower, upper, crown(self._network, self._domain, self._rows.matrix, deadline=deadline).layers)

    @property
    def upper(self) -> float:
        """Upper bound over the set; infinite while there was no time for one."""
        return float("inf") if not self._started else max(self._open.bound, self._closed)

    @property
    def open(self) -> int:
        """Number of open nodes."""
        return self._open.count if self._started else 1

    @property
    def late(self) -> bool:
        """Whether the next nodes would take longer than the time that is left, as measured before."""
        return self._expected > self.deadline.left + _LATE

    @property
    def full(self) -> bool:
        """Whether the open nodes take all available memory, so that no more can be split."""
        return self._open.count > self._most

    def step(self) -> None:
        """Split a batch of nodes and bound the children; bound the root if it is not bounded."""
        if not self._started:
            self._start()
            return
        began = time.perf_counter()
        halves = Nodes.join(self._open.take(self._batch).split(self._integer)).choose(self._domain.one_hot)
        excluded = self._domain.excludes(halves.lower, halves.upper)
        if bool(excluded.any()):
            halves = halves.select(~excluded)
        if len(halves):
            self._settle(self._bound(halves, self._next, self.deadline))
        self._expected = time.perf_counter() - began

    def offer(self, points: Tensor) -> None:
        """Project points (points, inputs) onto the set, and update the best one."""
        inside = self._domain.round(self._domain.project(points))
        values = self._rows.value(self._network.forward(inside).outputs)
        place = int(values.argmax())
        if float(values[place]) > self.value:
            self.x, self.value = inside[place].clone(), float(values[place])

    def _bound(self, boxes: Nodes, optimizer: SlopeOptimizer, deadline: Deadline) -> Nodes:
        return bound_nodes(
            self._network,
            self._rows.above(self.value if math.isfinite(self.value) else self.upper),
            self._halfspaces,
            boxes,
            period=self._period,
            units=self._units,
            optimizer=optimizer,
            deadline=deadline,
        )

    def _settle(self, boxes: Nodes) -> None:
        """Evaluate vertices of nodes that were just bounded, then prune or queue each node."""
        self.regions += len(boxes)
        self._offer_vertices(boxes)
        limit = self._closes(self.value)
        kept = (boxes.bound > limit) & boxes.divisible()
        closed = boxes.bound[~kept]
        if len(closed):
            self._closed = max(self._closed, float(closed.max()))
        self._open.add(boxes.select(kept))

    def _offer_vertices(self, boxes: Nodes) -> None:
        """Offer the vertices of nodes: all, or a few and those of indivisible nodes where projections take programs.

        The few are the vertices of largest value above the best one before projection or, while no feasible point is
        known, those of the nodes with the largest bounds.
        """
        points = boxes.vertices()
        if self._projects_by_programs and len(points) > _MAX_PROJECTED_VERTICES:
            values = self._rows.value(self._network.forward(points).outputs)
            better = values > self.value
            known = math.isfinite(self.value) or bool(better.any())
            chosen = torch.zeros_like(better)
            chosen[(values if known else boxes.bound).topk(_MAX_PROJECTED_VERTICES).indices] = True
            points = points[chosen & (better | (not known)) | ~boxes.divisible()]
        if len(points):
            self.offer(points)


def branching_inputs(domain: Domain) -> int:
    """Return the number of inputs of a set, a one-hot group counted as one: it is a single choice."""
    return domain.inputs - sum(len(group) - 1 for group in domain.one_hot)


def _work(network: Network, ranges: Sequence[Range]) -> int:
    """Return the number of multiplications that bounding a node takes, by back-substitution of its unstable units."""
    below, total = 0, 1
    for layer, (low, high) in zip(network.layers, ranges, strict=True):
        total += 2 * int(((low < 0) & (high > 0)).sum()) * below
        below += layer.affine.operator.outputs * layer.affine.operator.row_nnz
    return total + below
