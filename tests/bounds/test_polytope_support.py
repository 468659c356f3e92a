"""Linear functions over polytopes: bounds hold for any multipliers, and the multipliers are as good as a program's."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from relu_attack import Box, L1Ball, Polytope
from relu_attack.bounds._concretization import set_support
from relu_attack.domains import Domain
from relu_attack.domains._interior_point import interior_point
from relu_attack.domains._row_bounds import MOST_ROWS, RowsInBox
from tests import exact

seeds = st.integers(0, 2**31 - 1)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_polytope(inputs: int, rows: int, seed: int, *, equations: int = 0) -> Polytope:
    """Cut a box by rows that its middle satisfies."""
    A, A_eq = draw(rows, inputs, seed=seed), draw(equations, inputs, seed=seed + 1)
    middle = torch.full((inputs,), 0.5, dtype=torch.float64)
    return Polytope(A, A @ middle + 0.1, A_eq, A_eq @ middle, lower=0.0, upper=1.0)


def dot(one: Tensor, other: Tensor) -> Fraction:
    """Return an inner product in exact arithmetic."""
    return sum((a * b for a, b in zip(exact.fractions(one), exact.fractions(other), strict=True)), Fraction(0))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=seeds, scale=st.integers(-12, 12))
def test_any_multipliers_give_a_bound_in_exact_arithmetic(seed: int, scale: int) -> None:
    rows = RowsInBox.around(random_polytope(4, 3, seed, equations=1))
    objective = draw(2, 4, seed=seed) * 10.0**scale
    # Multipliers that nearly cancel the objective leave nothing but rounding.
    multipliers = draw(2, 4, seed=seed + 1) * 10.0 ** (scale + seed % 5)
    multipliers[:, :3].abs_()
    objective[1] = multipliers[1] @ rows.matrix
    bound = rows.bound(objective, multipliers, rows.box)
    for c, y, ours in zip(objective, multipliers, bound, strict=True):
        largest = dot(y, rows.limit)
        for c_j, column, low, high in zip(c, rows.matrix.T, rows.lower, rows.upper, strict=True):
            rest = exact.fractions(c_j)[0] - dot(column, y)
            largest += max(rest * exact.fractions(end)[0] for end in (low, high))
        assert largest <= exact.fractions(ours)[0]


POLYTOPES = {
    "inequalities": random_polytope(6, 5, 0),
    "more rows than there are multipliers for": random_polytope(3, MOST_ROWS + 1, 1),
    "with equations": random_polytope(8, 6, 2, equations=2),
    "in a plane": Polytope([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]], [1.0, -1.0], lower=0.0, upper=1.0),
    "one point wide": Polytope([[1.0, 1.0]], [1.0], [[1.0, 0.0]], [0.25], lower=0.0, upper=1.0),
    "the same equation twice": Polytope(A_eq=[[1.0, 1.0], [2.0, 2.0]], b_eq=[1.0, 2.0], lower=0.0, upper=1.0),
    "groups": Polytope([[1.0, 1.0, 1.0]], [1.5], lower=0.0, upper=1.0, one_hot=[[0, 1]]),
    "units of their own": Polytope([[1e4, 1.0, 1e-3]], [2e4], lower=[0, 0, 0], upper=[3, 1e4, 1e7]),
    "groups of a box": Box(0.0, 1.0, shape=(4,), one_hot=[[0, 1, 2]]),
}


@pytest.mark.parametrize("name", POLYTOPES)
def test_they_are_as_good_as_the_vertices(name: str) -> None:
    domain: Domain = POLYTOPES[name].to(dtype=torch.float64)
    rows = RowsInBox.around(domain)
    objective = draw(12, domain.inputs, seed=4)
    objective[0] = 0.0
    objective[1] = rows.matrix[0]
    single = Polytope(
        rows.matrix[~rows.equation], rows.limit[~rows.equation], rows.matrix[rows.equation], rows.limit[rows.equation],
        lower=rows.lower, upper=rows.upper,
    )  # fmt: skip
    values = (objective * single.maximizer(objective)).sum(1)
    size = objective.abs() @ torch.maximum(rows.lower.abs(), rows.upper.abs()) + 1e-9
    excess = (set_support(domain)(objective[None].clone())[0] - values) / size
    assert bool((excess >= -1e-8).all())
    assert bool((excess <= 1e-6).all())


def test_few_steps_do_for_many_functions_of_any_size() -> None:
    rows = RowsInBox.around(random_polytope(20, 8, 0, equations=1))
    sizes = 10.0 ** torch.arange(-150, 150, dtype=torch.float64)
    _, close = rows.multipliers(draw(300, 20, seed=1) * sizes[:, None])
    assert bool(close.all())


def test_multipliers_of_inequalities_are_never_negative() -> None:
    for seed in range(20):
        matrix, objective = draw(6, 5, seed=seed), draw(9, 5, seed=seed + 1).clamp(-1, 1)
        matrix /= torch.linalg.vector_norm(matrix, dim=1, keepdim=True)
        value = matrix.sum(1) / 2 + (0.1 if seed % 2 else -1.0)  # every other one may hold no point at all
        multipliers, _ = interior_point(matrix, value, 1, objective)
        assert bool((multipliers[:, :5] >= 0).all())


@pytest.mark.parametrize("clip", [(-0.5, 0.4), (0.2, 0.9), None])
def test_an_l1_ball_is_bounded_by_the_value_of_its_best_point(clip: tuple[float, float] | None) -> None:
    ball = L1Ball(0.3 * draw(6, seed=3), 1.8, clip=clip)
    objective = torch.cat([draw(40, 6, seed=0), draw(20, 6, seed=1).round()])[None]
    values = (objective * ball.maximizer(objective)).sum(-1)
    excess = set_support(ball)(objective.clone()) - values
    assert bool((excess >= -1e-12).all())
    assert bool((excess <= 1e-9).all())
