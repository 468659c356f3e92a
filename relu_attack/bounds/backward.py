"""Linear bounds by back-substitution: from rows over a layer's activations to rows over the inputs, soundly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.bounds.relaxation import Relaxation
from relu_attack.network import Affine


@dataclass(frozen=True, eq=False)
class LinearBound:
    """Linear functions of the inputs x that no row exceeds: ``row . h(x) <= coefficients . x + constant`` on each box.

    Attributes
    ----------
    coefficients
        Shape (boxes, rows, inputs).
    constant
        Shape (boxes, rows); it holds in real arithmetic, what was rounded on the way is added.
    error
        How much of `constant` stands for rounding, shape (boxes, rows).
    """

    coefficients: Tensor
    constant: Tensor
    error: Tensor


@dataclass(frozen=True, eq=False)
class Map:
    """An affine map as back-substitution sees it, with what its roundings are proportional to.

    Attributes
    ----------
    affine
        The map ``A h + b``.
    size
        Upper bound of ``|A| |h| + |b|`` over the activations h below, shape (boxes, outputs).
    underflow
        What products too small for the dtype can amount to, shape (boxes,).
    """

    affine: Affine
    size: Tensor
    underflow: Tensor

    @staticmethod
    def create(affine: Affine, lower: Tensor, upper: Tensor) -> Map:
        """Describe a map of activations within (boxes, inputs)."""
        largest, operator = torch.maximum(lower.abs(), upper.abs()), affine.operator
        size, tiny = operator.absolute().apply(largest, bias=affine.bias.abs()), torch.finfo(largest.dtype).tiny
        underflow = tiny * (operator.outputs + operator.transpose_terms) * (1 + largest.sum(1))
        return Map(affine, size * (1 + 2 * _gamma(operator.terms, size.dtype)) + tiny, underflow)


@dataclass(frozen=True, eq=False)
class Step:
    """A layer: its affine map, and lines around its activations."""

    map: Map
    relaxation: Relaxation


def substitute(
    steps: Sequence[Step],
    rows: Tensor,
    constant: Tensor,
    *,
    after: Sequence[Map] = (),
    slopes: Sequence[Tensor] | None = None,
    multipliers: Sequence[Tensor] = (),
) -> LinearBound:
    """Bound rows over the activations of the last of `steps` from above by linear functions of the inputs.

    Parameters
    ----------
    steps
        The layers, the first one first; without any the rows are over the inputs.
    rows
        Shape (boxes, rows, units).
    constant
        Shape (boxes, rows).
    after
        Maps after the layers, the first one first; the rows are then over the outputs of the last.
    slopes
        Lower slopes of each row for each layer, (boxes, rows, units), instead of those of the relaxations; each between
        the activation's slope and 1 where it is adjustable, and the relaxation's elsewhere.
    multipliers
        For each layer numbers (boxes, rows, units) that are added to the coefficients of the preactivations, or none.
        The bound then holds where each of them has the sign of its preactivation, or one of the two is 0.

    Returns
    -------
    LinearBound
        For lower bounds, give the negated rows.

    Notes
    -----
    CROWN (Zhang et al., 1811.00866, section 3.2). At each layer the coefficients as computed are taken for granted, and
    the rounding of the next ones is charged to the constant: a product of rows M with A is off by at most ``gamma |M|
    |A|`` (Higham, Accuracy and Stability, section 3.5), so its value at h is by at most ``gamma |M| (|A| |h| + |b|)``.
    That is one product with a vector a layer. Half of each factor covers the rounding of the charge itself.

    Multipliers are those of beta-CROWN (Wang et al., 2103.06624, section 3.1). As rounding keeps order, no
    coefficient is moved against the sign of its multiplier, so what it is moved by is a multiplier too.
    """
    adds = 2 * (len(steps) + len(after)) + 2  # into the constant, for whatever is added first
    bound = LinearBound(rows, constant, 2 * _gamma(adds, rows.dtype) * constant.abs())
    for map_ in reversed(after):
        bound = _through_map(map_, bound, adds)
    for index in range(len(steps) - 1, -1, -1):
        lines = steps[index].relaxation
        below = lines.lower_slope[:, None] if slopes is None else slopes[index]
        bound = _through_activation(lines, below, bound, adds)
        if multipliers:
            bound = _add(multipliers[index], steps[index].map, bound)
        bound = _through_map(steps[index].map, bound, adds)
    return LinearBound(bound.coefficients, bound.constant + bound.error, bound.error)


def _through_activation(lines: Relaxation, below: Tensor, bound: LinearBound, adds: int) -> LinearBound:
    rows = bound.coefficients
    positive = rows.clamp_min(0)
    above = _times(positive, lines.intercept)
    # One of the two products is zero, so there is one rounding, which the map below is charged with.
    rows = positive * lines.upper_slope[:, None] + (rows - positive) * below
    error = bound.error + 2 * _gamma(rows.shape[-1] + adds, rows.dtype) * above
    return LinearBound(rows, bound.constant + above, error)


def _add(multipliers: Tensor, map_: Map, bound: LinearBound) -> LinearBound:
    # What the activation rounded is charged here: the map is charged with the sums, which may be smaller.
    error = bound.error + 4 * torch.finfo(multipliers.dtype).eps * _times(bound.coefficients.abs(), map_.size)
    return LinearBound(bound.coefficients + multipliers, bound.constant, error)


def _through_map(map_: Map, bound: LinearBound, adds: int) -> LinearBound:
    rows, affine = bound.coefficients, map_.affine
    boxes, count, outputs = rows.shape
    factor = 2 * _gamma(outputs + affine.operator.transpose_terms + adds, rows.dtype)
    error = bound.error + factor * _times(rows.abs(), map_.size) + map_.underflow[:, None]
    products = affine.operator.transpose(rows.reshape(-1, outputs)).view(boxes, count, -1)
    return LinearBound(products, bound.constant + rows @ affine.bias, error)


def _times(rows: Tensor, vector: Tensor) -> Tensor:
    """Return the product of rows (boxes, rows, units) with a vector for each box (boxes, units)."""
    return (rows @ vector[..., None])[..., 0]


def _gamma(terms: int, dtype: torch.dtype) -> float:
    unit = (terms + 8) * torch.finfo(dtype).eps / 2
    return unit / (1 - unit)
