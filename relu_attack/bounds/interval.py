"""Interval bounds: the range of each unit from the ranges of the layer before."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds.base import Bounds
from relu_attack.network import Affine, Layer, Network

_AT_ONCE = 2**29
"""Products that are done between two looks at the clock: about a tenth of a second of one core."""


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
        When to stop; boxes that are not done by then have infinite ranges. Boxes that take no longer than it takes to
        look at the clock are done in any case.

    Returns
    -------
    Bounds
        Ranges that contain the true ranges in real arithmetic.

    Notes
    -----
    In midpoint-radius form ``A c + b +- |A| r``. A sum of n products in floating point, in any order, is off by at
    most ``gamma_n = n u / (1 - n u)`` times the sum of magnitudes, u the unit roundoff (Higham, Accuracy
    and Stability of Numerical Algorithms, section 3.1); the range is widened by that, with n raised for the
    roundings of midpoint, radius and the folding of coefficients.

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
    parts, quick = [], 3 * network.products <= _AT_ONCE
    for boxes in box_turns(network, len(lower)):
        if deadline.passed and not (quick and boxes.start == 0):
            parts.append(_unknown(network, lower[boxes], objective))
        else:
            rows = objective if objective.dim() == 2 else objective[boxes]
            parts.append(_interval(network, lower[boxes], upper[boxes], rows))
    return Bounds.join(parts)


def box_turns(network: Network, boxes: int) -> list[slice]:
    """Cut boxes into parts whose intervals take no longer than the clock may wait, or one each."""
    size = max(_AT_ONCE // (3 * network.products + 1), 1)
    return [slice(start, start + size) for start in range(0, boxes, size)]


def _interval(network: Network, lower: Tensor, upper: Tensor, objective: Tensor) -> Bounds:
    layers = []
    for layer in network.layers:
        range_ = affine_range(layer.affine, lower, upper)
        layers.append(range_)
        lower, upper = activation_range(layer, *range_)
    low, high = objective_range(network.output, lower, upper, objective)
    return Bounds(low, high, tuple(layers), method="interval", sound=True)


def _unknown(network: Network, lower: Tensor, objective: Tensor) -> Bounds:
    """Return ranges that hold whatever the network is: infinite ones."""

    def infinite(width: int) -> tuple[Tensor, Tensor]:
        return lower.new_full((len(lower), width), -torch.inf), lower.new_full((len(lower), width), torch.inf)

    layers = tuple(infinite(layer.units) for layer in network.layers)
    return Bounds(*infinite(objective.shape[-2]), layers, method="interval", sound=True)


def affine_range(affine: Affine, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range of an affine map over boxes (boxes, inputs), each end of shape (boxes, outputs)."""
    center, radius, size = _midpoint_radius(lower, upper)
    absolute = affine.operator.absolute()
    error = absolute.apply(size, bias=affine.bias.abs())
    return _widen(affine.apply(center), absolute.apply(radius), error, affine.operator.terms)


def activation_range(layer: Layer, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range of a layer's activations from that of its preactivations, (boxes, units)."""
    lower, upper = (torch.maximum(z, z * layer.slope) for z in (lower, upper))
    return (lower, upper) if layer.is_relu else _outward(lower, upper)


def objective_range(output: Affine, lower: Tensor, upper: Tensor, objective: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range of objective rows over boxes (boxes, inputs of the last map), each end (boxes, rows)."""
    outputs = output.operator.outputs
    folded = output.operator.transpose(objective.reshape(-1, outputs)).view(*objective.shape[:-1], -1)
    magnitude = output.operator.absolute().transpose(objective.abs().reshape(-1, outputs))
    magnitude = magnitude.view(*objective.shape[:-1], -1)
    constant, constant_magnitude = objective @ output.bias, objective.abs() @ output.bias.abs()
    center, radius, size = _midpoint_radius(lower, upper)
    middle, spread, error = (
        (rows @ vector[..., None])[..., 0]
        for rows, vector in ((folded, center), (folded.abs(), radius), (magnitude, size))
    )
    terms = output.operator.transpose_terms + outputs + folded.shape[-1]
    return _widen(middle + constant, spread, error + constant_magnitude, terms)


def _midpoint_radius(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    center = lower + (upper - lower) / 2
    radius = torch.maximum(center - lower, upper - center) * (1 + 2 * torch.finfo(lower.dtype).eps)
    return center, radius, center.abs() + radius


def _widen(middle: Tensor, spread: Tensor, magnitude: Tensor, terms: int) -> tuple[Tensor, Tensor]:
    # Twice the operations of one sum (middle and spread), plus the few roundings around them.
    number = torch.finfo(middle.dtype)
    count = (terms + 8) * number.eps
    # The sums of magnitudes are rounded themselves.
    error = magnitude * (count / (1 - count)) * (1 + 2 * count) + number.tiny
    return _outward(middle - spread - error, middle + spread + error)


def _outward(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    infinity = torch.tensor(torch.inf, dtype=lower.dtype, device=lower.device)
    # Where a number overflows nothing is known.
    lower, upper = torch.where(lower.isnan(), -infinity, lower), torch.where(upper.isnan(), infinity, upper)
    return torch.nextafter(lower, -infinity), torch.nextafter(upper, infinity)
