"""Enumeration: all whole points are tried, and their best value is a bound in real arithmetic."""

import itertools
import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from relu_attack import Box, OutputConstraints, Polytope, ReLUOptimizer, Status
from relu_attack.bounds import evaluation_error
from relu_attack.network import Network, dense_chain
from relu_attack.problem import Problem
from relu_attack.solvers.auto._closing import exact_methods
from relu_attack.solvers.auto._enumeration import Enumeration, enumerable
from relu_attack.solvers.core import Budget, Incumbents, Settings
from tests.problems import random_network

WHOLE: dict[str, Any] = {"integer": [0, 1], "one_hot": [[2, 3, 4]]}
BOX = Box([-1.0, 0.0, 0.0, 0.0, 0.0], [2.0, 3.5, 1.0, 1.0, 1.0], **WHOLE)
ROWS = Polytope([[1.0, 1.0, 0.0, 0.0, 3.0]], [3.0], lower=BOX.lower, upper=BOX.upper, **WHOLE)


def every_point() -> Tensor:
    every = itertools.product(range(-1, 3), range(4), range(3))
    return torch.tensor([[a, b, *(float(k == c) for k in range(3))] for a, b, c in every], dtype=torch.float64)


def problem_of(domain: Box | Polytope, constraints: OutputConstraints | None = None, seed: int = 0) -> Problem:
    return ReLUOptimizer(random_network(5, 12, 12, 2, seed=seed), domain, output_constraints=constraints).problem


def enumerated(problem: Problem, seconds: float = 60.0) -> tuple[Incumbents, bool]:
    run = Settings(
        budget=Budget(time_limit=seconds), restarts=1, seed=0, device=torch.device("cpu"), dtype=torch.float64
    )
    incumbents = Incumbents(problem, run, torch.full((1,), torch.inf, dtype=torch.float64), unit="points")
    return incumbents, Enumeration(incumbents, 0).advance(run.budget)


@pytest.mark.parametrize("domain", [BOX, ROWS])
@pytest.mark.parametrize("limit", [math.inf, 0.0, -1e9])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_all_points_and_a_bound_just_above_it_are_found(
    domain: Box | Polytope, limit: float, seed: int
) -> None:
    constraints = None if math.isinf(limit) else OutputConstraints([0.0, 1.0], limit)
    problem, points = problem_of(domain, constraints, seed), every_point()
    values, violations = (entry[0] for entry in problem.evaluate(points[None]))
    allowed = domain.to(dtype=torch.float64).contains(points) & (violations <= 1e-6)
    incumbents, ended = enumerated(problem)
    assert ended
    if bool(allowed.any()):
        best = float(values[allowed].max())
        assert float(incumbents.value[0]) == pytest.approx(best, abs=1e-12)
        assert float(incumbents.value[0]) < float(incumbents.upper[0]) < best + 1e-9
    else:
        assert float(incumbents.upper[0]) == -math.inf


def test_time_that_runs_out_leaves_no_bound() -> None:
    incumbents, ended = enumerated(problem_of(BOX), seconds=1e-9)
    assert not ended
    assert float(incumbents.upper[0]) == math.inf


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (BOX, True),
        (ROWS, True),
        (Box(0.0, 1.0, shape=(5,), integer=[0]), False),
        (Box([0.0] * 5, [1.0, 0.0, 0.0, 0.0, 0.0], integer=[0]), True),
        (Box(0.0, 10.0, shape=(5,), integer=range(5)), True),
        (Box(0.0, 20.0, shape=(5,), integer=range(5)), False),
    ],
)
def test_it_fits_where_all_inputs_are_whole_or_fixed_and_a_million_points_are_enough(
    domain: Box | Polytope, expected: bool
) -> None:
    problem = problem_of(domain)
    assert enumerable(problem, 60.0) == expected
    assert not enumerable(problem, 0.0)
    assert (exact_methods(problem, units=250, dimension=30) == ("enumeration",)) == expected


def test_auto_proves_the_best_choice() -> None:
    groups = [list(range(first, first + 4)) for first in range(0, 24, 4)]
    model = random_network(24, 30, 30, 1, seed=3)
    result = ReLUOptimizer(model, Box(0.0, 1.0, shape=(24,), one_hot=groups)).maximize(time_limit=20.0, seed=0)
    every = torch.eye(4, dtype=torch.float64)[torch.cartesian_prod(*[torch.arange(4)] * 6)].reshape(-1, 24)
    with torch.no_grad():
        assert float(result.value) == pytest.approx(float(model(every).max()), rel=1e-9)
    assert result.status is Status.OPTIMAL
    assert result.certified


def exact_value(network: Network, x: list[Fraction]) -> Fraction:
    """Return the first output of a dense chain in rational numbers."""
    maps = [*(layer.affine for layer in network.layers), network.output]
    for number, affine in enumerate(maps):
        rows = affine.operator.apply(torch.eye(affine.operator.inputs, dtype=torch.float64)).T.tolist()
        z = [sum(Fraction(a) * h for a, h in zip(row, x, strict=True)) for row in rows]
        z = [value + Fraction(b) for value, b in zip(z, affine.bias.tolist(), strict=True)]
        x = z if number == len(network.layers) else [max(value, Fraction(0)) for value in z]
    return x[0]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), power=st.sampled_from([-30, -3, 0, 8, 40]))
def test_the_error_of_a_forward_pass_is_within_its_bound(seed: int, power: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    widths = [4, 6, 5, 1]
    weights = [torch.randn(n, m, generator=generator).double() * 10.0**power for m, n in itertools.pairwise(widths)]
    network = dense_chain(weights, [torch.randn(n, generator=generator).double() for n in widths[1:]])
    x = torch.rand(3, 4, generator=generator).double() * 2 - 1
    one = torch.ones(4, dtype=torch.float64)
    bound = Fraction(float(evaluation_error(network, -one, one, torch.ones(1, 1, dtype=torch.float64))))
    for point, value in zip(x.tolist(), network.values(x)[:, 0].tolist(), strict=True):
        error = abs(exact_value(network, [Fraction(entry) for entry in point]) - Fraction(value))
        assert error <= bound
        assert float(bound) <= 1e-11 * (1 + 10.0**power) ** 3
