"""Boxes of inputs in a branch and bound: what is known of each, and how they are split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relu_attack.bounds import Range, RowCombination

# Share of the largest coefficient that the score of every input gets when boxes are split.
_LEAST = 0.1


@dataclass(frozen=True, eq=False)
class Boxes:
    """Parts of a set: boxes of inputs, in which some units keep to one side, and what is known of each.

    Attributes
    ----------
    lower, upper
        Float64, shape (boxes, inputs).
    bound
        No value in a box is larger, in real arithmetic; float64, shape (boxes,).
    slope
        Coefficients of the linear function behind the bound, shape (boxes, inputs).
    ranges
        Ranges of the preactivations, one pair of (boxes, units) a layer.
    mixture
        What gave the bound; None before the first.
    unit
        Which unit to split at, counted through all layers; -1 where an input is to be split instead; shape (boxes,).
    age
        Splits since the ranges were made by back-substitution, shape (boxes,).
    """

    lower: Tensor
    upper: Tensor
    bound: Tensor
    slope: Tensor
    ranges: tuple[Range, ...]
    mixture: RowCombination | None
    unit: Tensor
    age: Tensor

    @staticmethod
    def root(lower: Tensor, upper: Tensor, ranges: tuple[Range, ...] = ()) -> Boxes:
        """Return one box (inputs,) of which no bound is known."""
        lower, upper = lower.reshape(1, -1), upper.reshape(1, -1)
        bound, none = lower.new_full((1,), torch.inf), torch.full((1,), -1)
        return Boxes(lower, upper, bound, torch.zeros_like(lower), ranges, None, none, torch.zeros_like(none))

    def __len__(self) -> int:
        return len(self.bound)

    def select(self, index: Tensor | slice) -> Boxes:
        """Return some of the boxes."""
        plain = {name: getattr(self, name)[index] for name in _PLAIN}
        ranges = tuple((low[index], high[index]) for low, high in self.ranges)
        return Boxes(**plain, ranges=ranges, mixture=self.mixture.select(index) if self.mixture is not None else None)

    @staticmethod
    def join(parts: Sequence[Boxes]) -> Boxes:
        """Return the boxes of all parts."""
        if len(parts) == 1:
            return parts[0]
        plain = {name: torch.cat([getattr(part, name) for part in parts]) for name in _PLAIN}
        ranges = tuple(
            (torch.cat([low for low, _ in layer]), torch.cat([high for _, high in layer]))
            for layer in zip(*(part.ranges for part in parts), strict=True)
        )
        mixtures = [part.mixture for part in parts if part.mixture is not None]
        return Boxes(**plain, ranges=ranges, mixture=RowCombination.join(mixtures) if mixtures else None)

    def vertices(self) -> Tensor:
        """Return the corner of each box at which its linear function is largest, shape (boxes, inputs)."""
        return torch.where(self.slope > 0, self.upper, self.lower)

    def split(self, integer: Tensor) -> tuple[Boxes, Boxes]:
        """Cut each box in two, at its unit or across an input; the halves keep what is known.

        An input that `integer` (inputs,) marks is cut between two whole numbers.
        """
        (low, high), (below, above) = self._split_inputs(integer), self._split_units()
        at_unit = (self.unit >= 0)[:, None]
        return (
            replace(self, upper=torch.where(at_unit, self.upper, high), ranges=below, age=self.age + 1),
            replace(self, lower=torch.where(at_unit, self.lower, low), ranges=above, age=self.age + 1),
        )

    def choose(self, groups: Sequence[Sequence[int]]) -> Boxes:
        """Draw the conclusions of one-hot groups, and drop the boxes in which one has no choice.

        Where an input of a group is 1 the others are 0, and the only one that may be 1 is.
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
        """Return the lower ends of the upper halves and the upper ends of the lower ones, (boxes, inputs) each.

        They are cut across the input that matters most to the bound.

        The score of an input is the share of the bound that its width accounts for, by the linear function behind the
        bound; a part of the largest coefficient is added to each, as those of both signs cancel in it.
        """
        width = self.upper - self.lower
        slope = self.slope.double().abs()
        score = (slope + _LEAST * slope.amax(1, keepdim=True)) * width
        # Where no coefficient tells, the widest input is taken.
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
        """Return which boxes can be split: at a unit, or as some input has a float between its ends, shape (boxes,)."""
        middle = self.lower + (self.upper - self.lower) / 2
        return (self.unit >= 0) | ((middle > self.lower) & (middle < self.upper)).any(1)


_PLAIN = ("lower", "upper", "bound", "slope", "unit", "age")
