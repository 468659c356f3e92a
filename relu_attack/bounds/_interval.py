"""Interval bound propagation."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds._bounds import Bounds
from relu_attack.network import Affine, Layer, Network
from relu_attack.rounding import enclose_affine, midpoint_radius, outward, sum_above

_PRODUCTS_PER_CLOCK_CHECK = 2**29
"""Products between two checks of the deadline: about a tenth of a second of one core."""
_PRODUCTS_PER_ENTRY = 200
"""Cost of the elementwise operations on an entry, some forty passes over memory, in products."""
_MAX_ENTRIES = 2**22
"""Largest number of entries of objective rows at a time: 32 MiB of float64."""


def interval(
    network: Network, lower: Tensor, upper: Tensor, objective: Tensor, *, deadline: Deadline = NEVER
) -> Bounds:
    """Bound ``objective . f(x)`` and every preactivation over boxes, sound to rounding.

    Parameters
    ----------
    network
        The chain in float64.
    lower, upper
        Boxes, float64, shape (boxes, inputs).
    objective
        Rows over the outputs, float64: (rows, outputs) for all boxes, or (boxes, 1, outputs).
    deadline
        Time limit; boxes, and layers of a large network, that are not bounded by then have infinite ranges. Boxes
        within one interval between checks of the deadline are bounded in any case.

    Returns
    -------
    Bounds
        Ranges that contain the true ranges in real arithmetic.

    Notes
    -----
    In midpoint-radius form ``A c + b +- |A| r``, widened by rounding errors (see `relu_attack.rounding`) and by the
    loss of folded maps.

    Examples
    --------
    >>> import torch
    >>> from relu_attack.network import dense_chain
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> network = dense_chain([one, one], [torch.zeros(1, dtype=torch.float64)] * 2)
    >>> bounds = interval(network, -one, 2 * one, one)
    >>> bool(bounds.lower <= 0) and bool(2 <= bounds.upper < 2.000001)
    True
    """
    parts, quick = [], _work(network) <= _PRODUCTS_PER_CLOCK_CHECK
    for boxes in box_chunks(network, len(lower)):
        rows = objective if objective.dim() == 2 else objective[boxes]
        own = NEVER if quick and boxes.start == 0 else deadline
        parts.append(_interval(network, lower[boxes], upper[boxes], rows, deadline, clock=own))
    return Bounds.join(parts)


def box_chunks(network: Network, boxes: int) -> list[slice]:
    """Split boxes into chunks within one interval between checks of the deadline, of at least one box."""
    size = max(_PRODUCTS_PER_CLOCK_CHECK // _work(network), 1)
    return [slice(start, start + size) for start in range(0, boxes, size)]


def _work(network: Network) -> int:
    """Return the cost of the intervals of a box in products."""
    return 3 * network.multiply_adds + _PRODUCTS_PER_ENTRY * (network.inputs + network.units)


def _interval(
    network: Network, lower: Tensor, upper: Tensor, objective: Tensor, deadline: Deadline, *, clock: Deadline
) -> Bounds:
    """Bound boxes; ranges that are not computed when `clock` ends are infinite."""
    layers: list[tuple[Tensor, Tensor]] = []
    for index, layer in enumerate(network.layers):
        if clock.passed:
            layers += [_infinite(lower, rest.units) for rest in network.layers[index:]]
            break
        range_ = affine_range(layer.affine, lower, upper)
        layers.append(range_)
        lower, upper = activation_range(layer, *range_)
    if clock.passed:
        low, high = _infinite(lower, objective.shape[-2])
    else:
        low, high = objective_range(network.output, lower, upper, objective, deadline=deadline)
    return Bounds(low, high, tuple(layers), method="interval", sound=True)


def _infinite(like: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return infinite ranges (boxes, width) for as many boxes as `like` has."""
    return like.new_full((len(like), width), -torch.inf), like.new_full((len(like), width), torch.inf)


def affine_range(affine: Affine, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range of an affine map over boxes (boxes, inputs), each end of shape (boxes, outputs)."""
    center, radius = midpoint_radius(lower, upper)
    size, operator = center.abs() + radius, affine.operator
    # One product for both: float32 weights are converted once.
    spread, magnitude = operator.absolute().apply(torch.cat([radius, size])).chunk(2)
    return enclose_affine(
        affine.apply(center),
        spread,
        magnitude + affine.bias.abs(),
        operator.row_nnz,
        operator.gain * size.sum(1, keepdim=True),
        lost=None if affine.loss is None else affine.loss.over(size),
    )


def activation_range(layer: Layer, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range of a layer's activations from that of its preactivations, (boxes, units)."""
    if layer.is_relu:
        return lower.clamp_min(0), upper.clamp_min(0)
    return outward(*(torch.maximum(z, z * layer.slope) for z in (lower, upper)))


def objective_range(
    output: Affine, lower: Tensor, upper: Tensor, objective: Tensor, *, deadline: Deadline = NEVER
) -> tuple[Tensor, Tensor]:
    """Return the range of objective rows over boxes (boxes, inputs of the last map), each end (boxes, rows).

    Rows are processed in chunks; those that are not started by the deadline, except the first, have infinite ranges.
    """
    operator, sets = output.operator, len(objective) if objective.dim() == 3 else 1
    numbers = sets * max(operator.inputs, operator.outputs, len(lower))
    products = sets * operator.outputs * operator.row_nnz
    size = max(min(_MAX_ENTRIES // numbers, _PRODUCTS_PER_CLOCK_CHECK // (3 * products + 1)), 1)
    parts: list[tuple[Tensor, Tensor]] = []
    for rows in objective.split(size, -2):
        if parts and deadline.passed:
            infinite = lower.new_full((len(lower), rows.shape[-2]), torch.inf)
            parts.append((-infinite, infinite))
        else:
            parts.append(_rows_range(output, lower, upper, rows))
    if len(parts) == 1:
        return parts[0]
    low, high = (torch.cat(ends, 1) for ends in zip(*parts, strict=True))
    return low, high


def _rows_range(output: Affine, lower: Tensor, upper: Tensor, objective: Tensor) -> tuple[Tensor, Tensor]:
    operator = output.operator
    flat = objective.reshape(-1, operator.outputs)
    folded = operator.transpose(flat).view(*objective.shape[:-1], -1)
    magnitude = operator.absolute().transpose(flat.abs()).view(*objective.shape[:-1], -1)
    center, radius = midpoint_radius(lower, upper)
    size = center.abs() + radius
    middle, spread, error = map(times, (folded, folded.abs(), magnitude), (center, radius, size))
    # A product of three numbers goes through the roundings of both sums. Underflow in the first one is multiplied by
    # the inputs.
    terms = operator.column_nnz + operator.outputs + operator.inputs
    length = objective.abs().sum(-1)
    operands = operator.gain * (1 + size.sum(1, keepdim=True)) * (1 + length) * (terms + 1)
    lost = None
    if output.loss is not None:
        lost = output.loss.over(size)
        lost = sum_above(times(objective.abs(), lost), operator.outputs, length + lost.sum(1, keepdim=True))
    error = error + objective.abs() @ output.bias.abs()
    return enclose_affine(middle + objective @ output.bias, spread, error, terms, operands, lost=lost)


def times(rows: Tensor, vector: Tensor) -> Tensor:
    """Return the products of rows (rows, inputs), or (boxes, rows, inputs), with a vector for each box."""
    return (rows @ vector[..., None])[..., 0]
