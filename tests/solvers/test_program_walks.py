"""LP Walk and MILP Walk: what a climb does, and what its end is."""

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from relu_attack import Box, ReLUOptimizer
from relu_attack.network import lower
from relu_attack.objectives import Output
from relu_attack.problem import Problem
from relu_attack.solvers.region_search._lp_walk import LocalSearch, LPWalk
from tests.problems import network, random_network

few = settings(max_examples=5, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31 - 1)
SQUARE = Box(torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64))


def square_problem(seed: int) -> Problem:
    return Problem.create(lower(random_network(2, 8, 6, 1, seed=seed), (2,)).network, SQUARE, Output(0), None)


def value(problem: Problem, x: Tensor) -> float:
    return float(problem.evaluate(x[None, None])[0])


def climber(problem: Problem, visited: list[Tensor], **options: float | str) -> LocalSearch:
    return LocalSearch(problem, LPWalk(**options), lambda: math.inf, visited.append)


@few
@given(seed=seeds)
def test_a_climb_ends_at_a_local_maximum_of_the_network(seed: int) -> None:
    """No input around its end is better, so no region that touches it is; and its start is not better either."""
    problem, visited = square_problem(seed), list[Tensor]()
    start = SQUARE.sample(1, generator=torch.Generator().manual_seed(seed)).flatten()
    end = climber(problem, visited).climb(start)
    assert bool(SQUARE.contains(end))
    assert value(problem, end) >= value(problem, start)
    assert len(visited) >= 1
    angles = torch.linspace(0, 2 * math.pi, 721, dtype=torch.float64)
    circle = torch.stack([angles.cos(), angles.sin()], 1)
    around = torch.cat([SQUARE.project(end + radius * circle) for radius in (1e-6, 1e-4)])
    best = float(problem.evaluate(around[None])[0].max())
    assert best <= value(problem, end) + 1e-9 * (1 + abs(best))


def test_a_climb_goes_on_over_walls() -> None:
    """f(x) = x + 2 relu(x - 1/2): the region of the start ends at 1/2, the climb at 1."""
    model = network(([[1.0], [1.0]], [5.0, -0.5]), ([[1.0, 2.0]], [-5.0]))
    line = Box(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    problem, visited = Problem.create(lower(model, (1,)).network, line, Output(0), None), list[Tensor]()
    end = climber(problem, visited).climb(torch.tensor([0.2], dtype=torch.float64))
    assert visited[0].item() == pytest.approx(0.5, abs=1e-9)
    assert float(end) == 1.0


def test_regions_that_were_solved_are_not_solved_again() -> None:
    problem, visited = square_problem(3), list[Tensor]()
    climbs = climber(problem, visited)
    start = torch.tensor([0.3, 0.6], dtype=torch.float64)
    climbs.climb(start)
    solved = len(visited)
    assert torch.equal(climbs.climb(start), start)
    assert len(visited) == solved


def test_without_time_the_climb_ends_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program is written after the deadline")

    monkeypatch.setattr(sys.modules["relu_attack.solvers.region_search._lp_walk"], "neighborhood", refuse)
    start = torch.tensor([0.3, 0.6], dtype=torch.float64)
    still = LocalSearch(square_problem(3), LPWalk(), lambda: 0.0, lambda x: None)
    assert torch.equal(still.climb(start), start)


@pytest.mark.parametrize("solver", ["CLARABEL", "cvxpy:HIGHS"])
def test_another_solver_climbs_to_the_same_value(solver: str) -> None:
    problem, start = square_problem(3), torch.tensor([0.3, 0.6], dtype=torch.float64)
    expected = value(problem, climber(problem, []).climb(start))
    assert value(problem, climber(problem, [], solver=solver).climb(start)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", ["lp_walk", "milp_walk"])
@pytest.mark.parametrize("source", ["random", "relaxation"])
def test_walks_from_every_source_find_the_maximum_of_a_small_network(method: str, source: str) -> None:
    optimizer = ReLUOptimizer(random_network(2, 8, 6, 1, seed=3), SQUARE)
    proven = optimizer.maximize("milp", iterations=50, seed=0)
    result = optimizer.maximize(method, iterations=40, seed=0, source=source)
    assert float(result.value) == pytest.approx(float(proven.value), abs=1e-6)
