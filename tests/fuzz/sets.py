"""Random sets given by exact numbers: extreme points in fractions, and membership that nothing rounds."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import Tensor

from relu_attack import Box, Domain, L1Ball, L2Ball, LInfBall, Polytope
from relu_attack.errors import DomainError
from tests.fuzz.linear import Rows, extreme_points

Point = tuple[Fraction, ...]

# What a point of a polytope may break a row by, of the row's own scale: the set's documented tolerance.
ROW_TOLERANCE = Fraction(1, 10**9)


@dataclass(frozen=True)
class DrawnSet:
    """A set, exact points of it, most of them extreme, and exact membership of answers.

    `contains` is exact for boxes and balls; rows of a polytope are allowed their documented tolerance.
    """

    domain: Domain
    points: tuple[Point, ...]
    contains: Callable[[Point], bool]
    label: str
    integer: tuple[int, ...] = field(default=())


def draw_set(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> DrawnSet | None:
    """Draw a set for inputs of a shape; None where the draw is an empty set, which the package has refused."""
    kind = rng.choice(list(KINDS))
    try:
        drawn = KINDS[kind](rng, shape, dtype)
    except DomainError as refusal:
        if any(word in str(refusal) for word in ("empty", "infeasible")):
            return None
        raise
    return drawn if drawn is None or drawn.points else None


def _center(rng: random.Random, inputs: int) -> list[float]:
    scale = 10.0 ** rng.choice([-4, -1, 0, 0, 0, 1, 3, 6])
    return [rng.choice([rng.gauss(0, 1) * scale, rng.randint(-9, 9) / 10, 0.0]) for _ in range(inputs)]


def _width(rng: random.Random, at: float) -> float:
    size = rng.choice([0.0, 1.0, 1.0, 0.1, 1e-4, 1e-8, 1e6])
    return abs(size * rng.random()) if rng.random() < 0.8 else abs(at) * 1e-12


def _tensor(rng: random.Random, values: Sequence[float], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, dtype=rng.choice([dtype, torch.float64])).reshape(shape)


def _exact(tensor: Tensor) -> Point:
    return tuple(Fraction(value) for value in tensor.double().reshape(-1).tolist())


def _corners(rng: random.Random, low: Point, high: Point, most: int = 12) -> list[Point]:
    pairs = list(zip(low, high, strict=True))
    if 2 ** len(pairs) <= most:
        return list(itertools.product(*pairs))
    return [low, high, *(tuple(rng.choice(pair) for pair in pairs) for _ in range(most - 2))]


def _inside(rng: random.Random, low: Point, high: Point) -> Point:
    shares = [Fraction(rng.random()) for _ in low]
    return tuple(a + share * (b - a) for a, b, share in zip(low, high, shares, strict=True))


def _between(low: Point, high: Point) -> Callable[[Point], bool]:
    return lambda x: all(a <= v <= b for a, v, b in zip(low, x, high, strict=True))


def _box(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> DrawnSet:
    inputs = math.prod(shape)
    low = _center(rng, inputs)
    high = [at + _width(rng, at) for at in low]
    lower, upper = (_tensor(rng, end, shape, dtype) for end in (low, high))
    upper = torch.maximum(upper, lower.to(upper.dtype)) if upper.dtype == lower.dtype else upper
    box = Box(lower, upper, shape=shape)
    ends = _exact(lower), _exact(upper)
    points = [*_corners(rng, *ends), _inside(rng, *ends), _inside(rng, *ends)]
    return DrawnSet(box, tuple(points), _between(*ends), "box")


def _integer_box(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> DrawnSet | None:
    inputs = math.prod(shape)
    chosen = tuple(sorted(rng.sample(range(inputs), rng.randint(1, inputs))))
    low = [rng.randint(-4, 2) + rng.choice([0.0, 0.3]) for _ in range(inputs)]
    high = [at + rng.choice([1.0, 2.0, 3.5]) for at in low]
    box = Box(torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64), integer=chosen)
    if len(shape) > 1:
        return None
    ends = [
        [Fraction(math.ceil(a)), Fraction(math.floor(b))] if place in chosen else [Fraction(a), Fraction(b)]
        for place, (a, b) in enumerate(zip(low, high, strict=True))
    ]
    inner = tuple(pair[0] for pair in ends), tuple(pair[1] for pair in ends)
    within = _between(*inner)
    return DrawnSet(
        box,
        tuple(_corners(rng, *inner)),
        lambda x: within(x) and all(x[place].denominator == 1 for place in chosen),
        "integer box",
        chosen,
    )


@dataclass(frozen=True)
class _Ball:
    """The exact numbers of a ball with its clip box, and the point of the clip box nearest to its center."""

    center: Point
    radius: Fraction
    low: Point
    high: Point

    @property
    def nearest(self) -> Point:
        return tuple(min(max(c, a), b) for c, a, b in zip(self.center, self.low, self.high, strict=True))

    def clipped(self, x: Sequence[Fraction]) -> Point:
        return tuple(min(max(v, a), b) for v, a, b in zip(x, self.low, self.high, strict=True))


def _draw_ball(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[_Ball, tuple[object, ...]]:
    """Return exact numbers of a ball, and what its class is called with: center, radius, clip."""
    inputs = math.prod(shape)
    center = _tensor(rng, _center(rng, inputs), shape, dtype)
    radius = rng.choice([0.1, 0.3, 1.0, 1e-3, 1e-6, 0.0, 7.0, 1e4]) * rng.choice([1.0, 1.0, rng.random()])
    exact, given = _exact(center), None
    low = high = None
    if rng.random() < 0.6:
        shift = rng.choice([0.0, 0.5, 0.9, 1.0]) * radius * rng.choice([-1, 1])
        width = rng.choice([0.5, 1.0, 3.0]) * radius
        low = center.double() + shift - (width if shift <= 0 else 0.0)
        high = low + width
        given = (low, high)
        if center.dtype == torch.float32:
            given = low, high = low.float(), high.float()
    infinite = Fraction(10) ** 40
    ends = [
        tuple([side] * inputs) if end is None else _exact(end) for side, end in ((-infinite, low), (infinite, high))
    ]
    return _Ball(exact, Fraction(radius), *ends), (center, radius, given)


def _linf_ball(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> DrawnSet | None:
    ball, (center, radius, clip) = _draw_ball(rng, shape, dtype)
    low = tuple(max(c - ball.radius, a) for c, a in zip(ball.center, ball.low, strict=True))
    high = tuple(min(c + ball.radius, b) for c, b in zip(ball.center, ball.high, strict=True))
    if any(a > b for a, b in zip(low, high, strict=True)):
        return None
    domain = LInfBall(center, radius, clip=clip, shape=shape)
    return DrawnSet(domain, (*_corners(rng, low, high), _inside(rng, low, high)), _between(low, high), "linf ball")


def _l1_ball(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> DrawnSet | None:
    ball, (center, radius, clip) = _draw_ball(rng, shape, dtype)

    def norm(x: Point) -> Fraction:
        return sum((abs(v - c) for v, c in zip(x, ball.center, strict=True)), Fraction(0))

    left = ball.radius - norm(ball.nearest)
    if left < 0:
        return None
    points = [ball.nearest]
    for place, sign in itertools.product(range(len(ball.center)), (-1, 1)):
        own = abs(ball.nearest[place] - ball.center[place])
        moved = list(ball.nearest)
        moved[place] = ball.center[place] + sign * (own + left)
        points.append(ball.clipped(moved))
    domain = L1Ball(center, radius, clip=clip, shape=shape)
    within = _between(ball.low, ball.high)
    return DrawnSet(
        domain,
        _checked(points, lambda x: within(x) and norm(x) <= ball.radius),
        lambda x: within(x) and norm(x) <= ball.radius,
        "l1 ball",
    )


def _l2_ball(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> DrawnSet | None:
    ball, (center, radius, clip) = _draw_ball(rng, shape, dtype)

    def square(x: Point) -> Fraction:
        return sum(((v - c) ** 2 for v, c in zip(x, ball.center, strict=True)), Fraction(0))

    left = ball.radius**2 - square(ball.nearest)
    if left < 0:
        return None
    points = [ball.nearest]
    for place, sign in itertools.product(range(len(ball.center)), (-1, 1)):
        reach = _root_below(left + (ball.nearest[place] - ball.center[place]) ** 2)
        moved = list(ball.nearest)
        moved[place] = ball.center[place] + sign * reach
        points.append(ball.clipped(moved))
    direction = [Fraction(rng.gauss(0, 1)) for _ in ball.center]
    length = sum(v * v for v in direction)
    if length:
        share = _root_below(ball.radius**2 / length)
        points.append(tuple(c + share * v for c, v in zip(ball.center, direction, strict=True)))
    domain = L2Ball(center, radius, clip=clip, shape=shape)
    within = _between(ball.low, ball.high)

    def contains(x: Point) -> bool:
        return within(x) and square(x) <= ball.radius**2

    return DrawnSet(domain, _checked(points, contains), contains, "l2 ball")


def _checked(points: Sequence[Point], contains: Callable[[Point], bool]) -> tuple[Point, ...]:
    return tuple(point for point in points if contains(point))


def _root_below(value: Fraction) -> Fraction:
    """Return a number just below the square root, exact to about 2^-200 of it."""
    if value <= 0:
        return Fraction(0)
    shift = max(0, 400 - value.numerator.bit_length() + value.denominator.bit_length())
    shift += shift % 2
    return Fraction(math.isqrt((value.numerator << shift) // value.denominator), 1 << (shift // 2))


def _polytope(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> DrawnSet | None:
    if len(shape) > 1:
        return None
    inputs = shape[0]
    scale = [10.0 ** rng.choice([-4, 0, 0, 0, 2, 6]) for _ in range(inputs)]
    middle = [rng.uniform(-1, 2) * size for size in scale]
    thin = 10.0 ** rng.choice([0, 0, -3, -6, -9])
    spread = [
        [at + thin * size * rng.uniform(-0.5, 0.5) for at, size in zip(middle, scale, strict=True)] for _ in range(3)
    ]
    inside = [tuple(map(Fraction, point)) for point in (middle, *spread)]
    low = [min(point[i] for point in (middle, *spread)) - rng.choice([0.0, 0.3]) * scale[i] for i in range(inputs)]
    high = [max(point[i] for point in (middle, *spread)) + rng.choice([0.0, 0.5]) * scale[i] for i in range(inputs)]
    matrix, limit = [], []
    for _ in range(rng.randint(1, 4)):
        row = [rng.gauss(0, 1) / size for size in scale]
        if matrix and rng.random() < 0.3:  # nearly parallel to the one before, from the other side
            row = [-entry * (1 + rng.choice([0.0, 1e-9, 1e-6]) * rng.gauss(0, 1)) for entry in matrix[-1]]
        most = max(sum((Fraction(c) * v for c, v in zip(row, point, strict=True)), Fraction(0)) for point in inside)
        value = float(most)
        limit.append(value if Fraction(value) >= most else math.nextafter(value, math.inf))
        matrix.append(row)
    integer: tuple[int, ...] = ()
    rows = Rows.of(matrix, limit, low, high)
    domain = Polytope(matrix, limit, lower=low, upper=high)
    points = [*inside, *extreme_points(rows, rng, inside[0])]
    return DrawnSet(domain, tuple(points), lambda x: rows.violation(x) <= ROW_TOLERANCE, "polytope", integer)


def _simplex(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> DrawnSet | None:
    """Draw one category of each group, as equations and whole numbers have it."""
    if len(shape) > 1 or shape[0] < 2:
        return None
    inputs = shape[0]
    group = list(range(rng.randint(2, inputs)))
    low = [0.0] * inputs
    high = [1.0 if place in group else rng.choice([1.0, 2.5]) for place in range(inputs)]
    points = []
    for chosen in group:
        for corner in _corners(rng, tuple(map(Fraction, low)), tuple(map(Fraction, high)), 4):
            points.append(tuple(Fraction(int(i == chosen)) if i in group else v for i, v in enumerate(corner)))
    make = rng.choice([_one_hot_box, _one_hot_polytope])
    within = _between(tuple(map(Fraction, low)), tuple(map(Fraction, high)))
    return DrawnSet(
        make(low, high, group),
        tuple(points),
        lambda x: within(x) and sorted(x[i] for i in group) == [0] * (len(group) - 1) + [1],
        "one-hot",
        tuple(group),
    )


def _one_hot_box(low: list[float], high: list[float], group: list[int]) -> Domain:
    return Box(low, high, one_hot=[group])


def _one_hot_polytope(low: list[float], high: list[float], group: list[int]) -> Domain:
    return Polytope(lower=low, upper=high, one_hot=[group])


Draw = Callable[[random.Random, tuple[int, ...], torch.dtype], "DrawnSet | None"]
KINDS: dict[str, Draw] = {
    "box": _box,
    "integer box": _integer_box,
    "linf ball": _linf_ball,
    "l1 ball": _l1_ball,
    "l2 ball": _l2_ball,
    "polytope": _polytope,
    "one-hot": _simplex,
}


def drawn_sets(rng: random.Random, shape: tuple[int, ...], dtype: torch.dtype) -> Iterator[DrawnSet]:
    """Draw sets without end, leaving out the empty ones."""
    while True:
        drawn = draw_set(rng, shape, dtype)
        if drawn is not None:
            yield drawn
