"""Exchange: neighbours differ by one choice and stay in the set, and the best of all choices is found."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from relu_attack import Box, OutputConstraints, Polytope, ReLUOptimizer
from relu_attack.problem import Problem
from relu_attack.solvers.auto._changes import Changes
from relu_attack.solvers.auto._exchange import Exchange, neighbor_values
from tests.problems import random_network

# An input of 0 to 5, one that is not whole, and a choice among three.
GROUP = [2, 3, 4]
ARGUMENTS: dict[str, Any] = {"integer": [0], "one_hot": [GROUP]}
BOX = Box([0.0, -1.0, 0.0, 0.0, 0.0], [5.0, 1.0, 1.0, 1.0, 1.0], **ARGUMENTS)
# The third choice is for at most 2 of the first input.
ROWS = Polytope([[1.0, 0.0, 0.0, 0.0, 3.0]], [5.0], lower=BOX.lower, upper=BOX.upper, **ARGUMENTS)


def problem_of(domain: Box | Polytope, constraints: OutputConstraints | None = None, seed: int = 0) -> Problem:
    model = random_network(domain.inputs, 12, 12, 2, seed=seed)
    return ReLUOptimizer(model, domain, output_constraints=constraints).problem


def whole_points(held: float) -> Tensor:
    """Return all points of the box whose input that is not whole has a value."""
    every = itertools.product(range(6), range(3))
    return torch.tensor([[n, held, *(float(k == j) for j in range(3))] for n, k in every], dtype=torch.float64)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(number=st.integers(0, 5), held=st.floats(-1, 1), choice=st.integers(0, 2))
def test_neighbours_are_whole_and_differ_by_one_input_or_one_choice(number: int, held: float, choice: int) -> None:
    changes = Changes.of(BOX.to(dtype=torch.float64))
    x = torch.tensor([[number, held, *(float(choice == j) for j in range(3))]], dtype=torch.float64)
    moves, _ = changes.moves(x, torch.arange(len(changes))[None, :, None])
    neighbours = moves.apply(x)
    assert bool((BOX.integrality(neighbours) == 0).all())
    assert bool(BOX.to(dtype=torch.float64).contains(neighbours).all())
    assert bool((neighbours[:, 1] == x[0, 1]).all())
    different = neighbours != x
    assert not bool((different[:, 0] & different[:, GROUP].any(1)).any())
    # All other choices are among them, and the next numbers.
    assert {tuple(row) for row in neighbours[:, GROUP].tolist()} == {(1, 0, 0), (0, 1, 0), (0, 0, 1)}
    assert {max(number - 1, 0), min(number + 1, 5)} - {number} <= set(neighbours[:, 0].tolist()) - {number}
    assert bool(different.any(1).all())


@pytest.mark.parametrize("domain", [BOX, ROWS])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limit", [math.inf, 0.0])
def test_the_best_of_all_choices_is_found(domain: Box | Polytope, seed: int, limit: float) -> None:
    constraints = None if math.isinf(limit) else OutputConstraints([0.0, 1.0], limit)
    problem, all_points = problem_of(domain, constraints, seed), whole_points(0.25)
    values, violations = (entry[0] for entry in problem.evaluate(all_points[None]))
    allowed = domain.to(dtype=torch.float64).contains(all_points) & (violations <= 0)
    start = torch.tensor([[0.0, 0.25, 1.0, 0.0, 0.0]] * 4, dtype=torch.float64)
    exchange = Exchange(problem, start, torch.Generator().manual_seed(0))
    exchange.search(lambda: math.inf)
    found, broken = (entry[0] for entry in problem.evaluate(exchange.points[None]))
    assert bool(domain.to(dtype=torch.float64).contains(exchange.points).all())
    if bool(allowed.any()):
        assert float(found[broken <= 0].max()) == float(values[allowed].max())


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 2))
def test_values_and_rows_after_moves_are_those_of_the_new_points(seed: int, size: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    problem, exact = problem_of(ROWS, OutputConstraints([0.0, 1.0], 0.0), seed % 5), ROWS.to(dtype=torch.float64)
    changes, values = Changes.of(exact), neighbor_values(problem)
    assert changes.rows == 1  # the sum of the group is no row that a change affects
    every = whole_points(0.25)
    x = every[exact.contains(every)][torch.randint(12, (3,), generator=generator)]
    drawn = torch.randint(len(changes) + 1, (3, 40, size), generator=generator)
    moves, place = changes.moves(x, drawn)
    points = moves.apply(x)
    assert bool(exact.contains(points).all())
    assert bool((exact.integrality(points) == 0).all())
    torch.testing.assert_close(values.at(x, moves), problem.outputs(points[None])[0])
    loose, everywhere = changes.moves(x, drawn, within_rows=False)
    left = exact.contains(loose.apply(x))
    assert torch.equal(everywhere[left], place)
    torch.testing.assert_close(
        changes.effects(loose, 3), (loose.apply(x) - x[loose.point]) @ changes.columns[:-1], atol=1e-12, rtol=0.0
    )


def test_a_sum_that_is_fixed_is_no_obstacle() -> None:
    # No single change keeps the sum; the optimum is found by pairs.
    inputs = 6
    domain = Polytope(A_eq=torch.ones(1, inputs), b_eq=[7.0], lower=0.0, upper=3.0, integer=range(inputs))
    problem = problem_of(domain, seed=1)
    every = torch.cartesian_prod(*[torch.arange(4.0)] * inputs).double()
    every = every[every.sum(1) == 7]
    exchange = Exchange(problem, every[:1], torch.Generator().manual_seed(0))
    exchange.search(lambda: math.inf)
    assert bool(domain.to(dtype=torch.float64).contains(exchange.points).all())
    assert float(problem.value(exchange.points[None]).max()) == float(problem.value(every[None]).max())


def test_continuous_inputs_of_a_row_stay() -> None:
    exchange = Exchange(problem_of(ROWS), whole_points(-0.5)[:1], torch.Generator().manual_seed(0))
    exchange.search(lambda: math.inf)
    assert bool((exchange.points[:, 1] == -0.5).all())


def test_a_point_joins_only_where_it_is_better_than_all() -> None:
    problem, all_points = problem_of(BOX), whole_points(0.25)
    order = problem.evaluate(all_points[None])[0][0].argsort()
    exchange = Exchange(problem, all_points[order[[3, 8]]], torch.Generator().manual_seed(0))
    best = float(problem.value(exchange.points[None]).max())
    for number, point in enumerate(all_points[order]):
        before = exchange.points.clone()
        exchange.join(point)
        exchange.search(lambda: 0.0)
        value = float(problem.value(point[None, None]))
        joined = bool((exchange.points == point).all(1).any()) and not torch.equal(exchange.points, before)
        assert joined == (value > best), number
        best = max(best, value)


def test_integer_inputs_that_are_all_fixed_have_no_moves() -> None:
    fixed = Box([2.0, 0.0], [2.0, 1.0], integer=[0])
    problem = problem_of(fixed)
    assert len(Changes.of(fixed.to(dtype=torch.float64))) == 0
    start = torch.tensor([[2.0, 0.5]], dtype=torch.float64)
    exchange = Exchange(problem, start, torch.Generator().manual_seed(0))
    exchange.search(lambda: math.inf)
    assert torch.equal(exchange.points, start)
    result = ReLUOptimizer(random_network(2, 12, 12, 2, seed=0), fixed).maximize(iterations=300)
    assert float(result.x[0]) == 2.0


def test_its_best_points_differ_and_the_best_comes_first() -> None:
    problem = problem_of(ROWS)
    exchange = Exchange(problem, whole_points(0.25)[:2], torch.Generator().manual_seed(0))
    exchange.search(lambda: math.inf)
    best = exchange.best(3)
    values = problem.value(best[None])[0]
    assert len(torch.unique(best, dim=0)) == len(best) <= 3
    assert torch.equal(values, values.sort(descending=True).values)
    assert float(values[0]) == pytest.approx(float(problem.value(exchange.points[None]).max()), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_mixed_optimum_has_its_continuous_inputs_at_the_best_values(seed: int) -> None:
    problem = problem_of(ROWS, seed=seed)
    fine = torch.cat([whole_points(float(held)) for held in torch.linspace(-1, 1, 201)])
    fine = fine[ROWS.to(dtype=torch.float64).contains(fine)]
    found = ReLUOptimizer(random_network(5, 12, 12, 2, seed=seed), ROWS).maximize(iterations=100, seed=0)
    assert float(found.value) >= float(problem.value(fine[None]).max()) - 1e-9
