"""Upper bounds of the minimum of several linear functions by convex combinations of them (Lagrangian dual)."""

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

    The boxes are `lower` and `upper`, (boxes, inputs), cut by linear constraints `halfspaces`. The rows are the outputs
    of the last of the maps `after`.
    """

    lower: Tensor
    upper: Tensor
    halfspaces: Halfspaces
    steps: Sequence[RelaxedLayer]
    after: Sequence[AffineBound]

    def each(self, activations: Tensor) -> Tensor:
        """Evaluate the rows at activations (boxes, units) of the last layer, (boxes, rows)."""
        for map_ in self.after:
            activations = map_.affine.apply(activations)
        return activations


@dataclass(frozen=True, eq=False)
class RowCombination:
    """Convex combination of rows with lower slopes and multipliers, one for each box.

    The convex `weights` have shape (boxes, rows), the lower `slopes` (boxes, units) in each layer, and
    `set_multipliers` of the set's constraints (boxes, constraints). `split_multipliers`, (boxes, units) in each layer
    or none, belong to the preactivations of split units: positive only where the preactivation is nonnegative on the
    box, and vice versa.
    """

    weights: Tensor
    slopes: tuple[Tensor, ...]
    split_multipliers: tuple[Tensor, ...]
    set_multipliers: Tensor

    @staticmethod
    def first(relaxed: Relaxed, rows: int, *, split_multipliers: bool = False) -> RowCombination:
        """Return equal weights for `rows`, the slopes of the relaxations, and multipliers of 0."""
        lower = relaxed.lower
        slopes = tuple(step.relaxation.lower_slope for step in relaxed.steps)
        return RowCombination(
            lower.new_full((len(lower), rows), 1 / rows),
            slopes,
            tuple(torch.zeros_like(slope) for slope in slopes) if split_multipliers else (),
            lower.new_zeros(len(lower), len(relaxed.halfspaces)),
        )

    @staticmethod
    def join(parts: Sequence[RowCombination]) -> RowCombination:
        """Concatenate combinations of different boxes."""
        slopes, split_multipliers = (
            tuple(torch.cat(layer) for layer in zip(*tensors, strict=True))
            for tensors in ([part.slopes for part in parts], [part.split_multipliers for part in parts])
        )
        return RowCombination(
            torch.cat([part.weights for part in parts]),
            slopes,
            split_multipliers,
            torch.cat([part.set_multipliers for part in parts]),
        )

    def select(self, index: Tensor | slice) -> RowCombination:
        """Return the combinations of a subset of the boxes."""
        slopes, split_multipliers = (
            tuple(tensor[index] for tensor in tensors) for tensors in (self.slopes, self.split_multipliers)
        )
        return RowCombination(self.weights[index], slopes, split_multipliers, self.set_multipliers[index])

    def within(self, steps: Sequence[RelaxedLayer]) -> RowCombination:
        """Return the combination with slopes and multipliers projected to those that the relaxations allow."""
        slopes = [
            torch.where(step.relaxation.adjustable, slope, step.relaxation.lower_slope)
            for step, slope in zip(steps, self.slopes, strict=True)
        ]
        split_multipliers = [
            step.relaxation.project_multipliers(side) for step, side in zip(steps, self.split_multipliers, strict=False)
        ]
        return replace(self, slopes=tuple(slopes), split_multipliers=tuple(split_multipliers))

    def adjoint(self, relaxed: Relaxed) -> Adjoint:
        """Return the bound of the combination on each box, not sound to rounding, with its derivatives."""

        def point(coefficients: Tensor) -> Tensor:
            moved = coefficients - (self.set_multipliers @ relaxed.halfspaces.matrix)[:, None]
            return torch.where(moved > 0, relaxed.upper[:, None], relaxed.lower[:, None])

        rows = self.weights[:, None]
        found = adjoint(
            relaxed.steps,
            point,
            rows,
            torch.zeros_like(rows[..., 0]),
            [slope[:, None] for slope in self.slopes],
            relaxed.after,
            [side[:, None] for side in self.split_multipliers],
        )
        over = self.set_multipliers * (relaxed.halfspaces.limit - found.point[:, 0] @ relaxed.halfspaces.matrix.T)
        return replace(found, value=found.value + over.sum(1, keepdim=True))

    def toward(self, row: Tensor, share: float) -> RowCombination:
        """Return the combination with a fraction of the weight moved to a row of each box (boxes,), -1 for none."""
        alone = torch.nn.functional.one_hot(row.clamp_min(0), self.weights.shape[1])
        share_of_each = share * (row >= 0).to(self.weights.dtype)[:, None]
        return replace(self, weights=torch.lerp(self.weights, alone.to(self.weights.dtype), share_of_each))

    def better(self, other: RowCombination, chosen: Tensor) -> RowCombination:
        """Return this combination for `chosen` boxes (boxes, 1), the other one elsewhere."""

        def choose(mine: Tensor, theirs: Tensor) -> Tensor:
            return torch.where(chosen, mine, theirs)

        slopes, split_multipliers = (
            tuple(map(choose, mine, theirs))
            for mine, theirs in ((self.slopes, other.slopes), (self.split_multipliers, other.split_multipliers))
        )
        return RowCombination(
            choose(self.weights, other.weights),
            slopes,
            split_multipliers,
            choose(self.set_multipliers, other.set_multipliers),
        )


def optimize_combination(
    relaxed: Relaxed, start: RowCombination, optimizer: SlopeOptimizer, *, deadline: Deadline = NEVER
) -> RowCombination:
    """Optimize weights, slopes and multipliers to minimize the upper bound of the combination.

    The best combination of each box until the deadline is returned.

    The minimum of rows g_i is at most any convex combination of them, so ``max_x min_i g_i <= min_w max_x w . g``, with
    equality for concave g (von Neumann). The derivative of the bound in w_i is the value of row i at the maximizer,
    propagated through the relaxations; that in the multiplier of a preactivation is the preactivation there
    (beta-CROWN, 2103.06624, theorem 3.1), and that in the multiplier of a constraint is its slack there. Multiplicative
    updates preserve convex weights; multipliers have the scale of the coefficients that they are added to.
    """
    combination = best = start.within(relaxed.steps)
    value = torch.full_like(start.weights[:, :1], torch.inf)
    move = _Move(relaxed, combination)
    for iteration in range(optimizer.iterations + 1):
        if deadline.passed:
            break
        found = combination.adjoint(relaxed)
        better = found.value < value
        value, best = torch.where(better, found.value, value), combination.better(best, better)
        if iteration < optimizer.iterations:
            combination = move(combination, found, optimizer.rate * optimizer.decay**iteration)
    return best


class _Move:
    """An optimizer step, with the averages of Adam for all variables."""

    def __init__(self, relaxed: Relaxed, start: RowCombination) -> None:
        self._relaxed = relaxed
        self._weights, self._set_multipliers = Adam(start.weights), Adam(start.set_multipliers)
        self._slopes = [Adam(slope[:, None]) for slope in start.slopes]
        self._split_multipliers = [Adam(side) for side in start.split_multipliers]

    def __call__(self, combination: RowCombination, found: Adjoint, rate: float) -> RowCombination:
        """Return the combination after a step against the derivatives at `found`."""
        slopes = [
            moved_slopes(step, slope[:, None], -rate * average.direction(gradient))[:, 0]
            for step, slope, average, gradient in zip(
                self._relaxed.steps, combination.slopes, self._slopes, found.slopes, strict=True
            )
        ]
        return RowCombination(
            self._moved_weights(combination.weights, self._relaxed.each(found.activations[:, 0]), rate),
            tuple(slopes),
            tuple(self._moved_split_multipliers(combination, found, rate)),
            self._moved_set_multipliers(combination.set_multipliers, found, rate),
        )

    def _moved_weights(self, weights: Tensor, values: Tensor, rate: float) -> Tensor:
        if weights.shape[1] == 1:
            return weights
        mean = (weights * values).sum(1, keepdim=True)
        moved = weights * torch.exp(-rate * self._weights.direction(values - mean))
        return moved / moved.sum(1, keepdim=True)

    def _moved_split_multipliers(self, combination: RowCombination, found: Adjoint, rate: float) -> list[Tensor]:
        moved = []
        for index, (side, average) in enumerate(
            zip(combination.split_multipliers, self._split_multipliers, strict=True)
        ):
            size = rate * found.coefficients[index][:, 0].abs().mean(1, keepdim=True)
            direction = average.direction(found.preactivations[index][:, 0])
            moved.append(self._relaxed.steps[index].relaxation.project_multipliers(side - size * direction))
        return moved

    def _moved_set_multipliers(self, set_multipliers: Tensor, found: Adjoint, rate: float) -> Tensor:
        halfspaces = self._relaxed.halfspaces
        if not len(halfspaces):
            return set_multipliers
        left = halfspaces.limit - found.point[:, 0] @ halfspaces.matrix.T
        # Variation of the function and of each row over a box, as inputs have units of their own.
        width = self._relaxed.upper - self._relaxed.lower
        size = (found.input_coefficients[:, 0].abs() * width).sum(1, keepdim=True) / (
            width @ halfspaces.matrix.abs().T + tiny(width.dtype)
        )
        return halfspaces.project_to_dual_cone(set_multipliers - rate * size * self._set_multipliers.direction(left))


def bound_combinations(
    relaxed: Relaxed, combination: RowCombination, own: Tensor, plain: Tensor
) -> tuple[Tensor, Tensor]:
    """Bound convex combinations of the rows over each box, sound to rounding.

    `own` and `plain` are weights (boxes, combinations, rows), at least one of each: the former are bounded with the
    slopes and multipliers of `combination`, the latter with the slopes of CROWN. Returned are bounds in real
    arithmetic, first of `own`, then of `plain`, and the coefficients of the linear bound of the first of `plain` with
    the multipliers of the set. These are the better criterion for splits, since optimized slopes compensate for the
    most important inputs.
    """
    rows = torch.cat([own, plain], 1)

    def spread(descended: Tensor, other: Tensor) -> Tensor:
        return torch.cat(
            [descended[:, None].expand(-1, own.shape[1], -1), other[:, None].expand(-1, plain.shape[1], -1)], 1
        )

    each = zip(combination.slopes, relaxed.steps, strict=True)
    slopes = [spread(slope, step.relaxation.lower_slope) for slope, step in each]
    split_multipliers = [spread(side, torch.zeros_like(side)) for side in combination.split_multipliers]
    none = torch.zeros_like(rows[..., 0])
    above = substitute(relaxed.steps, rows, none, after=relaxed.after, slopes=slopes, multipliers=split_multipliers)
    coefficients, constant = above.coefficients, above.constant
    directions = coefficients[:, own.shape[1]] - combination.set_multipliers @ relaxed.halfspaces.matrix
    if len(relaxed.halfspaces):
        set_multipliers = spread(combination.set_multipliers, torch.zeros_like(combination.set_multipliers))
        value = relaxed.halfspaces.bound(
            coefficients, set_multipliers, (relaxed.lower[:, None], relaxed.upper[:, None])
        )
    else:
        value = box_support(relaxed.lower, relaxed.upper)(coefficients)
    return up(value + constant), directions
