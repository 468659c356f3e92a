"""Optimization of the lower slopes of alpha-CROWN, by gradients from an adjoint computation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds._backward import AffineBound, RelaxedLayer
from relu_attack.bounds._interval import times
from relu_attack.network import Affine
from relu_attack.rounding import tiny

Point = Callable[[Tensor], Tensor]
"""Maps coefficients (boxes, rows, inputs) to maximizers on each set, in the same shape."""


@dataclass(frozen=True, kw_only=True)
class SlopeOptimizer:
    """Projected Adam (Kingma, Ba, 1412.6980) with decreasing steps.

    The first step has length `rate` in slopes, each further one `decay` times that of the last.
    """

    iterations: int = 20
    rate: float = 0.5
    decay: float = 0.9


class Adam:
    """Adam's averages of the gradient of one tensor, and the resulting direction."""

    def __init__(self, like: Tensor) -> None:
        self._mean, self._square, self._steps = torch.zeros_like(like), torch.zeros_like(like), 0

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the direction of ascent, with entries of about 1 or less."""
        self._steps += 1
        self._mean.lerp_(gradient, 0.1)
        self._square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        mean, square = self._mean / (1 - 0.9**self._steps), self._square / (1 - 0.999**self._steps)
        return mean / (square.sqrt() + tiny(mean.dtype))


@dataclass(frozen=True, eq=False)
class Adjoint:
    """A bound and its derivatives.

    `value` bounds each row from above, not sound to rounding, (boxes, rows). `coefficients` are those of each row over
    the activations of each layer; `input_coefficients` are the row's linear bound, and `point` is a maximizer of it on
    each set. Its images under the lines of the row are `preactivations` and `activations`. All have shape (boxes, rows,
    units).
    """

    value: Tensor
    coefficients: list[Tensor]
    input_coefficients: Tensor
    point: Tensor
    preactivations: list[Tensor]
    activations: Tensor

    @property
    def slopes(self) -> list[Tensor]:
        """The derivative of the bound in the lower slopes of each layer, (boxes, rows, units)."""
        return [row.clamp_max(0) * z for row, z in zip(self.coefficients, self.preactivations, strict=True)]


def adjoint(
    steps: Sequence[RelaxedLayer],
    point: Point,
    rows: Tensor,
    constant: Tensor,
    slopes: Sequence[Tensor],
    after: Sequence[AffineBound] = (),
    multipliers: Sequence[Tensor] = (),
) -> Adjoint:
    """Return the bound of rows for given lower slopes, with its derivatives.

    The arguments are those of `substitute`; `point` returns maximizers of linear functions on the sets.

    The bound of a row is ``max_x c x + constant``, linear in the slope of each unit whose coefficient is negative. At a
    maximizer x its derivative in such a slope is the coefficient times the preactivation, with x propagated through the
    lines of the row: one backward pass for the coefficients, one forward pass for the preactivations.
    """
    for map_ in reversed(after):
        rows, constant = _back(map_.affine, rows, constant)
    coefficients: list[Tensor] = []
    for index in range(len(steps) - 1, -1, -1):
        coefficients.append(rows)
        lines, positive = steps[index].relaxation, rows.clamp_min(0)
        constant = constant + times(positive, lines.intercept)
        rows = positive * lines.upper_slope[:, None] + (rows - positive) * slopes[index]
        rows, constant = _back(steps[index].map.affine, rows + multipliers[index] if multipliers else rows, constant)
    x = first = point(rows)
    value = (rows * x).sum(-1) + constant
    coefficients.reverse()
    preactivations = []
    for step, below, row in zip(steps, slopes, coefficients, strict=True):
        lines, affine = step.relaxation, step.map.affine
        z = affine.apply(x.flatten(0, 1)).view(*x.shape[:2], -1)
        preactivations.append(z)
        above = torch.addcmul(lines.intercept[:, None], z, lines.upper_slope[:, None])
        x = torch.where(row > 0, above, z * below)
    return Adjoint(value, coefficients, rows, first, preactivations, x)


def _back(affine: Affine, rows: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
    below = affine.operator.transpose(rows.flatten(0, 1)).view(*rows.shape[:2], -1)
    return below, constant + rows @ affine.bias


def first_slopes(steps: Sequence[RelaxedLayer], rows: int) -> list[Tensor]:
    """Return the lower slopes of the relaxations for each row, (boxes, rows, units) for each layer."""
    return [step.relaxation.lower_slope[:, None].expand(-1, rows, -1) for step in steps]


def moved_slopes(step: RelaxedLayer, slopes: Tensor, move: Tensor) -> Tensor:
    """Return slopes (boxes, rows, units) of a layer after a step, projected to sound ones."""
    lines = step.relaxation
    moved = torch.maximum(slopes + move, lines.least_slope).clamp_max_(1.0)
    return torch.where(lines.adjustable[:, None], moved, slopes)


def optimize_slopes(
    steps: Sequence[RelaxedLayer],
    point: Point,
    rows: Tensor,
    constant: Tensor,
    *,
    after: Sequence[AffineBound] = (),
    optimizer: SlopeOptimizer,
    deadline: Deadline = NEVER,
) -> list[Tensor]:
    """Optimize lower slopes for each row to minimize its upper bound.

    The arguments are those of `adjoint`. The best slopes of each row until the deadline are returned, (boxes, rows,
    units) for each layer; any slopes give a sound bound.
    """
    slopes = first_slopes(steps, rows.shape[1])
    best, value, rate = slopes, torch.full(rows.shape[:2], torch.inf, dtype=rows.dtype), optimizer.rate
    averages = [Adam(slope) for slope in slopes]
    for iteration in range(optimizer.iterations + 1):
        if deadline.passed:
            break
        found = adjoint(steps, point, rows, constant, slopes, after)
        better = found.value < value
        value = torch.where(better, found.value, value)
        best = [torch.where(better[..., None], new, old) for new, old in zip(slopes, best, strict=True)]
        if iteration < optimizer.iterations:
            slopes = [
                moved_slopes(step, slope, -rate * average.direction(gradient))
                for step, slope, average, gradient in zip(steps, slopes, averages, found.slopes, strict=True)
            ]
            rate *= optimizer.decay
    return best
