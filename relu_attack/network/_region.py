"""Linear regions: boundaries along a ray, and a region as an explicit polytope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.network._layers import Layer
from relu_attack.network._network import Network


@dataclass(frozen=True, eq=False)
class Region:
    """The linear region of a point, ``{x : matrix x <= upper}``, and the affine piece of f on it.

    Attributes
    ----------
    matrix
        One row for each unit that can switch, shape (rows, inputs).
    upper
        Shape (rows,).
    weight
        f(x) = weight x + bias on the region; shape (outputs, inputs).
    bias
        Shape (outputs,).
    """

    matrix: Tensor
    upper: Tensor
    weight: Tensor
    bias: Tensor


def breakpoint_times(
    network: Network, preactivations: Sequence[Tensor], pattern: Sequence[Tensor], rates: Sequence[Tensor]
) -> Tensor:
    """Return the time at which each unit switches if its preactivation changes at a constant rate.

    There is a tensor (batch, units) for each layer. Those of `pattern` are positive where the unit is active, such as
    the preactivations themselves. The times (batch, all units) from now are at least 0, and infinite for a unit that
    moves away from zero, or has slope 1.
    """
    times = [
        _switching_times(layer, preactivation, signs, rate)
        for layer, preactivation, signs, rate in zip(network.layers, preactivations, pattern, rates, strict=False)
    ]
    if not times:
        return rates[-1].new_full((rates[-1].shape[0], 1), torch.inf)
    return torch.cat(times, 1)


def boundary_times(network: Network, preactivations: Sequence[Tensor], direction: Tensor) -> Tensor:
    """Return the time at which each walker leaves its linear region along `direction` (batch, inputs), (batch, 1).

    The result is the minimum of `breakpoint_times`, computed layer by layer without storing them.
    """
    nearest = direction.new_full((direction.shape[0], 1), torch.inf)
    rates = network.rates(preactivations, direction, in_place=True)
    for layer, preactivation, rate in zip(network.layers, preactivations, rates, strict=False):
        nearest = torch.minimum(nearest, _switching_times(layer, preactivation, preactivation, rate).amin(1, True))
    return nearest


def _switching_times(layer: Layer, preactivation: Tensor, signs: Tensor, rate: Tensor) -> Tensor:
    """Return `breakpoint_times` of one layer, shape (batch, units)."""
    never = torch.where(signs > 0, rate < 0, rate > 0).logical_not_()
    if layer.passes is not None:
        never.view(-1, *layer.passes.shape).logical_or_(layer.passes)
    return (preactivation / rate).neg_().masked_fill_(never, torch.inf).clamp_min_(0)


def ray(network: Network, x: Tensor, direction: Tensor, *, count: int = 1) -> Tensor:
    """Return the distances along rays at which they enter new linear regions.

    Parameters
    ----------
    network
        The network.
    x
        Starting points, shape (batch, inputs).
    direction
        Directions, shape (batch, inputs), which are the unit of the distances.
    count
        Number of breakpoints: the first is the boundary of the region of `x`.

    Returns
    -------
    Tensor
        Shape (batch, count), ascending; infinite beyond the last boundary of a ray.

    Notes
    -----
    At each boundary the pattern is switched exactly for the units that the ray meets; no step size is involved.

    Examples
    --------
    >>> import torch
    >>> from relu_attack.network import dense_chain
    >>> network = dense_chain([torch.eye(2), torch.ones(1, 2)], [torch.tensor([-1.0, -3.0]), torch.zeros(1)])
    >>> ray(network, torch.zeros(1, 2), torch.ones(1, 2), count=2)
    tensor([[1., 3.]])
    """
    if not network.layers:
        return x.new_full((x.shape[0], count), torch.inf)
    evaluation = network.forward(x)
    preactivations, active = list(evaluation.preactivations), [mask.to(x.dtype) for mask in evaluation.pattern]
    elapsed, distances = x.new_zeros(x.shape[0]), []
    for _ in range(count):
        rates = network.tangent(active, direction)
        times = breakpoint_times(network, preactivations, active, rates)
        step = times.amin(1)
        elapsed = elapsed + step
        distances.append(elapsed)
        step = torch.where(torch.isfinite(step), step, 0.0)[:, None]
        for index, switching in enumerate((times == step).split([layer.units for layer in network.layers], 1)):
            moved = preactivations[index] + step * rates[index]
            preactivations[index] = torch.where(switching, 0.0, moved)
            active[index] = torch.where(switching, 1 - active[index], active[index])
    return torch.stack(distances, 1)


def region(network: Network, x: Tensor) -> Region:
    """Return the linear region of one point as an explicit polytope, with the affine piece of f on it.

    Parameters
    ----------
    network
        The network.
    x
        Shape (inputs,). A unit at exactly zero counts as inactive.

    Returns
    -------
    Region
        Rows have the scale of the network.

    Examples
    --------
    >>> import torch
    >>> from relu_attack.network import dense_chain
    >>> network = dense_chain([torch.eye(2), torch.ones(1, 2)], [torch.tensor([-1.0, -3.0]), torch.zeros(1)])
    >>> region(network, torch.tensor([2.0, 0.0])).weight
    tensor([[1., 0.]])
    """
    evaluation = network.forward(x[None])
    rates = network.tangent(evaluation.preactivations, torch.eye(network.inputs, dtype=x.dtype, device=x.device))
    rows, upper = [], []
    for layer, preactivation, rate in zip(network.layers, evaluation.preactivations, rates, strict=False):
        sign = torch.ones_like(preactivation[0]).masked_fill_(preactivation[0] > 0, -1.0)
        constant = preactivation[0] - x @ rate
        switching = layer.slope < 1
        rows.append((rate * sign).T[switching])
        upper.append((-constant * sign)[switching])
    return Region(
        matrix=torch.cat(rows) if rows else x.new_zeros(0, network.inputs),
        upper=torch.cat(upper) if upper else x.new_zeros(0),
        weight=rates[-1].T.contiguous(),
        bias=evaluation.outputs[0] - x @ rates[-1],
    )
