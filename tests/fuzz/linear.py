"""Linear rows in fractions: membership, and points where as many rows as there are inputs hold with equality."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Point = tuple[Fraction, ...]

# Corners that are solved for: each takes a few milliseconds.
MOST_CORNERS = 40


@dataclass(frozen=True)
class Rows:
    """Rows ``matrix x <= limit``, the bounds of the inputs among them, and the scale of each."""

    matrix: tuple[Point, ...]
    limit: Point
    scale: Point

    @staticmethod
    def of(
        matrix: Sequence[Sequence[float]], limit: Sequence[float], low: Sequence[float], high: Sequence[float]
    ) -> Rows:
        """Return the rows of a polytope with its bounds."""
        inputs = len(low)
        unit = [[float(i == j) for j in range(inputs)] for i in range(inputs)]
        rows = [*matrix, *([-v for v in row] for row in unit), *unit]
        limits = [*limit, *(-v for v in low), *high]
        scales = [max(math.hypot(*row), abs(value)) or 1.0 for row, value in zip(matrix, limit, strict=True)]
        bounds = [max(1.0, abs(value)) for value in (*low, *high)]
        return Rows(
            tuple(tuple(map(Fraction, row)) for row in rows),
            tuple(map(Fraction, limits)),
            tuple(map(Fraction, (*scales, *bounds))),
        )

    def room(self, x: Point) -> list[Fraction]:
        """Return what each row leaves at a point, below 0 where it is broken."""
        return [
            limit - sum((c * v for c, v in zip(row, x, strict=True)), Fraction(0))
            for row, limit in zip(self.matrix, self.limit, strict=True)
        ]

    def violation(self, x: Point) -> Fraction:
        """Return by how much a point breaks a row at most, relative to its scale."""
        return max(-room / scale for room, scale in zip(self.room(x), self.scale, strict=True))


def extreme_points(rows: Rows, rng: random.Random, start: Point) -> list[Point]:
    """Return corners of the set, and points of its sides that are reached along the axes from a point of it."""
    inputs = len(start)
    found = []
    for chosen in _chosen_rows(len(rows.limit), inputs, rng):
        corner = _solve([rows.matrix[i] for i in chosen], [rows.limit[i] for i in chosen])
        if corner is not None and min(rows.room(corner)) >= 0:
            found.append(corner)
    at = start
    for _ in range(2 * inputs):
        place, sign = rng.randrange(inputs), rng.choice([-1, 1])
        steps = [
            room / (sign * row[place])
            for row, room in zip(rows.matrix, rows.room(at), strict=True)
            if sign * row[place] > 0
        ]
        at = tuple(v + sign * min(steps) if i == place else v for i, v in enumerate(at))
        found.append(at)
    return found


def _chosen_rows(rows: int, inputs: int, rng: random.Random) -> list[tuple[int, ...]]:
    if math.comb(rows, inputs) <= MOST_CORNERS:
        return list(itertools.combinations(range(rows), inputs))
    return [tuple(rng.sample(range(rows), inputs)) for _ in range(MOST_CORNERS)]


def _solve(matrix: Sequence[Point], limit: Sequence[Fraction]) -> Point | None:
    """Solve a square system by elimination; None where it is singular."""
    rows = [[*row, value] for row, value in zip(matrix, limit, strict=True)]
    size = len(rows)
    for column in range(size):
        pivot = next((i for i in range(column, size) if rows[i][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for i in range(size):
            if i != column and rows[i][column]:
                factor = rows[i][column]
                rows[i] = [value - factor * other for value, other in zip(rows[i], rows[column], strict=True)]
    return tuple(row[-1] for row in rows)
