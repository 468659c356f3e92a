"""The two faces of sets, in fractions: no exact point lies outside the bounding box, every answer lies in the set."""

import itertools
import math
import random
from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_attack.domains import Box, Domain, L1Ball, L2Ball, LInfBall, Polytope
from relu_attack.domains._ball import ClippedBall
from relu_attack.errors import DomainError
from relu_attack.rounding import down, up

Rows = list[tuple[list[Fraction], Fraction]]
seeds = st.integers(0, 2**31 - 1)
some = settings(max_examples=15, deadline=None, derandomize=True)
BALLS = [LInfBall, L2Ball, L1Ball]


def fractions(numbers: torch.Tensor) -> list[Fraction]:
    return [Fraction(number) for number in numbers.reshape(-1).tolist()]


def holds(ball: type, offset: list[Fraction], radius: Fraction) -> bool:
    """Say whether an exact offset is within a radius in the norm of a ball."""
    if ball is LInfBall:
        return max(map(abs, offset)) <= radius
    return sum(map(abs, offset)) <= radius if ball is L1Ball else sum(x * x for x in offset) <= radius * radius


def require_around(domain: Domain, *points: list[Fraction]) -> None:
    """Require that exact points are within what a set, and its copies in both dtypes, say for proofs.

    They lie in the bounding box, no linear function is above its upper bound there, and no box with one is excluded.
    """
    if not points:
        return
    near = torch.tensor([[float(number) for number in point] for point in points], dtype=torch.float64)
    rows = torch.randn(3, domain.inputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = torch.cat([rows / near[0].abs().clamp_min(1e-3), torch.ones_like(rows[:1])])
    for dtype, coefficients in ((torch.float32, rows), (torch.float64, rows), (torch.float64, rows.float())):
        copy = domain.to(dtype=dtype)
        low, high = (fractions(end) for end in (copy.bounding_box().lower, copy.bounding_box().upper))
        bounds = fractions(copy.upper_bound(coefficients))
        for point in points:
            assert all(a <= number <= b for number, a, b in zip(point, low, high, strict=True))
            for row, bound in zip(coefficients, bounds, strict=True):
                assert sum(c * x for c, x in zip(fractions(row), point, strict=True)) <= bound
        assert not bool(copy.excludes(down(near), up(near)).any())


def draw_ball(kind: type, source: random.Random) -> tuple[ClippedBall | LInfBall, Fraction, list[list[Fraction]]]:
    """Return a ball, its exact radius, and its exact center and clip bounds; the clip box may be just within reach."""
    dtype, inputs = source.choice([torch.float32, torch.float64]), source.randint(1, 4)
    scale = source.choice([1e-4, 1.0, 1e6])
    center = torch.tensor([source.gauss(0, scale) for _ in range(inputs)], dtype=torch.float64).to(dtype)
    away = [source.choice([0.0, 0.0, source.random()]) * scale for _ in range(inputs)]
    low = center.double() + torch.tensor(away, dtype=torch.float64)
    high = low + torch.tensor([source.choice([0.0, 1.0, 3.0]) * scale for _ in range(inputs)], dtype=torch.float64)
    if source.random() < 0.5:  # numbers that a float32 center has no equal of
        low, high = low.to(dtype), high.to(dtype)
    exact_low = fractions(low)
    distance = [max(x - c, Fraction(0)) for x, c in zip(exact_low, fractions(center), strict=True)]
    norm = {LInfBall: max(distance), L1Ball: sum(distance), L2Ball: Fraction(math.sqrt(sum(x * x for x in distance)))}
    radius = float(norm[kind]) * (1 + source.choice([0.0, 1e-16, 1e-12, 0.5])) + source.choice([0.0, scale, 0.1])
    for _ in range(source.randint(0, 3)):
        radius = math.nextafter(radius, math.inf)
    ball = kind(center, radius, clip=(low, high))
    return ball, Fraction(radius), [fractions(center), exact_low, fractions(high)]


def extreme_points(kind: type, radius: Fraction, numbers: list[list[Fraction]]) -> Iterator[list[Fraction]]:
    """Yield exact points of a ball in its clip box, each with one input as far out as fractions show it to be."""
    center, low, high = numbers
    base = [min(max(c, a), b) for c, a, b in zip(center, low, high, strict=True)]
    if not holds(kind, [x - c for x, c in zip(base, center, strict=True)], radius):
        return
    for place, end in itertools.product(range(len(center)), (low, high)):
        inside, outside = base[place], end[place]
        for _ in range(60):
            middle = (inside + outside) / 2
            point = [*base[:place], middle, *base[place + 1 :]]
            if holds(kind, [x - c for x, c in zip(point, center, strict=True)], radius):
                inside = middle
            else:
                outside = middle
        yield [*base[:place], inside, *base[place + 1 :]]


@pytest.mark.parametrize("kind", BALLS)
@given(seed=seeds)
@some
def test_no_exact_point_of_a_ball_is_outside_its_box(kind: type, seed: int) -> None:
    try:
        ball, radius, numbers = draw_ball(kind, random.Random(seed))
    except DomainError:  # no number of the dtype is in it
        return
    require_around(ball, *extreme_points(kind, radius, numbers))


@pytest.mark.parametrize("kind", BALLS)
@given(seed=seeds)
@some
def test_answers_of_a_ball_are_within_the_radius_exactly(kind: type, seed: int) -> None:
    source = random.Random(seed)
    try:
        ball, radius, (center, low, high) = draw_ball(kind, source)
    except DomainError:
        return
    generator = torch.Generator().manual_seed(seed % 1000)
    direction = torch.randn(6, ball.inputs, generator=generator, dtype=torch.float64)
    size = float(radius) * 10.0 ** source.choice([-3, 0, 3])
    answers = [
        ball.project((ball.center_point.double() + size * direction).to(ball.dtype)),
        ball.project((ball.center_point.double() + 1e-17 * direction).to(ball.dtype)),
        ball.maximizer(direction), ball.sample(6, generator=generator), ball.center()[None],
    ]  # fmt: skip
    for answer in torch.cat(answers).double():
        exact = fractions(answer)
        assert holds(kind, [x - c for x, c in zip(exact, center, strict=True)], radius)
        assert all(a <= x <= b for x, a, b in zip(exact, low, high, strict=True))
        assert float(ball.violation(answer)) == 0


@pytest.mark.parametrize("kind", [L2Ball, L1Ball])
@given(seed=seeds)
@some
def test_a_point_is_inside_a_ball_exactly_where_fractions_say_so(kind: type, seed: int) -> None:
    source = random.Random(seed)
    x = torch.tensor([source.choice([0.0, source.random(), 3.0, 4.0]) for _ in range(3)], dtype=torch.float64)
    center = torch.tensor([source.choice([0.0, 0.1]) for _ in range(3)], dtype=torch.float64)
    offset = [a - b for a, b in zip(fractions(x), fractions(center), strict=True)]
    norm = float(sum(map(abs, offset)) if kind is L1Ball else math.sqrt(sum(a * a for a in offset)))
    for radius in (math.nextafter(norm, 0), norm, math.nextafter(norm, math.inf)):
        assert bool(kind(center, radius).contains(x)) == holds(kind, offset, Fraction(radius))


def test_numbers_beside_a_float32_tensor_keep_their_value_for_proofs() -> None:
    box = Box(torch.zeros(2), 0.1)
    assert (box.dtype, box.to(dtype=torch.float64).upper.tolist()) == (torch.float32, [0.1, 0.1])
    assert Fraction(box.upper[0].item()) < Fraction(0.1) < Fraction(box.bounding_box().upper[0].item())
    require_around(box, [Fraction(0.1), Fraction(0)])
    ball = LInfBall(torch.tensor([3e-9]), 0.1, clip=(-1.0, 0.7))
    require_around(ball, [Fraction(ball.center_point.item()) + Fraction(0.1)])


def solve(matrix: list[list[Fraction]], values: list[Fraction]) -> list[Fraction] | None:
    size, rows = len(matrix), [[*row, value] for row, value in zip(matrix, values, strict=True)]
    for column in range(size):
        pivot = next((row for row in range(column, size) if rows[row][column] != 0), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [entry / rows[column][column] for entry in rows[column]]
        for row in range(size):
            if row != column and rows[row][column] != 0:
                rows[row] = [a - rows[row][column] * b for a, b in zip(rows[row], rows[column], strict=True)]
    return [row[-1] for row in rows]


def vertices(inequalities: Rows, equations: Rows, inputs: int) -> Iterator[list[Fraction]]:
    for chosen in itertools.combinations(inequalities, inputs - len(equations)):
        rows = [*equations, *chosen]
        point = solve([row for row, _ in rows], [value for _, value in rows])
        if point is not None and all(
            sum(a * x for a, x in zip(row, point, strict=True)) <= limit for row, limit in inequalities
        ):
            yield point


@given(seed=seeds)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_no_vertex_of_a_polytope_is_outside_its_box(seed: int) -> None:
    source, inputs = random.Random(seed), 3
    scale = [source.choice([1.0, 1e6, 1e-4]) for _ in range(inputs)]
    middle = [source.choice([0.0, 1.0, 19.0]) * s for s in scale]
    point = [m + source.uniform(-1, 1) * s for m, s in zip(middle, scale, strict=True)]
    low = [x - source.uniform(0.1, 1) * s for x, s in zip(point, scale, strict=True)]
    high = [x + source.uniform(0.1, 1) * s for x, s in zip(point, scale, strict=True)]
    rows = [[round(source.uniform(-1, 1), 2) / s for s in scale] for _ in range(2)]
    rows += [[entry * (1 + source.choice([0.0, 1e-9]) * source.random()) for entry in rows[0]]]  # nearly parallel
    limits = [sum(a * x for a, x in zip(row, point, strict=True)) + source.choice([1e-7, 0.01, 0.3]) for row in rows]
    equal = [[round(source.uniform(-1, 1), 2) / s for s in scale]] if source.random() < 0.3 else []
    values = [sum(a * x for a, x in zip(row, point, strict=True)) for row in equal]
    tensors = [torch.tensor(part, dtype=torch.float64) for part in (rows, limits, low, high)]
    polytope = Polytope(*tensors[:2], equal or None, values or None, lower=tensors[2], upper=tensors[3])
    unit = [[Fraction(int(i == j)) for j in range(inputs)] for i in range(inputs)]
    inequalities = [
        *((list(map(Fraction, row)), Fraction(limit)) for row, limit in zip(rows, limits, strict=True)),
        *((unit[i], Fraction(high[i])) for i in range(inputs)),
        *(([-x for x in unit[i]], -Fraction(low[i])) for i in range(inputs)),
    ]
    equations = [(list(map(Fraction, row)), Fraction(value)) for row, value in zip(equal, values, strict=True)]
    corners = list(vertices(inequalities, equations, inputs))
    require_around(polytope, *corners)
    # The box is tight, too: relative to the width that the bounds give each input.
    box = polytope.bounding_box()
    for place in range(inputs if corners else 0):
        loose = max(
            min(corner[place] for corner in corners) - Fraction(box.lower[place].item()),
            Fraction(box.upper[place].item()) - max(corner[place] for corner in corners),
        )
        assert loose <= 1e-6 * scale[place]


@pytest.mark.parametrize("norm", ["l2", "l1"])
@given(seed=seeds)
@some
def test_no_function_is_larger_on_the_surface_of_a_ball_than_its_bound(norm: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    center, rows = torch.randn(2, 5, generator=generator, dtype=torch.float64) * 10.0 ** (seed % 13 - 6)
    radius = float(torch.rand((), generator=generator, dtype=torch.float64)) + 1e-3
    bound = (L2Ball if norm == "l2" else L1Ball)(center, radius).upper_bound(rows)
    beyond = Fraction(float(bound)) - sum(c * x for c, x in zip(fractions(rows), fractions(center), strict=True))
    size = fractions(rows)
    # The largest value is that at the center and the radius times the dual norm.
    if norm == "l1":
        assert beyond >= Fraction(radius) * max(map(abs, size))
    else:
        assert beyond >= 0
        assert beyond**2 >= Fraction(radius) ** 2 * sum(c * c for c in size)
