"""The best neighbours of integral points: those that differ in one input or choice, or under linear rows in two."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relu_attack.output_constraints import TOLERANCE
from relu_attack.problem import Problem
from relu_attack.solvers.auto._changes import Changes, Moves
from relu_attack.solvers.auto._neighbor_values import NeighborValues

# Maximum number of entries of all neighbours at a time: 16 MiB in float32.
_MAX_NEIGHBOR_NUMBERS = 2**22
# Maximum number of products between two readings of the clock: some tenths of a second of one core.
MAX_PRODUCTS = 2**32
# Pairs of changes that are evaluated where single ones do not gain under linear rows.
_PAIRS = 128
# Maximum number of entries of the rows of all pairs among which these are chosen: 1 MiB.
_MAX_PAIR_NUMBERS = 2**17

Score = tuple[Tensor, Tensor]
"""Violation and value of points, shape (points,) each."""


class IntegerNeighborhoods:
    """Best neighbours of points of one problem.

    Parameters
    ----------
    problem
        A single problem over a set with integer inputs.
    changes
        The changes in its set.
    values
        Values of neighbours.
    generator
        Source of randomness, on the CPU, where there are too many neighbours.
    """

    def __init__(self, problem: Problem, changes: Changes, values: NeighborValues, generator: torch.Generator) -> None:
        self._problem, self._changes, self._values, self._generator = problem, changes, values, generator

    def best(self, x: Tensor, score: Score) -> tuple[Tensor, Tensor]:
        """Return the best neighbours of points x (points, inputs) with a score where they are better, and where.

        Where linear rows leave no better neighbour that differs in one input, those that differ in two are tried: pairs
        that together break no row, with the largest sum of gains (variable neighbourhood descent: Mladenović, Hansen,
        Variable neighborhood search, 1997). They are compared in the dtype of the values of neighbours.
        """
        changes = self._singles(len(x)).expand(len(x), -1, -1)
        moves, place = self._changes.moves(x, changes, within_rows=False)
        found = self._evaluate(x, moves)
        if not self._changes.rows:
            return _best(x, score, moves, found, place, changes)
        effects = self._changes.effects(moves, len(x))
        fits = (effects <= self._changes.room(x)[moves.point]).all(-1)
        gain = _dense(found[1] - score[1][moves.point], place, changes, -math.inf)
        best, better = _best(x, score, moves.select(fits), (found[0][fits], found[1][fits]), place[fits], changes)
        rows = torch.nonzero(~better)[:, 0]
        if len(rows):
            own = x[rows]
            pairs = self._pairs(own, changes[rows], gain[rows], _dense(effects, place, changes, 0.0)[rows])
            moves, place = self._changes.moves(own, pairs)
            of_rows = (score[0][rows], score[1][rows])
            best[rows], better[rows] = _best(own, of_rows, moves, self._evaluate(own, moves), place, pairs)
        return best, better

    def _singles(self, points: int) -> Tensor:
        """Return all single changes, or some of them if they are too many, shape (1, changes, 1)."""
        count, network = len(self._changes), self._problem.network
        numbers = points * max(self._values.width, self._changes.rows)
        affordable = MAX_PRODUCTS // (points * max(network.multiply_adds, 1))
        most = max(min(_MAX_NEIGHBOR_NUMBERS // numbers, affordable), 1)
        if count <= most:
            return torch.arange(count)[None, :, None]
        return torch.randperm(count, generator=self._generator)[None, :most, None]

    def _pairs(self, x: Tensor, changes: Tensor, gain: Tensor, effects: Tensor) -> Tensor:
        """Return the pairs of changes that together break no row with the largest sum of gains.

        Parameters
        ----------
        x, changes, gain, effects
            Points, shape (points, inputs), single changes of each, shape (points, changes, 1), what each gains,
            (points, changes), and what it adds to the rows, (points, changes, rows).

        Returns
        -------
        Tensor
            Shape (points, pairs, 2).
        """
        points, count = gain.shape
        size = min(count, max(int((_MAX_PAIR_NUMBERS / (points * self._changes.rows)) ** 0.5), 2))
        # Half of them gain the most by themselves, the others are random.
        order = gain.argsort(1, descending=True)
        rest = torch.randperm(count - size // 2, generator=self._generator)[: size - size // 2] + size // 2
        some = torch.cat([order[:, : size // 2], order[:, rest]], 1)
        own, gain = effects.gather(1, some[..., None].expand(-1, -1, effects.shape[2])), gain.gather(1, some)
        both = own[:, :, None] + own[:, None]
        fits = (both <= self._changes.room(x)[:, None, None]).all(-1)
        fits &= torch.ones(size, size, dtype=torch.bool).triu(1)
        total = torch.where(fits, gain[:, :, None] + gain[:, None], -math.inf).flatten(1)
        best = total.topk(min(_PAIRS, total.shape[1]), 1)
        own = changes[..., 0]
        one, other = (own.gather(1, some.gather(1, part)) for part in (best.indices // size, best.indices % size))
        # Where fewer pairs fit, the others are the same change twice, which is no move.
        return torch.stack([one, torch.where(torch.isfinite(best.values), other, one)], 2)

    def _evaluate(self, x: Tensor, moves: Moves) -> Score:
        """Return violation and value after moves of points x, as neighbours are compared."""
        outputs = self._values.at(x, moves)
        values, violations = (entry[0] for entry in self._problem.measure(outputs[None]))
        # What overflows float32 is no neighbour.
        unknown = torch.isnan(values)
        violations = torch.where(violations <= TOLERANCE, 0.0, violations)
        return violations.masked_fill(unknown, math.inf), values.masked_fill(unknown, -math.inf)


def is_better(one: Score, other: Score) -> Tensor:
    """Return where the first score is better: by violation, then by value."""
    return (one[0] < other[0]) | ((one[0] == other[0]) & (one[1] > other[1]))


def _best(x: Tensor, score: Score, moves: Moves, found: Score, place: Tensor, changes: Tensor) -> tuple[Tensor, Tensor]:
    """Return points x after the best of some moves where that is better, and where."""
    best = x.clone()
    if not len(place):
        return best, torch.zeros(len(x), dtype=torch.bool)
    violation, value = (
        _dense(part, place, changes, other) for part, other in zip(found, (math.inf, -math.inf), strict=True)
    )
    number = _dense(torch.arange(len(place)).double(), place, changes, 0.0).long()
    least = violation.amin(1, keepdim=True)
    column = torch.where(violation == least, value, -math.inf).argmax(1, keepdim=True)
    better = is_better((least[:, 0], value.gather(1, column)[:, 0]), score)
    best[better] = moves.select(number.gather(1, column)[better, 0]).apply(x)
    return best, better


def _dense(entries: Tensor, place: Tensor, changes: Tensor, other: float) -> Tensor:
    """Return the entries of possible moves among those of all, (points, moves, ...), filled with a number."""
    shape = changes.shape[:2]
    every = torch.full((shape.numel(), *entries.shape[1:]), other, dtype=torch.float64)
    every[place] = entries
    return every.view(*shape, *entries.shape[1:])
