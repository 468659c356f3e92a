"""Bounds of the nodes of branch and bound, many at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds import (
    AffineBound,
    Relaxed,
    RowCombination,
    SlopeOptimizer,
    activation_range,
    affine_range,
    bound_combinations,
    bound_layers,
    optimize_combination,
)
from relu_attack.domains import Halfspaces, box_support
from relu_attack.network import Network
from relu_attack.solvers.branch_and_bound._min_of_rows import MinOfRows
from relu_attack.solvers.branch_and_bound._nodes import Nodes

# Weight that moves to a row whose single bound of a node is the best, since few descent steps would not move it there.
# On three hard instances of ACAS Xu, 0.8 and 0.95 need a third of the nodes that 0 does.
_SINGLE_ROW_WEIGHT = 0.9
# Share of the potential cost of a unit's relaxation that is added to its actual cost in the branching score.
_POTENTIAL_COST_SHARE = 0.01


def bound_nodes(
    network: Network,
    rows: MinOfRows,
    halfspaces: Halfspaces,
    boxes: Nodes,
    *,
    period: int,
    units: bool,
    optimizer: SlopeOptimizer,
    deadline: Deadline = NEVER,
) -> Nodes:
    """Bound nodes, warm-started from their parents.

    Nodes come with the ranges and bounds of their parents, and leave with bounds that are nowhere looser. `period` is
    the depth between two back-substitutions of all units: in between, ranges are those of intervals, intersected with
    the parent's. The bound itself always comes from back-substitution. After the deadline, back-substitution and
    descent are skipped. `units` is whether to branch on units.
    """
    due = boxes.age % period == 0
    parts = [boxes] if bool(due.all()) or not bool(due.any()) else [boxes.select(due), boxes.select(~due)]
    bounded = []
    for part in parts:
        full = int(part.age[0]) % period == 0
        alike = _bound_alike(
            network, rows, halfspaces, part, full=full, units=units, optimizer=optimizer, deadline=deadline
        )
        bounded.append(alike)
    return Nodes.join(bounded)


def _bound_alike(
    network: Network,
    rows: MinOfRows,
    halfspaces: Halfspaces,
    boxes: Nodes,
    *,
    full: bool,
    units: bool,
    optimizer: SlopeOptimizer,
    deadline: Deadline,
) -> Nodes:
    lower, upper = boxes.lower, boxes.upper
    support = box_support(lower, upper)
    known = boxes.ranges or None
    ranges, steps = bound_layers(network, lower, upper, support, known=known, substituted=full, deadline=deadline)
    low, high = activation_range(network.layers[-1], *ranges[-1]) if ranges else (lower, upper)
    after = (
        AffineBound.create(network.output, low, high),
        AffineBound.create(rows.affine, *affine_range(network.output, low, high)),
    )
    relaxed = Relaxed(lower, upper, halfspaces, steps, after)
    first = boxes.combination or RowCombination.first(relaxed, len(rows), split_multipliers=units)
    combination = optimize_combination(relaxed, first, optimizer, deadline=deadline)
    descended, plain = rows.combinations(combination.weights)
    mixed, slope = bound_combinations(relaxed, combination, descended, plain)
    bound, place = rows.bound(torch.cat([descended, plain], 1), mixed).min(1)
    # Ranges hold in real arithmetic, so a node with an empty range is empty.
    empty = torch.zeros_like(bound, dtype=torch.bool)
    for below, above in ranges:
        empty |= (below > above).any(1)
    return Nodes(
        lower,
        upper,
        torch.where(empty, -torch.inf, torch.minimum(bound, boxes.bound)),
        slope,
        tuple(ranges),
        combination.toward(place - descended.shape[1] - 1, _SINGLE_ROW_WEIGHT),
        _costliest_unit(relaxed, combination) if units else boxes.unit,
        boxes.age,
    )


def _costliest_unit(relaxed: Relaxed, combination: RowCombination) -> Tensor:
    """Return the unit whose relaxation loosens the bound most at its maximizer, (nodes,); -1 without unstable units.

    The difference between the bound and the value at its maximizer is the sum over the units of coefficient times
    distance between relaxation and activation. A share of the largest possible distance is added, since the maximizer
    changes after the split.
    """
    found = combination.adjoint(relaxed)
    scores = []
    each = zip(relaxed.steps, combination.slopes, found.coefficients, found.preactivations, strict=True)
    for step, slope, row, z in ((step, slope, row[:, 0], z[:, 0]) for step, slope, row, z in each):
        lines = step.relaxation
        line = torch.where(row > 0, torch.addcmul(lines.intercept, z, lines.upper_slope), z * slope)
        cost = row * (line - torch.maximum(z, z * lines.least_slope))
        score = cost.clamp_min(0) + _POTENTIAL_COST_SHARE * row.abs() * lines.intercept
        scores.append(torch.where(lines.adjustable, score, -1.0))
    if not scores:
        return torch.full((len(relaxed.lower),), -1)
    most, unit = torch.cat(scores, 1).max(1)
    return torch.where(most >= 0, unit, -1)
