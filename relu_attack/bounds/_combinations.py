"""One bound for the smallest of several rows: that of a mixture of them, chosen together with all that is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds._backward import AffineBound, RelaxedLayer, substitute
from relu_attack.bounds._slopes import Adam, Adjoint, SlopeOptimizer, adjoint, moved_slopes
from relu_attack.domains import Halfspaces, box_support
from relu_attack.rounding import tiny, up


@dataclass(frozen=True, eq=False)
class Relaxed:
    """Rows over the outputs of a network, relaxed on boxes of inputs.

    Attributes
    ----------
    lower, upper
        The boxes, shape (boxes, inputs).
    halfspaces
        Rows that hold beside the boxes.
    steps
        The layers and their lines.
    after
        Maps after the layers; the outputs of the last are the rows.
    """

    lower: Tensor
    upper: Tensor
    halfspaces: Halfspaces
    steps: Sequence[RelaxedLayer]
    after: Sequence[AffineBound]

    def each(self, activations: Tensor) -> Tensor:
        """Return the rows at activations (boxes, units) of the last layer, (boxes, rows)."""
        for map_ in self.after:
            activations = map_.affine.apply(activations)
        return activations


@dataclass(frozen=True, eq=False)
class RowCombination:
    """Weights of rows, lower slopes and multipliers, one of each for a box.

    Attributes
    ----------
    weights
        Shape (boxes, rows), not negative, with a sum of 1 but for rounding.
    slopes
        One tensor a layer, shape (boxes, units).
    sides
        Multipliers of the preactivations, (boxes, units) a layer: positive only where none is negative on the box, and
        the other way round. Empty when no box was split at a unit.
    faces
        Multipliers of the set's own rows, shape (boxes, rows of the set).
    """

    weights: Tensor
    slopes: tuple[Tensor, ...]
    sides: tuple[Tensor, ...]
    faces: Tensor

    @staticmethod
    def first(relaxed: Relaxed, rows: int, *, sides: bool = False) -> RowCombination:
        """Return equal weights for `rows`, the slopes of the relaxations, and multipliers of 0."""
        lower = relaxed.lower
        slopes = tuple(step.relaxation.lower_slope for step in relaxed.steps)
        return RowCombination(
            lower.new_full((len(lower), rows), 1 / rows),
            slopes,
            tuple(torch.zeros_like(slope) for slope in slopes) if sides else (),
            lower.new_zeros(len(lower), len(relaxed.halfspaces)),
        )

    @staticmethod
    def join(parts: Sequence[RowCombination]) -> RowCombination:
        """Return the mixtures of all parts."""
        slopes, sides = (
            tuple(torch.cat(layer) for layer in zip(*tensors, strict=True))
            for tensors in ([part.slopes for part in parts], [part.sides for part in parts])
        )
        return RowCombination(
            torch.cat([part.weights for part in parts]), slopes, sides, torch.cat([part.faces for part in parts])
        )

    def select(self, index: Tensor | slice) -> RowCombination:
        """Return the mixtures of some of the boxes."""
        slopes, sides = (tuple(tensor[index] for tensor in tensors) for tensors in (self.slopes, self.sides))
        return RowCombination(self.weights[index], slopes, sides, self.faces[index])

    def within(self, steps: Sequence[RelaxedLayer]) -> RowCombination:
        """Return the mixture with the slopes of the relaxations where no other would do, and admitted multipliers."""
        slopes = [
            torch.where(step.relaxation.adjustable, slope, step.relaxation.lower_slope)
            for step, slope in zip(steps, self.slopes, strict=True)
        ]
        sides = [step.relaxation.admit(side) for step, side in zip(steps, self.sides, strict=False)]
        return replace(self, slopes=tuple(slopes), sides=tuple(sides))

    def adjoint(self, relaxed: Relaxed) -> Adjoint:
        """Return the bound of the mixture on each box, not sound to rounding, and where it is attained."""

        def point(coefficients: Tensor) -> Tensor:
            moved = coefficients - (self.faces @ relaxed.halfspaces.matrix)[:, None]
            return torch.where(moved > 0, relaxed.upper[:, None], relaxed.lower[:, None])

        rows = self.weights[:, None]
        found = adjoint(
            relaxed.steps,
            point,
            rows,
            torch.zeros_like(rows[..., 0]),
            [slope[:, None] for slope in self.slopes],
            relaxed.after,
            [side[:, None] for side in self.sides],
        )
        over = self.faces * (relaxed.halfspaces.limit - found.point[:, 0] @ relaxed.halfspaces.matrix.T)
        return replace(found, value=found.value + over.sum(1, keepdim=True))

    def toward(self, row: Tensor, share: float) -> RowCombination:
        """Return the mixture with a share of the weights moved to one row of each box, (boxes,), none if negative."""
        alone = torch.nn.functional.one_hot(row.clamp_min(0), self.weights.shape[1])
        share_of_each = share * (row >= 0).to(self.weights.dtype)[:, None]
        return replace(self, weights=torch.lerp(self.weights, alone.to(self.weights.dtype), share_of_each))

    def better(self, other: RowCombination, chosen: Tensor) -> RowCombination:
        """Return this mixture where boxes are `chosen` (boxes, 1), the other elsewhere."""

        def choose(mine: Tensor, theirs: Tensor) -> Tensor:
            return torch.where(chosen, mine, theirs)

        slopes, sides = (
            tuple(map(choose, mine, theirs))
            for mine, theirs in ((self.slopes, other.slopes), (self.sides, other.sides))
        )
        return RowCombination(choose(self.weights, other.weights), slopes, sides, choose(self.faces, other.faces))


def optimize_combination(
    relaxed: Relaxed, start: RowCombination, descent: SlopeOptimizer, *, deadline: Deadline = NEVER
) -> RowCombination:
    """Choose weights, slopes and multipliers so that the upper bound of the mixture comes down.

    Parameters
    ----------
    relaxed
        What is bounded.
    start
        Where to begin.
    descent
        How far to go.
    deadline
        When to stop, with the best of that moment.

    Returns
    -------
    RowCombination
        The best that was met for each box.

    Notes
    -----
    The smallest of rows g_i is nowhere above a mixture of them, so ``max_x min_i g_i <= min_w max_x w . g``, with
    equality for concave g (von Neumann). The derivative of the bound in w_i is what row i makes of the maximizer, which
    is passed on through the lines; that in the multiplier of a preactivation is the preactivation there (beta-CROWN,
    2103.06624, theorem 3.1), and that in the multiplier of a row of the set is what the row leaves there. Weights move
    by multiplication, so that they stay weights; multipliers have the scale of the coefficients that they are added to.
    """
    mixture = best = start.within(relaxed.steps)
    value = torch.full_like(start.weights[:, :1], torch.inf)
    move = _Move(relaxed, mixture)
    for iteration in range(descent.iterations + 1):
        if deadline.passed:
            break
        found = mixture.adjoint(relaxed)
        better = found.value < value
        value, best = torch.where(better, found.value, value), mixture.better(best, better)
        if iteration < descent.iterations:
            mixture = move(mixture, found, descent.rate * descent.decay**iteration)
    return best


class _Move:
    """A step of descent, with the averages of Adam for everything that moves."""

    def __init__(self, relaxed: Relaxed, start: RowCombination) -> None:
        self._relaxed = relaxed
        self._weights, self._faces = Adam(start.weights), Adam(start.faces)
        self._slopes = [Adam(slope[:, None]) for slope in start.slopes]
        self._sides = [Adam(side) for side in start.sides]

    def __call__(self, mixture: RowCombination, found: Adjoint, rate: float) -> RowCombination:
        """Return the mixture after a step against the derivatives at `found`."""
        slopes = [
            moved_slopes(step, slope[:, None], -rate * average.direction(gradient))[:, 0]
            for step, slope, average, gradient in zip(
                self._relaxed.steps, mixture.slopes, self._slopes, found.slopes, strict=True
            )
        ]
        return RowCombination(
            self._moved_weights(mixture.weights, self._relaxed.each(found.activations[:, 0]), rate),
            tuple(slopes),
            tuple(self._moved_sides(mixture, found, rate)),
            self._moved_faces(mixture.faces, found, rate),
        )

    def _moved_weights(self, weights: Tensor, values: Tensor, rate: float) -> Tensor:
        if weights.shape[1] == 1:
            return weights
        mean = (weights * values).sum(1, keepdim=True)
        moved = weights * torch.exp(-rate * self._weights.direction(values - mean))
        return moved / moved.sum(1, keepdim=True)

    def _moved_sides(self, mixture: RowCombination, found: Adjoint, rate: float) -> list[Tensor]:
        moved = []
        for index, (side, average) in enumerate(zip(mixture.sides, self._sides, strict=True)):
            size = rate * found.coefficients[index][:, 0].abs().mean(1, keepdim=True)
            direction = average.direction(found.preactivations[index][:, 0])
            moved.append(self._relaxed.steps[index].relaxation.admit(side - size * direction))
        return moved

    def _moved_faces(self, faces: Tensor, found: Adjoint, rate: float) -> Tensor:
        halfspaces = self._relaxed.halfspaces
        if not len(halfspaces):
            return faces
        left = halfspaces.limit - found.point[:, 0] @ halfspaces.matrix.T
        # What the whole function and each row vary by over a box: inputs have units of their own.
        width = self._relaxed.upper - self._relaxed.lower
        size = (found.input_coefficients[:, 0].abs() * width).sum(1, keepdim=True) / (
            width @ halfspaces.matrix.abs().T + tiny(width.dtype)
        )
        return halfspaces.admit(faces - rate * size * self._faces.direction(left))


def bound_combinations(relaxed: Relaxed, mixture: RowCombination, own: Tensor, plain: Tensor) -> tuple[Tensor, Tensor]:
    """Bound mixtures of the rows over each box, sound to rounding.

    Parameters
    ----------
    relaxed
        What is bounded.
    mixture
        Slopes and multipliers.
    own, plain
        Weights, (boxes, mixtures, rows): of mixtures that are bounded with those slopes and multipliers, and of others
        that are bounded with the slopes of CROWN; at least one of each.

    Returns
    -------
    bounds, coefficients
        In real arithmetic, first `own`, then `plain`, (boxes, mixtures). And the linear function of the inputs that the
        first of `plain` gives with the multipliers of the set's rows, (boxes, inputs). It tells better where to split:
        slopes that descended have made up for the inputs that matter most.
    """
    rows = torch.cat([own, plain], 1)

    def spread(descended: Tensor, other: Tensor) -> Tensor:
        return torch.cat(
            [descended[:, None].expand(-1, own.shape[1], -1), other[:, None].expand(-1, plain.shape[1], -1)], 1
        )

    each = zip(mixture.slopes, relaxed.steps, strict=True)
    slopes = [spread(slope, step.relaxation.lower_slope) for slope, step in each]
    sides = [spread(side, torch.zeros_like(side)) for side in mixture.sides]
    none = torch.zeros_like(rows[..., 0])
    above = substitute(relaxed.steps, rows, none, after=relaxed.after, slopes=slopes, multipliers=sides)
    coefficients, constant = above.coefficients, above.constant
    directions = coefficients[:, own.shape[1]] - mixture.faces @ relaxed.halfspaces.matrix
    if len(relaxed.halfspaces):
        faces = spread(mixture.faces, torch.zeros_like(mixture.faces))
        value = relaxed.halfspaces.bound(coefficients, faces, (relaxed.lower[:, None], relaxed.upper[:, None]))
    else:
        value = box_support(relaxed.lower, relaxed.upper)(coefficients)
    return up(value + constant), directions
