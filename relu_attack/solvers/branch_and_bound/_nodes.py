"""Nodes of branch and bound: boxes of inputs with ranges of the units, and their splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relu_attack.bounds import Range, RowCombination

# Share of the largest coefficient that is added to each coefficient in the branching score of inputs.
_COEFFICIENT_FLOOR = 0.1


@dataclass(frozen=True, eq=False)
class Nodes:
    """A batch of nodes: boxes of inputs, units fixed to one side, and the bounds of each.

    The boxes are `lower` and `upper`, (boxes, inputs). `bound`, (boxes,), holds in real arithmetic; `slope`, (boxes,
    inputs), are the coefficients of the linear function behind it, and `combination` its weights, slopes and
    multipliers, None before the first. `ranges` of the preactivations are a pair of (boxes, units) a layer. `unit`,
    (boxes,), is the one to split, counted over all layers, or -1 to split an input, and `age` the number of splits
    since the last back-substitution of all units.
    """

    lower: Tensor
    upper: Tensor
    bound: Tensor
    slope: Tensor
    ranges: tuple[Range, ...]
    combination: RowCombination | None
    unit: Tensor
    age: Tensor

    @staticmethod
    def root(lower: Tensor, upper: Tensor, ranges: tuple[Range, ...] = ()) -> Nodes:
        """Return the root node with the box (inputs,), without a bound."""
        lower, upper = lower.reshape(1, -1), upper.reshape(1, -1)
        bound, none = lower.new_full((1,), torch.inf), torch.full((1,), -1)
        return Nodes(lower, upper, bound, torch.zeros_like(lower), ranges, None, none, torch.zeros_like(none))

    def __len__(self) -> int:
        return len(self.bound)

    def select(self, index: Tensor | slice) -> Nodes:
        """Return some of the nodes."""
        plain = {name: getattr(self, name)[index] for name in _PLAIN}
        ranges = tuple((low[index], high[index]) for low, high in self.ranges)
        return Nodes(
            **plain, ranges=ranges, combination=self.combination.select(index) if self.combination is not None else None
        )

    @staticmethod
    def join(parts: Sequence[Nodes]) -> Nodes:
        """Return the nodes of all parts."""
        if len(parts) == 1:
            return parts[0]
        plain = {name: torch.cat([getattr(part, name) for part in parts]) for name in _PLAIN}
        ranges = tuple(
            (torch.cat([low for low, _ in layer]), torch.cat([high for _, high in layer]))
            for layer in zip(*(part.ranges for part in parts), strict=True)
        )
        combinations = [part.combination for part in parts if part.combination is not None]
        return Nodes(**plain, ranges=ranges, combination=RowCombination.join(combinations) if combinations else None)

    def vertices(self) -> Tensor:
        """Return the corner of each box at which its linear function is largest, shape (boxes, inputs)."""
        return torch.where(self.slope > 0, self.upper, self.lower)

    def split(self, integer: Tensor) -> tuple[Nodes, Nodes]:
        """Split each node in two, at its unit or across an input; the children inherit its bounds.

        An input marked by `integer` (inputs,) is split between two integers.
        """
        (low, high), (below, above) = self._split_inputs(integer), self._split_units()
        at_unit = (self.unit >= 0)[:, None]
        return (
            replace(self, upper=torch.where(at_unit, self.upper, high), ranges=below, age=self.age + 1),
            replace(self, lower=torch.where(at_unit, self.lower, low), ranges=above, age=self.age + 1),
        )

    def choose(self, groups: Sequence[Sequence[int]]) -> Nodes:
        """Propagate one-hot groups, and drop nodes in which a group has no feasible choice.

        Where an input of a group is 1 the others are 0; an input is 1 where it is the only one that can be.
        """
        if not groups:
            return self
        lower, upper = self.lower.clone(), self.upper.clone()
        kept = torch.ones(len(self), dtype=torch.bool)
        for members in map(list, groups):
            low, high = lower[:, members], upper[:, members]
            chosen = low > 0
            high = torch.where(chosen.any(1, keepdim=True) & ~chosen, 0.0, high)
            left = high > 0
            lower[:, members] = torch.where(left & (left.sum(1, keepdim=True) == 1), 1.0, low)
            upper[:, members] = high
            kept &= left.any(1) & (chosen.sum(1) <= 1)
        return replace(self, lower=lower, upper=upper).select(kept)

    def _split_inputs(self, integer: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lower ends of the upper children and the upper ends of the lower ones, (boxes, inputs) each.

        The input with the largest score is split: coefficient of the linear bound times width. A share of the largest
        coefficient is added to each, since contributions of both signs cancel in a coefficient.
        """
        width = self.upper - self.lower
        slope = self.slope.double().abs()
        score = (slope + _COEFFICIENT_FLOOR * slope.amax(1, keepdim=True)) * width
        # Where all coefficients are zero, the widest input is split.
        score = torch.where(score.amax(1, keepdim=True) > 0, score, width)
        place = score.argmax(1, keepdim=True)
        middle = (self.lower + width / 2).gather(1, place)
        whole = integer[place]
        below, above = torch.where(whole, middle.floor(), middle), torch.where(whole, middle.floor() + 1, middle)
        return self.lower.scatter(1, place, above), self.upper.scatter(1, place, below)

    def _split_units(self) -> tuple[tuple[Range, ...], tuple[Range, ...]]:
        """Return the ranges with the unit of each box that has one at most 0, and those with it at least 0."""
        below, above, first = [], [], 0
        for low, high in self.ranges:
            place = (self.unit - first)[:, None] == torch.arange(low.shape[1])
            below.append((low, high.masked_fill(place, 0.0)))
            above.append((low.masked_fill(place, 0.0), high))
            first += low.shape[1]
        return tuple(below), tuple(above)

    def divisible(self) -> Tensor:
        """Return which nodes can be split: at a unit, or at an input with a float between its ends, shape (boxes,)."""
        middle = self.lower + (self.upper - self.lower) / 2
        return (self.unit >= 0) | ((middle > self.lower) & (middle < self.upper)).any(1)


_PLAIN = ("lower", "upper", "bound", "slope", "unit", "age")
