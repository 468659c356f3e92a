"""The lower slopes of alpha-CROWN: chosen by descent on the bound that they give, with an adjoint of our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds._backward import AffineBound, RelaxedLayer
from relu_attack.network import Affine
from relu_attack.rounding import tiny

Point = Callable[[Tensor], Tensor]
"""Takes coefficients (boxes, rows, inputs) and returns where they are largest on each set, in the same shape."""


@dataclass(frozen=True, kw_only=True)
class SlopeOptimizer:
    """How slopes descend: by Adam (Kingma, Ba, 1412.6980), projected, with steps that shrink.

    Attributes
    ----------
    iterations
        How many steps.
    rate, decay
        The first step, in slopes, and the factor on it after each step.
    """

    iterations: int = 20
    rate: float = 0.5
    decay: float = 0.9


class Adam:
    """Adam's averages of the gradient of one tensor, and the direction that they give.

    Parameters
    ----------
    like
        A tensor of the gradient's shape.
    """

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

    Attributes
    ----------
    value
        Upper bound of each row, not sound to rounding, shape (boxes, rows).
    coefficients
        Those of each row over the activations of each layer, (boxes, rows, units).
    input_coefficients, point
        The row's linear bound, and a maximizer of it on each set, (boxes, rows, inputs).
    preactivations, activations
        Where that is brought by the lines that the row takes: in each layer, and after the last one, (boxes, rows,
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
    """Return the bound of rows with given lower slopes, and how it changes with them.

    Parameters
    ----------
    steps, rows, constant, slopes, after, multipliers
        As for `relu_attack.bounds._backward.substitute`.
    point
        Where linear functions are largest on the sets.

    Notes
    -----
    The bound of a row is ``max_x c x + constant``, linear in the slope of each unit whose coefficient is negative. At a
    maximizer x its derivative in such a slope is the coefficient times the preactivation, where x is passed on through
    those lines that the row takes: one pass back for the coefficients, one pass forward for the preactivations.
    """
    for map_ in reversed(after):
        rows, constant = _back(map_.affine, rows, constant)
    coefficients: list[Tensor] = []
    for index in range(len(steps) - 1, -1, -1):
        coefficients.append(rows)
        lines, positive = steps[index].relaxation, rows.clamp_min(0)
        constant = constant + (positive @ lines.intercept[..., None])[..., 0]
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
    """Return the lower slopes of the relaxations for each of some rows, (boxes, rows, units) a layer."""
    return [step.relaxation.lower_slope[:, None].expand(-1, rows, -1) for step in steps]


def moved_slopes(step: RelaxedLayer, slopes: Tensor, move: Tensor) -> Tensor:
    """Return slopes (boxes, rows, units) of a layer after a move, within what is sound."""
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
    descent: SlopeOptimizer,
    deadline: Deadline = NEVER,
) -> list[Tensor]:
    """Choose lower slopes for each row so that its upper bound comes down.

    Parameters
    ----------
    steps, point, rows, constant, after
        As for `adjoint`.
    descent
        How far to go.
    deadline
        When to stop, with the slopes of that moment.

    Returns
    -------
    list of Tensor
        Slopes for each layer, (boxes, rows, units), the best that were met for each row. Any slopes give a sound bound.
    """
    slopes = first_slopes(steps, rows.shape[1])
    best, value, rate = slopes, torch.full(rows.shape[:2], torch.inf, dtype=rows.dtype), descent.rate
    averages = [Adam(slope) for slope in slopes]
    for iteration in range(descent.iterations + 1):
        if deadline.passed:
            break
        found = adjoint(steps, point, rows, constant, slopes, after)
        better = found.value < value
        value = torch.where(better, found.value, value)
        best = [torch.where(better[..., None], new, old) for new, old in zip(slopes, best, strict=True)]
        if iteration < descent.iterations:
            slopes = [
                moved_slopes(step, slope, -rate * average.direction(gradient))
                for step, slope, average, gradient in zip(steps, slopes, averages, found.slopes, strict=True)
            ]
            rate *= descent.decay
    return best
