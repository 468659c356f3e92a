"""How the boxes of a branch and bound are bounded, many at a time."""

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
from relu_attack.solvers.branch_and_bound._nodes import Boxes

# Share of the weights that goes to a row that alone bounds a box best: few steps would not bring them there. On three
# hard instances of ACAS Xu 0.8 and 0.95 need a third of the boxes that 0 does.
_TOWARD = 0.9
# Share of what a unit could cost a bound that is added to what it does cost, when units are split.
_LEAST = 0.01


def bound_boxes(
    network: Network,
    rows: MinOfRows,
    halfspaces: Halfspaces,
    boxes: Boxes,
    *,
    period: int,
    units: bool,
    descent: SlopeOptimizer,
    deadline: Deadline = NEVER,
) -> Boxes:
    """Bound boxes, knowing what is known of the boxes that they were split from.

    Parameters
    ----------
    network
        The chain in float64.
    rows
        What is bounded.
    halfspaces
        Rows of the set beside the boxes.
    boxes
        Boxes with the ranges and bounds of their parents.
    period
        Every so many splits the ranges of the units come from back-substitution, in between from intervals, within
        those of the parent; the bound itself always comes from back-substitution.
    units
        Whether boxes are to be split at units.
    descent
        How far weights, slopes and multipliers go on from those of the parents.
    deadline
        After it neither units are substituted back nor does anything descend.

    Returns
    -------
    Boxes
        Nowhere looser than before.
    """
    due = boxes.age % period == 0
    parts = [boxes] if bool(due.all()) or not bool(due.any()) else [boxes.select(due), boxes.select(~due)]
    bounded = []
    for part in parts:
        full = int(part.age[0]) % period == 0
        alike = _bound_alike(
            network, rows, halfspaces, part, full=full, units=units, descent=descent, deadline=deadline
        )
        bounded.append(alike)
    return Boxes.join(bounded)


def _bound_alike(
    network: Network,
    rows: MinOfRows,
    halfspaces: Halfspaces,
    boxes: Boxes,
    *,
    full: bool,
    units: bool,
    descent: SlopeOptimizer,
    deadline: Deadline,
) -> Boxes:
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
    first = boxes.mixture or RowCombination.first(relaxed, len(rows), sides=units)
    mixture = optimize_combination(relaxed, first, descent, deadline=deadline)
    descended, plain = rows.mixtures(mixture.weights)
    mixed, slope = bound_combinations(relaxed, mixture, descended, plain)
    bound, place = rows.bound(torch.cat([descended, plain], 1), mixed).min(1)
    # Ranges hold in real arithmetic as well: a box is empty where one of them is.
    empty = torch.zeros_like(bound, dtype=torch.bool)
    for below, above in ranges:
        empty |= (below > above).any(1)
    return Boxes(
        lower,
        upper,
        torch.where(empty, -torch.inf, torch.minimum(bound, boxes.bound)),
        slope,
        tuple(ranges),
        mixture.toward(place - descended.shape[1] - 1, _TOWARD),
        _costliest_unit(relaxed, mixture) if units else boxes.unit,
        boxes.age,
    )


def _costliest_unit(relaxed: Relaxed, mixture: RowCombination) -> Tensor:
    """Return the unit whose lines cost the bound most where it is attained, (boxes,); -1 if none can switch.

    The bound less the value at its maximizer, passed on through the lines, is the sum over the units of coefficient
    times the distance between line and activation. A part of what the line could cost is added, as the maximizer of one
    bound is not that of the next.
    """
    found = mixture.adjoint(relaxed)
    scores = []
    each = zip(relaxed.steps, mixture.slopes, found.coefficients, found.preactivations, strict=True)
    for step, slope, row, z in ((step, slope, row[:, 0], z[:, 0]) for step, slope, row, z in each):
        lines = step.relaxation
        line = torch.where(row > 0, torch.addcmul(lines.intercept, z, lines.upper_slope), z * slope)
        cost = row * (line - torch.maximum(z, z * lines.least_slope))
        score = cost.clamp_min(0) + _LEAST * row.abs() * lines.intercept
        scores.append(torch.where(lines.adjustable, score, -1.0))
    if not scores:
        return torch.full((len(relaxed.lower),), -1)
    most, unit = torch.cat(scores, 1).max(1)
    return torch.where(most >= 0, unit, -1)
