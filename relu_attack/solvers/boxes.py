"""Boxes of inputs in a branch and bound: how they are bounded, split and queued."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from relu_attack.bounds.backward import Map
from relu_attack.bounds.crown import Range, bound_layers
from relu_attack.bounds.interval import activation_range, affine_range
from relu_attack.bounds.mixture import Mixture, bound_mixture, descend_mixture
from relu_attack.bounds.slopes import Descent
from relu_attack.bounds.support import box_support
from relu_attack.network import Affine, Network
from relu_attack.network.operators import Dense

# Share of the largest coefficient that the score of every input gets when boxes are split.
_LEAST = 0.1


@dataclass(frozen=True, eq=False)
class Rows:
    """Functions ``matrix f(x) + offset`` of which the smallest is to be large.

    Attributes
    ----------
    network
        The chain, in the dtype in which boxes are bounded.
    matrix
        Shape (rows, outputs), in that dtype.
    offset
        Shape (rows,), in that dtype.
    """

    network: Network
    matrix: Tensor
    offset: Tensor

    @cached_property
    def affine(self) -> Affine:
        """The rows as a map of the outputs."""
        return Affine(Dense(self.matrix), self.offset)


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes and what is known of each.

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
        Weights of the rows and lower slopes that gave the bound; None before the first.
    age
        Splits since the ranges were made by back-substitution, shape (boxes,).
    """

    lower: Tensor
    upper: Tensor
    bound: Tensor
    slope: Tensor
    ranges: tuple[Range, ...]
    mixture: Mixture | None
    age: Tensor

    def __len__(self) -> int:
        return len(self.bound)

    def take(self, index: Tensor | slice) -> Boxes:
        """Return some of the boxes."""
        ranges = tuple((low[index], high[index]) for low, high in self.ranges)
        mixture = self.mixture.take(index) if self.mixture is not None else None
        return Boxes(
            self.lower[index], self.upper[index], self.bound[index], self.slope[index], ranges, mixture, self.age[index]
        )

    @staticmethod
    def join(parts: Sequence[Boxes]) -> Boxes:
        """Return the boxes of all parts."""
        if len(parts) == 1:
            return parts[0]
        ranges = tuple(
            (torch.cat([low for low, _ in layer]), torch.cat([high for _, high in layer]))
            for layer in zip(*(part.ranges for part in parts), strict=True)
        )
        lower, upper, bound, slope, age = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("lower", "upper", "bound", "slope", "age")
        )
        mixtures = [part.mixture for part in parts if part.mixture is not None]
        return Boxes(lower, upper, bound, slope, ranges, Mixture.join(mixtures) if mixtures else None, age)

    def vertices(self) -> Tensor:
        """Return the corner of each box at which its linear function is largest, shape (boxes, inputs)."""
        return torch.where(self.slope > 0, self.upper, self.lower)

    def split(self, integer: Tensor) -> tuple[Boxes, Boxes]:
        """Cut each box in two across the input that matters most to its bound; the halves keep what is known.

        The score of an input is the share of the bound that its width accounts for, by the linear function behind the
        bound; a part of the largest coefficient is added to each, as those of both signs cancel in it. An input that
        `integer` (inputs,) marks is cut between two whole numbers.
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
        return (
            replace(self, upper=self.upper.scatter(1, place, below), age=self.age + 1),
            replace(self, lower=self.lower.scatter(1, place, above), age=self.age + 1),
        )

    def divisible(self) -> Tensor:
        """Return which boxes can be split: some input has a float between its ends, shape (boxes,)."""
        middle = self.lower + (self.upper - self.lower) / 2
        return ((middle > self.lower) & (middle < self.upper)).any(1)


def bound_boxes(rows: Rows, boxes: Boxes, *, period: int, descent: Descent) -> Boxes:
    """Bound boxes, knowing what is known of the boxes that they were split from.

    Parameters
    ----------
    rows
        What is bounded.
    boxes
        Boxes with the ranges and bounds of their parents.
    period
        Every so many splits the ranges of the units come from back-substitution, in between from intervals, within
        those of the parent; the bound itself always comes from back-substitution.
    descent
        How far weights and slopes go on from those of the parents.

    Returns
    -------
    Boxes
        Nowhere looser than before.
    """
    due = boxes.age % period == 0
    if bool(due.all()) or not bool(due.any()):
        return _bound_alike(rows, boxes, full=bool(due.all()), descent=descent)
    return Boxes.join(
        [_bound_alike(rows, boxes.take(due == full), full=full, descent=descent) for full in (True, False)]
    )


def _bound_alike(rows: Rows, boxes: Boxes, *, full: bool, descent: Descent) -> Boxes:
    network, dtype = rows.network, rows.matrix.dtype
    lower, upper = _rounded(boxes.lower, dtype, -torch.inf), _rounded(boxes.upper, dtype, torch.inf)
    support = box_support(lower, upper)
    ranges, steps = bound_layers(network, lower, upper, support, known=boxes.ranges or None, substituted=full)
    if ranges:
        lower, upper = activation_range(network.layers[-1], *ranges[-1])
    outputs = affine_range(network.output, lower, upper)
    after = (Map.create(network.output, lower, upper), Map.create(rows.affine, *outputs))
    mixture = boxes.mixture or Mixture.first(steps, len(rows.offset), lower)
    mixture = descend_mixture(steps, support, after, mixture, descent)
    found, slope = bound_mixture(steps, support, after, mixture)
    bound = torch.minimum(found.double().nan_to_num(nan=torch.inf), boxes.bound)
    return Boxes(boxes.lower, boxes.upper, bound, slope, tuple(ranges), mixture, boxes.age)


def _rounded(ends: Tensor, dtype: torch.dtype, towards: float) -> Tensor:
    """Return `ends` in a narrower dtype, rounded to one side."""
    narrow = ends.to(dtype)
    moved = torch.nextafter(narrow, torch.full_like(narrow, towards))
    outside = narrow.double() >= ends if towards > 0 else narrow.double() <= ends
    return torch.where(outside, narrow, moved)


class Queue:
    """Open boxes, those with the largest bounds first.

    They stand in sorted runs, one for each time that boxes were added, so that nothing is moved until it is taken.
    """

    def __init__(self) -> None:
        self.count = 0
        self._runs: list[tuple[float, int, Boxes]] = []
        self._numbers = itertools.count()

    @property
    def bound(self) -> float:
        """The largest bound of an open box; minus infinity if there is none."""
        return -self._runs[0][0] if self._runs else -float("inf")

    def add(self, boxes: Boxes) -> None:
        """Add boxes."""
        if len(boxes):
            self._push(boxes.take(boxes.bound.argsort(descending=True)))
            self.count += len(boxes)

    def take(self, count: int) -> Boxes:
        """Take up to `count` boxes out, the most promising run after run."""
        parts, missing = [], count
        while self._runs and missing:
            _, _, run = heapq.heappop(self._runs)
            parts.append(run.take(slice(0, missing)))
            if len(run) > missing:
                self._push(run.take(slice(missing, None)))
            missing -= len(parts[-1])
        self.count -= count - missing
        return Boxes.join(parts)

    def _push(self, run: Boxes) -> None:
        heapq.heappush(self._runs, (-float(run.bound[0]), next(self._numbers), run))
