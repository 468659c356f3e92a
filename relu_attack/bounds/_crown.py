"""CROWN: backward linear bounds with one line above and one below each activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds._backward import AffineBound, RelaxedLayer, substitute
from relu_attack.bounds._bounds import Bounds
from relu_attack.bounds._concretization import bounding_ends, set_support
from relu_attack.bounds._interval import activation_range, affine_range, box_chunks, interval, objective_range
from relu_attack.bounds._relaxation import relax
from relu_attack.bounds._slopes import SlopeOptimizer, optimize_slopes
from relu_attack.domains import Domain, Support
from relu_attack.network import Network
from relu_attack.rounding import outward, up

Range = tuple[Tensor, Tensor]

MEMORY_LIMIT = 2**22
"""Memory of back-substitution at a time in bytes: at most the cache of a processor."""
RESERVED_FRACTION = 0.1
"""Fraction of the time that is reserved for the rows of the objective."""
# Number of simultaneous tensors of the size of the rows.
_COPIES = 2


def crown(
    network: Network,
    domain: Domain,
    objective: Tensor,
    *,
    memory_limit: int = MEMORY_LIMIT,
    deadline: Deadline = NEVER,
) -> Bounds:
    """Bound ``objective . f(x)`` and every preactivation over sets, sound to rounding.

    Parameters
    ----------
    network
        The chain in float64 on the CPU, or the result of `in_single_precision`.
    domain
        One set or P sets. Linear bounds are maximized over the set itself, not over its bounding box.
    objective
        Rows over the outputs, in the dtype of the network: (rows, outputs) for all sets, or (P, rows, outputs).
    memory_limit
        Memory of back-substitution at a time in bytes; boxes and rows are processed in chunks below it.
    deadline
        Time limit; rows that are not bounded by then have the ranges of intervals. A fraction of the time is reserved
        for the rows of the objective.

    Returns
    -------
    Bounds
        Ranges nowhere wider than `interval`'s. Units that interval bounds prove stable keep those.

    Notes
    -----
    Zhang et al., Efficient Neural Network Robustness Certification with General Activation Functions (1811.00866). The
    rounding errors are those of `substitute`.

    Examples
    --------
    relu(x) - relu(x - 1) + relu(-x) on [0, 1] is x, which linear bounds prove and intervals do not.

    >>> import torch
    >>> from relu_attack import Box
    >>> from relu_attack.network import dense_chain
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> hidden = torch.tensor([[1.0], [1.0], [-1.0]], dtype=torch.float64)
    >>> shift = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    >>> chain = dense_chain([hidden, torch.tensor([[1.0, -1.0, 1.0]], dtype=torch.float64)], [shift, 0 * one[0]])
    >>> bounds = crown(chain, Box(0 * one[0], one[0]), one)
    >>> round(bounds.lower.item(), 9), round(bounds.upper.item(), 9)
    (-0.0, 1.0)
    """
    lower, upper = bounding_ends(domain, network.dtype)
    if deadline.passed:
        return replace(interval(network, lower, upper, objective, deadline=deadline), method="crown")
    support = set_support(domain, network.dtype, deadline=deadline)
    rows, parts = objective.expand(len(lower), -1, -1), []
    for boxes in box_chunks(network, len(lower)):
        own = deadline.share(len(lower[boxes]) / (len(lower) - boxes.start))
        part = _crown(network, lower[boxes], upper[boxes], support.select(boxes), rows[boxes], own, memory_limit)
        parts.append(part)
    return Bounds.join(parts)


def _crown(
    network: Network,
    lower: Tensor,
    upper: Tensor,
    support: Support,
    rows: Tensor,
    deadline: Deadline,
    memory_limit: int,
) -> Bounds:
    """Bound rows (boxes, rows, outputs) over sets in boxes (boxes, inputs)."""
    if deadline.passed:
        return replace(interval(network, lower, upper, rows, deadline=deadline), method="crown")
    within = deadline.share(1 - RESERVED_FRACTION)
    # A range computed from a tighter one may be wider by a rounding.
    plain = interval(network, lower, upper, rows, deadline=deadline)
    if within.passed:
        return replace(plain, method="crown")
    ranges, steps = bound_layers(
        network, lower, upper, support, known=plain.layers, deadline=within, memory_limit=memory_limit
    )
    low, high = activation_range(network.layers[-1], *ranges[-1]) if ranges else (lower, upper)
    found = intersect((plain.lower, plain.upper), objective_range(network.output, low, high, rows, deadline=deadline))
    after, constant = (AffineBound.create(network.output, low, high),), torch.zeros_like(found[0])
    sides = lower_and_upper(steps, support, rows, constant, after=after, memory_limit=memory_limit, deadline=deadline)
    return Bounds(*intersect(found, sides), tuple(ranges), method="crown", sound=True)


def bound_layers(
    network: Network,
    lower: Tensor,
    upper: Tensor,
    support: Support,
    *,
    known: Sequence[Range] | None = None,
    substituted: bool = True,
    optimizer: SlopeOptimizer | None = None,
    deadline: Deadline = NEVER,
    memory_limit: int = MEMORY_LIMIT,
) -> tuple[list[Range], list[RelaxedLayer]]:
    """Bound the preactivations of every layer over sets in boxes (boxes, inputs), by CROWN on the layers below.

    Ranges are nowhere wider than the `known` ones. Unless `substituted`, they are those of intervals. An `optimizer`
    optimizes the lower slopes for each bound. Returned are a range for each layer, its ends of shape (boxes, units),
    and the layers with their relaxations.
    """
    ranges: list[Range] = []
    steps: list[RelaxedLayer] = []
    for index, layer in enumerate(network.layers):
        map_ = AffineBound.create(layer.affine, lower, upper)
        if known is not None and deadline.passed:
            found = known[index]
        else:
            found = affine_range(layer.affine, lower, upper)
            found = found if known is None else intersect(found, known[index])
        # Over boxes intervals are exact in the first layer.
        if substituted and (steps or not support.of_boxes) and not deadline.passed:
            chosen = (found[0] < 0) & (found[1] > 0) & (layer.slope < 1)
            found = _bound_units(map_, steps, support, found, chosen, optimizer, memory_limit, deadline)
        steps.append(RelaxedLayer(map_, relax(layer.slope, *found)))
        ranges.append(found)
        lower, upper = activation_range(layer, *found)
    return ranges, steps


def _bound_units(
    map_: AffineBound,
    steps: Sequence[RelaxedLayer],
    support: Support,
    known: Range,
    chosen: Tensor,
    optimizer: SlopeOptimizer | None,
    memory_limit: int,
    deadline: Deadline,
) -> Range:
    """Return the range of a layer, tightened for its `chosen` units (boxes, units)."""
    low, high = known[0].clone(), known[1].clone()
    counts = chosen.sum(1)
    most = int(counts.max())
    # Boxes have different numbers of units to bound; shorter lists are padded by other units.
    order, operator = chosen.to(torch.int8).argsort(dim=1, descending=True, stable=True), map_.affine.operator
    width = max(operator.inputs, operator.outputs) if operator.rounds_triplets else operator.inputs
    each = _row_bytes(steps, width, low, optimizer)
    for boxes in _chunks(len(chosen), most * each, memory_limit):
        layers, sets, own = [step.select(boxes) for step in steps], support.select(boxes), map_.select(boxes)
        for part in _chunks(int(counts[boxes].max()), len(low[boxes]) * each, memory_limit):
            if deadline.passed:
                return low, high
            units = order[boxes, part]
            rows, constant, after = _rows_of(own, units, low.dtype)
            found = lower_and_upper(
                layers,
                sets,
                rows,
                constant,
                after=after,
                optimizer=optimizer,
                memory_limit=memory_limit,
                deadline=deadline,
            )
            if not after:  # the rows are those of the map, whose own error is charged here
                lost = own.lost.gather(1, units)
                found = outward(found[0] - lost, found[1] + lost)
            before = low[boxes].gather(1, units), high[boxes].gather(1, units)
            for end, new in zip((low, high), intersect(before, found), strict=True):
                end[boxes].scatter_(1, units, new)
    return low, high


def _rows_of(map_: AffineBound, units: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, tuple[AffineBound, ...]]:
    """Return outputs (boxes, units) of a map as rows without rounding, with their constants and a map after them."""
    affine = map_.affine
    if not affine.operator.rounds_triplets:
        return affine.operator.rows_of(units, dtype=dtype), affine.bias[units], ()
    unit = torch.zeros(*units.shape, affine.operator.outputs, dtype=dtype).scatter_(2, units[..., None], 1.0)
    return unit, torch.zeros(units.shape, dtype=dtype), (map_,)


def lower_and_upper(
    steps: Sequence[RelaxedLayer],
    support: Support,
    rows: Tensor,
    constant: Tensor,
    *,
    after: Sequence[AffineBound] = (),
    optimizer: SlopeOptimizer | None = None,
    memory_limit: int = MEMORY_LIMIT,
    deadline: Deadline = NEVER,
) -> Range:
    """Return the range of rows of `substitute` over the sets of `support`, each end (boxes, rows).

    With an `optimizer` the lower slopes are optimized for each of them. Rows that are not started by the deadline have
    infinite ranges.
    """
    each, count = _row_bytes(steps, rows.shape[-1], rows, optimizer), rows.shape[1]
    sides = []
    for boxes in _chunks(len(rows), count * each, memory_limit):
        layers, maps = [step.select(boxes) for step in steps], [map_.select(boxes) for map_ in after]
        sets = support.select(boxes)
        parts = [
            _upper_sides(layers, sets, rows[boxes, part], constant[boxes, part], maps, optimizer, deadline)
            for part in _chunks(count, len(rows[boxes]) * each, memory_limit)
        ]
        sides.append(torch.cat(parts, 2))
    high, low = up(torch.cat(sides)).unbind(1)
    return -low, high


def _upper_sides(
    steps: Sequence[RelaxedLayer],
    support: Support,
    rows: Tensor,
    constant: Tensor,
    after: Sequence[AffineBound],
    optimizer: SlopeOptimizer | None,
    deadline: Deadline,
) -> Tensor:
    """Return upper bounds of rows and of negated rows, (boxes, 2, rows)."""
    if deadline.passed:
        return rows.new_full((len(rows), 2, rows.shape[1]), torch.inf)
    both, shifts = torch.cat([rows, -rows], 1), torch.cat([constant, -constant], 1)
    slopes = None
    if optimizer is not None and steps:
        slopes = optimize_slopes(
            steps, support.point, both, shifts, after=after, optimizer=optimizer, deadline=deadline
        )
    bound = substitute(steps, both, shifts, after=after, slopes=slopes)
    return (support(bound.coefficients) + bound.constant).view(len(rows), 2, -1)


def _row_bytes(steps: Sequence[RelaxedLayer], width: int, like: Tensor, optimizer: SlopeOptimizer | None) -> int:
    """Return the memory of both sides of a row of some width during back-substitution."""
    widest = max([width, *(step.map.affine.operator.inputs for step in steps)])
    if optimizer is not None:
        widest += 2 * sum(step.map.affine.operator.outputs for step in steps)
    return 2 * widest * like.element_size() * _COPIES


def _chunks(count: int, each: int, limit: int) -> list[slice]:
    """Split a range into chunks within a limit, of at least one entry."""
    size = max(limit // max(each, 1), 1)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def intersect(one: Range, other: Range) -> Range:
    """Return the intersection of two ranges."""
    return torch.maximum(one[0], other[0]), torch.minimum(one[1], other[1])
