"""One bound for the smallest of several rows: that of a mixture of them, chosen together with the lower slopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.bounds.backward import Map, Step, substitute
from relu_attack.bounds.slopes import Adam, Descent, adjoint, moved_slopes
from relu_attack.bounds.support import Support


@dataclass(frozen=True, eq=False)
class Mixture:
    """Weights of rows and lower slopes, one of each for a box.

    Attributes
    ----------
    weights
        Shape (boxes, rows), not negative, with a sum of 1 but for rounding.
    slopes
        One tensor a layer, shape (boxes, units).
    """

    weights: Tensor
    slopes: tuple[Tensor, ...]

    @staticmethod
    def first(steps: Sequence[Step], rows: int, like: Tensor) -> Mixture:
        """Return equal weights, one for each row of `like` (boxes, inputs), and the slopes of the relaxations."""
        slopes = tuple(step.relaxation.lower_slope for step in steps)
        return Mixture(like.new_full((len(like), rows), 1 / rows), slopes)

    @staticmethod
    def join(parts: Sequence[Mixture]) -> Mixture:
        """Return the mixtures of all parts."""
        slopes = zip(*(part.slopes for part in parts), strict=True)
        return Mixture(torch.cat([part.weights for part in parts]), tuple(torch.cat(layer) for layer in slopes))

    def take(self, index: Tensor | slice) -> Mixture:
        """Return the mixtures of some of the boxes."""
        return Mixture(self.weights[index], tuple(slope[index] for slope in self.slopes))

    def within(self, steps: Sequence[Step]) -> Mixture:
        """Return the mixture with the slopes of the relaxations where no other would do."""
        slopes = [
            torch.where(step.relaxation.adjustable, slope, step.relaxation.lower_slope)
            for step, slope in zip(steps, self.slopes, strict=True)
        ]
        return Mixture(self.weights, tuple(slopes))


def descend_mixture(
    steps: Sequence[Step], support: Support, after: Sequence[Map], start: Mixture, descent: Descent
) -> Mixture:
    """Choose weights and slopes so that the upper bound of the mixture comes down.

    Parameters
    ----------
    steps
        The layers.
    support
        Of the sets.
    after
        Maps after the layers; the outputs of the last are the rows.
    start
        Where to begin.
    descent
        How far to go.

    Returns
    -------
    Mixture
        The best that was met for each box.

    Notes
    -----
    The smallest of rows g_i is nowhere above a mixture of them, so ``max_x min_i g_i <= min_w max_x w . g``, with
    equality for concave g (von Neumann). The derivative of the bound in w_i is what row i makes of the maximizer, which
    is passed on through the lines. Weights move by multiplication, so that they stay weights.
    """
    mixture, best, rate = start.within(steps), start.within(steps), descent.rate
    value = torch.full_like(start.weights[:, 0], torch.inf)
    averages = [Adam(tensor) for tensor in (mixture.weights, *(slope[:, None] for slope in mixture.slopes))]
    for iteration in range(descent.iterations + 1):
        rows, slopes = mixture.weights[:, None], [slope[:, None] for slope in mixture.slopes]
        found = adjoint(steps, support.point, rows, torch.zeros_like(rows[..., 0]), slopes, after)
        better = found.value < value[:, None]
        value = torch.where(better, found.value, value[:, None])[:, 0]
        best = Mixture(
            torch.where(better, mixture.weights, best.weights),
            tuple(torch.where(better, new, old) for new, old in zip(mixture.slopes, best.slopes, strict=True)),
        )
        if iteration == descent.iterations:
            break
        mixture = Mixture(
            _moved_weights(mixture.weights, _each(after, found.activations[:, 0]), averages[0], rate),
            tuple(
                moved_slopes(step, slope, -rate * average.direction(gradient))[:, 0]
                for step, slope, average, gradient in zip(steps, slopes, averages[1:], found.slopes, strict=True)
            ),
        )
        rate *= descent.decay
    return best


def _each(after: Sequence[Map], values: Tensor) -> Tensor:
    for map_ in after:
        values = map_.affine.apply(values)
    return values


def _moved_weights(weights: Tensor, values: Tensor, average: Adam, rate: float) -> Tensor:
    """Return weights (boxes, rows) after a step away from the rows with large values (boxes, rows)."""
    mean = (weights * values).sum(1, keepdim=True)
    moved = weights * torch.exp(-rate * average.direction(values - mean))
    return moved / moved.sum(1, keepdim=True)


def bound_mixture(
    steps: Sequence[Step], support: Support, after: Sequence[Map], mixture: Mixture
) -> tuple[Tensor, Tensor]:
    """Bound the smallest row over each box, sound to rounding, with the slopes of the mixture and those of CROWN.

    Returns
    -------
    bound, coefficients
        Shape (boxes,), and the linear function of the inputs that CROWN's slopes give, (boxes, inputs). It tells better
        where to split: slopes that descended have made up for the inputs that matter most.
    """
    rows = mixture.weights[:, None].expand(-1, 2, -1)
    slopes = [
        torch.stack([slope, step.relaxation.lower_slope], 1) for slope, step in zip(mixture.slopes, steps, strict=True)
    ]
    above = substitute(steps, rows, torch.zeros_like(rows[..., 0]), after=after, slopes=slopes)
    direction = above.coefficients[:, 1].clone()
    value = (support(above.coefficients) + above.constant).amin(1)
    # The weights add up to 1 but for their roundings.
    slack = 2 * (rows.shape[-1] + 4) * torch.finfo(value.dtype).eps
    value = value + slack * value.abs()
    return torch.nextafter(value, torch.full_like(value, torch.inf)), direction
