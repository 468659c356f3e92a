"""Backward linear bound propagation, sound to rounding: rows over activations become rows over the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.bounds._interval import times
from relu_attack.bounds._relaxation import Relaxation
from relu_attack.network import Affine
from relu_attack.rounding import gamma, sum_above, tiny, up

# Roundings of the factors themselves and besides the products.
_EXTRA_ROUNDINGS = 8


@dataclass(frozen=True, eq=False)
class LinearBound:
    """Linear upper bounds of rows in the inputs x: ``row . h(x) <= coefficients . x + constant`` on each box.

    `coefficients` has shape (boxes, rows, inputs). `constant`, (boxes, rows), includes all rounding errors, so that the
    bound holds in real arithmetic.
    """

    coefficients: Tensor
    constant: Tensor


@dataclass(frozen=True, eq=False)
class AffineBound:
    """An affine map for back-substitution, with the magnitudes that bound its rounding errors.

    `size` bounds ``|A| |h| + |b|`` over the activations h below, and `lost`, which bounds the map's own error and that
    of coefficients that are read as zero, both (boxes, outputs). `underflow`, (boxes, 1), bounds the effect of
    underflow of products.
    """

    affine: Affine
    size: Tensor
    lost: Tensor
    underflow: Tensor

    @staticmethod
    def create(affine: Affine, lower: Tensor, upper: Tensor) -> AffineBound:
        """Create the bound of a map for activations within (boxes, inputs)."""
        largest, operator = torch.maximum(lower.abs(), upper.abs()), affine.operator
        size, length = operator.absolute().apply(largest, bias=affine.bias.abs()), largest.sum(1, keepdim=True)
        size = sum_above(size, operator.row_nnz + 1, operator.gain * length)
        flushed = 64 * operator.gain * tiny(largest.dtype)
        lost = (flushed * (1 + length)).expand_as(size)
        if affine.loss is not None:
            lost = up(lost + affine.loss.over(largest))
            size = up(size + lost)
        terms = operator.outputs + operator.column_nnz
        return AffineBound(affine, size, lost, flushed * (terms * (1 + length) + size.sum(1, keepdim=True)))

    def transpose(self, rows: Tensor) -> Tensor:
        """Return the products of rows (boxes, rows, outputs) with A, (boxes, rows, inputs)."""
        return self.affine.operator.transpose(rows.flatten(0, 1)).view(*rows.shape[:2], -1)

    def factor(self, adds: int) -> float:
        """Return the relative error of a row's product, its constant and a number of sums, as a factor of `size`."""
        operator = self.affine.operator
        return gamma(2 * (operator.outputs + operator.column_nnz + adds + _EXTRA_ROUNDINGS), self.size.dtype)

    def charge(self, adds: int) -> Tensor:
        """Return the charge to a row for each unit of its coefficients, (boxes, outputs)."""
        return self.factor(adds) * self.size + self.lost

    def select(self, boxes: slice) -> AffineBound:
        """Return the map for a subset of the boxes."""
        return AffineBound(self.affine, self.size[boxes], self.lost[boxes], self.underflow[boxes])


@dataclass(frozen=True, eq=False)
class RelaxedLayer:
    """A layer: its affine map, and the relaxation of its activations."""

    map: AffineBound
    relaxation: Relaxation

    def select(self, boxes: slice) -> RelaxedLayer:
        """Return the layer for a subset of the boxes."""
        return RelaxedLayer(self.map.select(boxes), self.relaxation.select(boxes))


def substitute(
    steps: Sequence[RelaxedLayer],
    rows: Tensor,
    constant: Tensor,
    *,
    after: Sequence[AffineBound] = (),
    slopes: Sequence[Tensor] | None = None,
    multipliers: Sequence[Tensor] = (),
) -> LinearBound:
    """Bound rows over the activations of the last of `steps` from above by linear functions of the inputs.

    Without `steps` the rows (boxes, rows, units) are over the inputs; after the maps `after`, over the outputs of the
    last one. `slopes`, (boxes, rows, units) for each layer, replace the lower slopes of the relaxations: they lie
    between the activation's slope and 1 where that is adjustable, and are the relaxation's elsewhere. `multipliers`,
    likewise, are added to the coefficients of the preactivations: the bound holds where each has the sign of its
    preactivation, or one of the two is 0. Lower bounds are those of the negated rows.

    CROWN (Zhang et al., 1811.00866, section 3.2). At each layer the computed coefficients are exact by definition, and
    the rounding of the next ones is charged to the constant: the error of a product of rows M with A is at most ``gamma
    |M| |A|`` (Higham, Accuracy and Stability, section 3.5), and that of its value at h at most ``gamma |M| (|A| |h| +
    |b|)``. The charge is linear in the positive and in the negative part of M, as is the constant term of the layer, so
    each part takes one product with a vector. Half of each factor covers the rounding of the charge itself. The loss of
    folded maps is charged likewise, and underflow as if every product underflowed.

    Multipliers are those of beta-CROWN (Wang et al., 2103.06624, section 3.1). Rounding is
    monotone, so the change of a coefficient has the sign of its multiplier and is a multiplier too.
    """
    adds = 4 * (len(steps) + len(after)) + 2  # additions to the constant, in any order
    constant = constant + gamma(2 * (adds + _EXTRA_ROUNDINGS), rows.dtype) * constant.abs()
    for map_ in reversed(after):
        rows, constant = _through_map(map_, rows, constant, adds)
    for index in range(len(steps) - 1, -1, -1):
        step = steps[index]
        below = step.relaxation.lower_slope[:, None] if slopes is None else slopes[index]
        moved = multipliers[index] if multipliers else None
        rows, constant = _through_layer(step.map, step.relaxation, below, rows, constant, adds, moved)
    return LinearBound(rows, constant)


def _through_map(map_: AffineBound, rows: Tensor, constant: Tensor, adds: int) -> tuple[Tensor, Tensor]:
    error = times(rows.abs(), map_.charge(adds)) + map_.underflow
    return map_.transpose(rows), constant + rows @ map_.affine.bias + error


def _through_layer(
    map_: AffineBound,
    lines: Relaxation,
    below: Tensor,
    rows: Tensor,
    constant: Tensor,
    adds: int,
    multipliers: Tensor | None,
) -> tuple[Tensor, Tensor]:
    factor, bias = map_.factor(adds), map_.affine.bias
    charge = map_.charge(adds)
    # Constant term of each unit: for a positive coefficient, and for a negative one times its lower slope.
    above = lines.upper_slope * (bias + charge) + (1 + factor) * lines.intercept + 4 * tiny(rows.dtype)
    positive, negative = rows.clamp_min(0), rows.clamp_max(0)
    constant = constant + times(positive, above)
    negative.mul_(below)
    constant = constant + times(negative, bias - charge)
    # One of the two parts is zero, so the sum has one rounding, charged with those of the product.
    rows = negative.addcmul_(positive, lines.upper_slope[:, None])
    if multipliers is not None:
        rows += multipliers
        constant = constant + (multipliers @ bias + times(multipliers.abs(), charge))
    return map_.transpose(rows), constant + map_.underflow
