"""Laws of weak duality, in exact fractions: bounds that hold for any multipliers, of programs and of tensors."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from relu_attack.programs import Program
from relu_attack.rounding import MatrixProducts, weak_duality
from tests.laws.test_rounding import flushing, numbers, with_flushing

seeds = st.integers(0, 2**31 - 1)
some = settings(max_examples=60, deadline=None, derandomize=True)
INFINITY = math.inf


def exact(objective: Tensor, y: Tensor, matrix: Tensor, sides: list[Tensor], box: list[Tensor]) -> Fraction | float:
    """Return what the multipliers prove, unrounded; the sides that are priced are finite."""
    total = Fraction(0)
    for price, low, high in zip(y.tolist(), *(side.tolist() for side in sides), strict=True):
        side = high if price >= 0 else low
        total += Fraction(price) * Fraction(side) if price and math.isfinite(side) else 0
    used = [price and math.isfinite(high if price >= 0 else low) for price, low, high in zip(y, *sides, strict=True)]
    for column in range(len(objective)):
        cost = Fraction(float(objective[column]))
        for row, price in enumerate(y.tolist()):
            cost -= Fraction(price) * Fraction(float(matrix[row, column])) if used[row] else 0
        end = float(box[1][column] if cost > 0 else box[0][column])
        if cost and math.isinf(end):
            return INFINITY
        total += cost * Fraction(end) if cost else 0
    return total


@with_flushing
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@some
@given(seed=seeds)
def test_the_bound_is_not_below_what_the_multipliers_prove(flushed: bool, dtype: torch.dtype, seed: int) -> None:
    source = random.Random(seed)
    rows, columns = source.randint(0, 4), source.randint(1, 4)
    matrix = numbers(seed, rows * columns, dtype).view(rows, columns)
    y, objective = numbers(seed + 1, rows, dtype), numbers(seed + 2, columns, dtype)
    sides = [end.to(dtype) for end in ends(seed + 3, rows, source)]
    box = [end.to(dtype) for end in ends(seed + 5, columns, source)]
    if source.random() < 0.5 and rows:  # reduced costs that are rounding alone, at a point that is far away
        generator = torch.Generator().manual_seed(seed)
        matrix, y = (torch.randn(*shape, generator=generator).to(dtype) for shape in ((rows, columns), (rows,)))
        objective = y @ matrix
        sides, box = [torch.zeros_like(y)] * 2, [torch.full_like(objective, 1e6)] * 2
    with flushing(flushed):
        products = MatrixProducts.of(matrix)
        found = weak_duality(objective[None], y[None], products, (sides[0], sides[1]), (box[0], box[1]))
    bound = float(found[0])
    assert bound == INFINITY or exact(objective, y, matrix, sides, box) <= Fraction(bound)


def dot(a: Tensor, x: Tensor) -> Fraction:
    return sum((Fraction(w) * Fraction(v) for w, v in zip(a.tolist(), x.tolist(), strict=True)), Fraction(0))


def ends(seed: int, count: int, source: random.Random) -> list[Tensor]:
    """Return lower and upper ends, some of them infinite or equal."""
    pair = torch.stack([numbers(seed, count, torch.float64), numbers(seed + 1, count, torch.float64)])
    low, high = pair.amin(0), pair.amax(0)
    for index in range(count):
        kind = source.randrange(5)
        low[index] = -INFINITY if kind == 0 else high[index] if kind == 1 else low[index]
        high[index] = INFINITY if kind == 2 else high[index]
    return [low, high]


@with_flushing
@some
@given(seed=seeds)
def test_a_program_bounds_its_points_and_proves_no_feasible_program_infeasible(flushed: bool, seed: int) -> None:
    source = random.Random(seed)
    rows, columns = source.randint(1, 4), source.randint(1, 4)
    matrix = numbers(seed, rows * columns, torch.float64).view(rows, columns)
    x = numbers(seed + 1, columns, torch.float64)
    y, objective = numbers(seed + 2, rows, torch.float64), numbers(seed + 3, columns, torch.float64)
    exact_x = [Fraction(value) for value in x.tolist()]
    activity = [
        sum((Fraction(a) * v for a, v in zip(row, exact_x, strict=True)), Fraction(0)) for row in matrix.tolist()
    ]
    slack = [source.choice([0.0, 0.0, 1.0]) * abs(float(value)) for value in activity]
    high = [math.nextafter(float(value) + more, INFINITY) for value, more in zip(activity, slack, strict=True)]
    low = [source.choice([-INFINITY, math.nextafter(float(value), -INFINITY)]) for value in activity]
    room = [source.choice([0.0, 1.0, INFINITY]) for _ in range(columns)]
    program = Program(
        objective=objective.numpy(), matrix=matrix.numpy(), row_lower=low, row_upper=high,
        lower=x.numpy() - np.array(room), upper=x.numpy() + np.array(room[::-1]),
    )  # fmt: skip
    with flushing(flushed):
        bound, refuted = program.dual_bound(y.numpy()), program.proves_infeasible(y.numpy())
    assert bound == INFINITY or dot(objective, x) <= Fraction(bound)
    assert not refuted


def test_functions_and_boxes_are_bounded_in_one_call() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix, limit = torch.randn(3, 4, generator=generator).double(), torch.ones(3).double()
    lower = -torch.rand(5, 1, 4, generator=generator).double()
    objective = torch.randn(5, 2, 4, generator=generator).double()
    y = torch.rand(5, 2, 3, generator=generator).double()
    none = torch.full_like(limit, -INFINITY)
    products = MatrixProducts.of(matrix)
    together = weak_duality(objective, y, products, (none, limit), (lower, -lower))
    for box in range(5):
        for function in range(2):
            ends = lower[box, 0], -lower[box, 0]
            part = objective[box, function][None], y[box, function][None]
            alone = weak_duality(*part, products, (none, limit), ends)
            assert float(together[box, function]) == pytest.approx(float(alone[0]), rel=1e-13)
