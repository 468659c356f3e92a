"""Laws of programs of networks, in exact fractions: what is folded into a row is charged."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from relu_attack import Box, Linear, Output, OutputConstraints, ReLUOptimizer
from relu_attack.bounds import bound_problem, lp_tightened
from relu_attack.encodings import encode, tighten_root
from relu_attack.network import dense_chain, lower
from relu_attack.problem import Problem
from relu_attack.programs import SolutionStatus, solve
from tests import exact

SQUARE = Box(torch.tensor([-1.0, -0.5], dtype=torch.float64), torch.tensor([0.75, 1.0], dtype=torch.float64))
scales = st.sampled_from([1e-8, 1e-3, 1.0, 1e3, 1e8])
some = settings(max_examples=12, deadline=None, derandomize=True)


def cancelling(seed: int, hidden: float, outputs: float) -> nn.Sequential:
    """Return a network of whose outputs one half is nearly the other half's negative."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 8)).double()
    half = torch.randn(4, 3, generator=generator).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        model[0].weight.mul_(hidden)
        model[0].bias.mul_(hidden)
        near = 1e-7 * torch.randn(4, 3, generator=generator).double()
        model[2].weight.copy_(outputs * torch.cat([half, near - half]))
        model[2].bias.mul_(outputs)
    return model


def problem_of(model: nn.Sequential, weight: Tensor, constraints: OutputConstraints | None = None) -> Problem:
    return Problem.create(lower(model, (2,)).network, SQUARE, Linear(weight), constraints)


def root_of(problem: Problem) -> float:
    """Return the certified bound of the root of the exact program."""
    ranges = [(low[0], high[0]) for low, high in lp_tightened(problem).layers]
    return tighten_root(encode(problem, ranges)).after


@some
@given(seed=st.integers(0, 10**6), hidden=scales, outputs=scales)
def test_roots_and_linear_programs_are_above_the_exact_maximum(seed: int, hidden: float, outputs: float) -> None:
    model, weight = cancelling(seed, hidden, outputs), torch.ones(8, dtype=torch.float64)
    problem = problem_of(model, weight)
    truth = exact.maximum(exact.layers_of(model, weight), SQUARE.lower, SQUARE.upper)
    assert truth <= Fraction(root_of(problem))
    for method in ("lp", "lp_tightened"):
        assert truth <= Fraction(float(bound_problem(problem, method)[1]))


def folding(seed: int, hidden: float, outputs: float) -> nn.Sequential:
    """Return a network in which lowering multiplies two maps before the ReLU, and two after it."""
    generator = torch.Generator().manual_seed(seed)
    maps = [nn.Linear(2, 4), nn.Linear(4, 3), nn.Linear(3, 5), nn.Linear(5, 2)]
    with torch.no_grad():
        for linear, scale in zip(maps, (hidden, 1 / hidden, outputs, 1 / outputs), strict=True):
            for parameter in linear.double().parameters():
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return nn.Sequential(maps[0], nn.Identity(), maps[1], nn.ReLU(), maps[2], nn.Identity(), maps[3])


@some
@given(seed=st.integers(0, 10**6), hidden=scales, outputs=scales)
def test_roots_of_folded_networks_are_above_the_exact_maximum_of_the_model(
    seed: int, hidden: float, outputs: float
) -> None:
    model, weight = folding(seed, hidden, outputs), torch.tensor([1.0, -1.0], dtype=torch.float64)
    truth = exact.maximum(exact.layers_of(model, weight), SQUARE.lower, SQUARE.upper)
    assert truth <= Fraction(root_of(problem_of(model, weight)))


@some
@given(seed=st.integers(0, 10**6), hidden=scales, outputs=scales)
def test_constraints_that_an_input_satisfies_are_not_refuted(seed: int, hidden: float, outputs: float) -> None:
    """The limits are what an input reaches, rounded upward by a bit, on rows of outputs that cancel."""
    model, generator = cancelling(seed, hidden, outputs), torch.Generator().manual_seed(seed)
    x = SQUARE.sample(1, generator=generator)[0]
    reached = exact.forward(exact.layers_of(model), x)
    rows = torch.cat([torch.ones(1, 8), torch.randn(1, 8, generator=generator)]).double()
    rows = torch.cat([rows, -rows])
    limits = [sum((w * y for w, y in zip(exact.fractions(row), reached, strict=True)), Fraction(0)) for row in rows]
    # The tolerance of answers is taken back, so that nothing but the charge of rounding is left.
    upper = torch.tensor([float(limit) for limit in limits], dtype=torch.float64)
    scale = OutputConstraints(rows, upper).scale
    weight = torch.zeros(8, dtype=torch.float64)
    weight[0] = 1.0
    problem = problem_of(model, weight, OutputConstraints(rows, upper - 0.999999e-6 * scale))
    ranges = [(low[0], high[0]) for low, high in lp_tightened(problem).layers]
    solution = solve(encode(problem, ranges).program)
    assert not (solution.status is SolutionStatus.INFEASIBLE and solution.certified)
    assert solution.bound == -torch.inf or not solution.certified or reached[0] <= Fraction(solution.bound)


def test_a_sum_of_outputs_that_cancel_is_not_lost() -> None:
    """2^53 h + h - 2^53 h is h, of which float64 makes 0: the claim that h is at least 0.75 nowhere is not proven."""
    large = 2.0**53
    one = torch.ones(1, 1, dtype=torch.float64)
    last = torch.tensor([[large], [1.0], [-large]], dtype=torch.float64)
    chain = dense_chain([one, last], [0 * one[0], torch.zeros(3, dtype=torch.float64)])
    rows = OutputConstraints(-torch.ones(1, 3, dtype=torch.float64), -0.75)
    line = Box(-one[0], one[0])
    problem = Problem.create(chain, line, Output(1), rows)
    solution = solve(encode(problem, [(-one[0], one[0])]).program)
    assert not (solution.status is SolutionStatus.INFEASIBLE and solution.certified)


@pytest.mark.parametrize("method", ["milp", "branch_and_bound", "auto"])
def test_bounds_are_of_the_answers_that_constraints_let_pass(method: str) -> None:
    """x with |x| at most 1.5: 1.5 + 1.5e-6 still counts as feasible, so no bound is below, and the gap closes."""
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model[2].weight.copy_(torch.tensor([[1.0, -1.0], [1.0, 1.0]]))
        model[0].bias.zero_()
        model[2].bias.zero_()
    box = Box(torch.tensor([-2.0], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64))
    limit = OutputConstraints([0.0, 1.0], 1.5)
    limits = {"iterations": 300} if method == "branch_and_bound" else {"time_limit": 20.0}
    result = ReLUOptimizer(model, box, Output(0), output_constraints=limit).maximize(method, seed=0, **limits)
    assert float(result.bound) >= 1.5 + 1.5e-6 - 1e-14
    assert 1.5 <= float(result.value) <= 1.5 + 1.5e-6 + 1e-14
    assert float(result.relative_gap) <= 1e-6
    assert float(result.output_violation) <= 1e-6
