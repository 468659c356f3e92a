"""The neighbourhood of an input: affine where it says so, bounded by its walls, and its program the region's own."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from relu_attack import Box, DomainError, L2Ball, Output, Polytope
from relu_attack.bounds import bound_rows
from relu_attack.encodings import Ranges, neighborhood
from relu_attack.encodings._neighborhood import Piece
from relu_attack.network import lower, region
from relu_attack.output_constraints import OutputConstraints
from relu_attack.problem import Problem
from relu_attack.programs import Program, solve
from relu_attack.solvers.region_search._constraint_generation import solve_neighborhood
from tests.laws.nests import Nest, nests
from tests.problems import random_network

few = settings(max_examples=10, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31 - 1)


def make_problem(model: nn.Module, domain: Box | Polytope | L2Ball, rows: OutputConstraints | None = None) -> Problem:
    return Problem.create(lower(model, domain.shape).network, domain, Output(0), rows)


def unit_box(inputs: int) -> Box:
    return Box(torch.zeros(inputs, dtype=torch.float64), torch.ones(inputs, dtype=torch.float64))


def random_point(domain: Box | Polytope, seed: int) -> Tensor:
    return domain.sample(1, generator=torch.Generator().manual_seed(seed)).double().flatten()


def sides(problem: Problem, x: Tensor) -> list[Tensor]:
    return [z[0] > 0 for z in problem.network.forward(x[None]).preactivations]


def ranges_of(problem: Problem) -> Ranges:
    bounds = bound_rows(problem.network, problem.domain, problem.objective, "interval")
    return [(low[0], high[0]) for low, high in bounds.layers]


def optimum(problem: Problem, x: Tensor, pattern: Sequence[Tensor], free: Sequence[Tensor] | None = None) -> float:
    """Return the objective at the best point of a neighbourhood, walls generated, by a forward pass."""
    hood = neighborhood(problem, x, pattern, free=free, ranges=None if free is None else ranges_of(problem))
    best = solve_neighborhood(hood, solver="HIGHS", time_limit=60.0)
    assert best is not None
    point = torch.as_tensor(best.point[: problem.network.inputs].copy())
    value = float(problem.objective[0] @ problem.network.forward(point[None]).outputs[0])
    claimed = float(hood.program.objective @ best.point + hood.program.constant)
    assert claimed == pytest.approx(value, abs=1e-7 * (1 + abs(value)))
    return value


def region_optimum(problem: Problem, x: Tensor) -> float:
    """Return the same by the linear program of the whole region, all walls written out."""
    piece, box = region(problem.network, x), problem.domain.bounding_box()
    gradient = (problem.objective @ piece.weight)[0].numpy()
    whole = Program(
        objective=gradient,
        matrix=piece.matrix.numpy(),
        row_lower=np.full(len(piece.upper), -np.inf),
        row_upper=piece.upper.numpy(),
        lower=box.lower.double().flatten().numpy(),
        upper=box.upper.double().flatten().numpy(),
        constant=float(problem.objective[0] @ piece.bias),
    )
    value = solve(whole).value
    assert value is not None
    return value


@pytest.mark.slow
@few
@given(nest=nests(longest=6), seed=seeds)
def test_a_piece_with_the_inputs_own_pattern_is_the_network(nest: Nest, seed: int) -> None:
    """Also with some units free, whose activations are then entries of y; rows are what the piece is linear in."""
    network = lower(nest.model, nest.shape).network
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(network.inputs, generator=generator, dtype=torch.float64)
    passed = network.forward(x[None])
    pattern = [z[0] > 0 for z in passed.preactivations]
    free = [torch.rand(layer.units, generator=generator) < 0.3 for layer in network.layers]
    piece = Piece(network, pattern, free)
    pieces = zip(network.layers, passed.preactivations, free, strict=True)
    y = torch.cat([x, *(layer.activate(z)[0, mask] for layer, z, mask in pieces)])
    assert len(y) == piece.columns
    preactivations, outputs = piece.forward(y)
    torch.testing.assert_close(outputs, passed.outputs[0], rtol=1e-9, atol=1e-9)
    for z, expected in zip(preactivations, passed.preactivations, strict=True):
        torch.testing.assert_close(z, expected[0], rtol=1e-9, atol=1e-9)
    # Affine: a difference of y moves everything by its rows.
    step = torch.randn(len(y), generator=generator, dtype=torch.float64)
    moved, outputs_moved = piece.forward(y + step)
    for index, (before, after) in enumerate(zip(preactivations, moved, strict=True)):
        rows = piece.rows(index, torch.arange(len(before)))
        torch.testing.assert_close(rows @ step, after - before, rtol=1e-8, atol=1e-8)
    rows = piece.output_rows(torch.eye(len(outputs), dtype=torch.float64))
    torch.testing.assert_close(rows @ step, outputs_moved - outputs, rtol=1e-8, atol=1e-8)


@few
@given(seed=seeds)
def test_every_wall_contains_the_start_and_has_norm_one(seed: int) -> None:
    problem = make_problem(random_network(3, 6, 5, 1, seed=seed), unit_box(3))
    x = random_point(unit_box(3), seed)
    hood = neighborhood(problem, x, sides(problem, x))
    matrix, upper = hood.facets(np.arange(11))
    assert bool((matrix @ hood.start <= upper).all())
    norms = np.linalg.norm(matrix, axis=1)
    assert bool(((abs(norms - 1) < 1e-12) | (norms == 0)).all())
    assert len(hood.violated(hood.start, tolerance=1e-9, limit=50)) == 0


@few
@given(seed=seeds)
def test_with_generated_walls_the_optimum_is_that_of_the_whole_region(seed: int) -> None:
    problem = make_problem(random_network(3, 12, 8, 1, seed=seed), unit_box(3))
    x = random_point(unit_box(3), seed)
    value = optimum(problem, x, sides(problem, x))
    assert value == pytest.approx(region_optimum(problem, x), abs=1e-7 * (1 + abs(value)))


@few
@given(seed=seeds)
def test_free_units_reach_the_best_of_the_regions_that_they_join(seed: int) -> None:
    """A pattern that no input has is an empty region; only those with a point count."""
    problem = make_problem(random_network(2, 5, 4, 1, seed=seed), unit_box(2))
    x = random_point(unit_box(2), seed)
    pattern = sides(problem, x)
    free = torch.zeros(9, dtype=torch.bool)
    free[torch.randperm(9, generator=torch.Generator().manual_seed(seed))[:3]] = True
    joined = optimum(problem, x, pattern, list(free.split([5, 4])))
    assert joined >= optimum(problem, x, pattern) - 1e-7
    # By brute force: a fine grid of inputs whose other units keep their sides.
    ticks = torch.linspace(0, 1, 201, dtype=torch.float64)
    grid = torch.cartesian_prod(ticks, ticks)
    passed = problem.network.forward(grid)
    now = torch.cat([z > 0 for z in passed.preactivations], 1)
    keeps = (now == torch.cat(pattern))[:, ~free].all(1)
    assume(bool(keeps.any()))
    assert joined >= float(passed.outputs[keeps, 0].max()) - 1e-7


@settings(few, max_examples=3)
@given(seed=seeds)
def test_with_all_units_free_the_program_is_the_global_maximum(seed: int) -> None:
    problem = make_problem(random_network(2, 3, 2, 1, seed=seed), unit_box(2))
    x = random_point(unit_box(2), seed)
    pattern = sides(problem, x)
    value = optimum(problem, x, pattern, [torch.ones_like(side) for side in pattern])
    ends = [optimum_or_lowest(problem, list(torch.tensor(flat).split([3, 2]))) for flat in every_pattern(5)]
    assert value == pytest.approx(max(ends), abs=1e-6 * (1 + abs(value)))


def every_pattern(units: int) -> list[tuple[bool, ...]]:
    return list(itertools.product([False, True], repeat=units))


def optimum_or_lowest(problem: Problem, pattern: list[Tensor]) -> float:
    """Return the maximum over the region of a pattern, all walls written out, or minus infinity where it is empty."""
    piece = Piece(problem.network, pattern, [torch.zeros_like(side) for side in pattern])
    origin = torch.zeros(2, dtype=torch.float64)
    z, outputs = piece.forward(origin)
    rows = torch.cat([piece.rows(index, torch.arange(len(side))) for index, side in enumerate(pattern)])
    sign = torch.where(torch.cat(pattern), -1.0, 1.0)
    region = Program(
        objective=piece.output_rows(problem.objective)[0].numpy(),
        matrix=(sign[:, None] * rows).numpy(),
        row_lower=np.full(len(rows), -np.inf),
        row_upper=(-sign * torch.cat(z)).numpy(),
        lower=np.zeros(2),
        upper=np.ones(2),
        constant=float(problem.objective[0] @ outputs),
    )
    value = solve(region).value
    return -np.inf if value is None else value


def test_free_units_need_ranges() -> None:
    problem = make_problem(random_network(2, 3, 1, seed=0), unit_box(2))
    x = random_point(unit_box(2), 0)
    with pytest.raises(ValueError, match="free units need ranges"):
        neighborhood(problem, x, sides(problem, x), free=[torch.ones(3, dtype=torch.bool)])


def test_a_set_without_linear_rows_is_refused() -> None:
    problem = make_problem(random_network(2, 3, 1, seed=0), L2Ball(torch.zeros(2), 1.0))
    x = torch.zeros(2, dtype=torch.float64)
    with pytest.raises(DomainError, match="L2Ball"):
        neighborhood(problem, x, sides(problem, x))


def test_output_constraints_cut_the_program() -> None:
    """f(x) = relu(x) on [0, 1], at most 0.25: the best point of the region is there, not at the end."""
    model = random_network(1, 1, 1, seed=0)
    with torch.no_grad():
        for linear in (model[0], model[2]):
            linear.weight.fill_(1.0)
            linear.bias.zero_()
    rows = OutputConstraints(torch.ones(1, 1, dtype=torch.float64), torch.tensor([0.25], dtype=torch.float64))
    x = torch.tensor([0.1], dtype=torch.float64)
    pattern = [torch.tensor([True])]
    assert optimum(make_problem(model, unit_box(1)), x, pattern) == pytest.approx(1.0)
    # It uses most of the tolerance that answers have, 1e-6 of the row's norm.
    assert 0.25 < optimum(make_problem(model, unit_box(1), rows), x, pattern) < 0.25 + 1e-6
