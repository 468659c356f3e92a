"""Laws of the bound on the smallest of several rows: nothing is above it, and a combination proves what no row does."""

from dataclasses import replace
from math import inf, nextafter
from operator import mul

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_attack import Box
from relu_attack.bounds._backward import AffineBound
from relu_attack.bounds._combinations import Relaxed, RowCombination, bound_combinations, optimize_combination
from relu_attack.bounds._crown import bound_layers
from relu_attack.bounds._interval import activation_range, affine_range
from relu_attack.bounds._slopes import SlopeOptimizer
from relu_attack.domains._halfspaces import Halfspaces
from relu_attack.domains._support import box_support
from relu_attack.network import Affine, lower
from relu_attack.network.operators import Dense
from relu_attack.solvers.branch_and_bound._decide import decide
from relu_attack.solvers.branch_and_bound._min_of_rows import MinOfRows
from relu_attack.solvers.core._budget import Budget
from tests import exact
from tests.laws.test_bounds import canceling_network, random_box
from tests.laws.test_crown import points_of_box
from tests.problems import network


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31 - 1), scale=st.integers(-6, 6), box_scale=st.integers(-6, 6))
def test_the_smallest_row_is_nowhere_above_it_in_exact_arithmetic(seed: int, scale: int, box_scale: int) -> None:
    model = canceling_network(seed, scale=scale, slope=0.01)
    low, high = random_box(seed + 1, scale=box_scale)
    chain, support = lower(model, (3,)).network, box_support(low[None], high[None])
    matrix = torch.randn(3, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ranges, steps = bound_layers(chain, low[None], high[None], support)
    ends = activation_range(chain.layers[-1], *ranges[-1])
    rows = Affine(Dense(matrix), torch.zeros(3, dtype=torch.float64))
    after = (AffineBound.create(chain.output, *ends), AffineBound.create(rows, *affine_range(chain.output, *ends)))
    relaxed = Relaxed(low[None], high[None], Halfspaces.of(Box(low, high)), steps, after)
    combination = optimize_combination(relaxed, RowCombination.first(relaxed, 3), SlopeOptimizer(iterations=5))
    torch.testing.assert_close(combination.weights.sum(1), torch.ones(1, dtype=torch.float64))
    assert bool((combination.weights >= 0).all())
    goal = MinOfRows(matrix, rows.bias)
    weights = goal.combinations(combination.weights)
    bound = exact.fractions(
        goal.bound(torch.cat(weights, 1), bound_combinations(relaxed, combination, *weights)[0]).amin(1)
    )[0]
    chains = [exact.layers_of(model, row[None]) for row in matrix]
    for x in points_of_box(low, high, seed):
        assert min(exact.forward(layers, x)[0] for layers in chains) <= bound


def test_two_rows_that_exclude_each_other_are_refuted_without_a_split() -> None:
    # f(x) = x, and no x has both x >= 0.1 and -x >= 0.1, though each alone is easy.
    chain = lower(network(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, -1.0]], [0.0])), (1,)).network
    matrix, offset = torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([-0.1, -0.1]).double()
    decision = decide(chain, Box(-1.0, 1.0, shape=(1,)), matrix, offset, budget=Budget(iterations=100))
    assert decision.upper < 0
    assert decision.regions == 1


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31 - 1), scale=st.integers(-6, 6), box_scale=st.integers(-6, 6))
def test_whatever_the_multipliers_no_point_on_their_side_is_above_it(seed: int, scale: int, box_scale: int) -> None:
    model = canceling_network(seed, scale=scale, slope=0.01)
    low, high = random_box(seed + 1, scale=box_scale)
    chain, support = lower(model, (3,)).network, box_support(low[None], high[None])
    generator = torch.Generator().manual_seed(seed)
    ranges, _ = bound_layers(chain, low[None], high[None], support)
    row = torch.randn(1, 2, generator=generator, dtype=torch.float64)
    last, layers = MinOfRows(row, row.new_zeros(1)).affine, exact.layers_of(model, row)
    for x in points_of_box(low, high, seed):
        # Every unit is split, on the side on which it is at x, and two rows of a set are added that x satisfies.
        known, values = [], exact.fractions(x)
        for layer, (below, above) in zip(layers, ranges, strict=False):
            z = layer.apply(values)
            positive = torch.tensor([[value >= 0 for value in z]])
            known.append(
                (below.masked_fill(positive & (below < 0), 0.0), above.masked_fill(~positive & (above > 0), 0.0))
            )
            values = layer.activate(z)
        matrix = torch.randn(2, 3, generator=generator, dtype=torch.float64)
        left = [float(sum(map(mul, exact.fractions(face), exact.fractions(x)))) for face in matrix]
        limit = torch.tensor([nextafter(value, inf) for value in left], dtype=torch.float64)
        found, steps = bound_layers(chain, low[None], high[None], support, known=known)
        ends = activation_range(chain.layers[-1], *found[-1])
        after = (AffineBound.create(chain.output, *ends), AffineBound.create(last, *affine_range(chain.output, *ends)))
        relaxed = Relaxed(low[None], high[None], Halfspaces(matrix, limit, torch.tensor([False, False])), steps, after)
        start = RowCombination.first(relaxed, 1, split_multipliers=True)
        size = 10.0 ** float(torch.randint(-3, 4, (), generator=generator))
        sides = tuple(
            size * torch.randn(side.shape, generator=generator, dtype=side.dtype) for side in start.split_multipliers
        )
        faces = size * torch.rand(1, 2, generator=generator, dtype=torch.float64)
        combination = replace(start, split_multipliers=sides, set_multipliers=faces).within(steps)
        assert (
            exact.forward(layers, x)[0]
            <= exact.fractions(
                bound_combinations(relaxed, combination, *(combination.weights[:, None],) * 2)[0].amin(1)
            )[0]
        )


def test_a_multiplier_of_a_side_proves_what_lines_alone_do_not() -> None:
    # relu(x + 1) - relu(x - 1) - 2 relu(x) on [-2, 2]: where x is not positive it is at most 1, at x = 0.
    weights = [[1.0], [1.0], [1.0]], [1.0, -1.0, 0.0]
    chain = lower(network(weights, ([[1.0, -1.0, -2.0]], [0.0])), (1,)).network
    low, high = -2 * torch.ones(1, 1).double(), 2 * torch.ones(1, 1).double()
    known = [(torch.tensor([[-1.0, -3.0, -2.0]]).double(), torch.tensor([[3.0, 1.0, 0.0]]).double())]
    _, steps = bound_layers(chain, low, high, box_support(low, high), known=known)
    ends = activation_range(chain.layers[-1], *known[0])
    relaxed = Relaxed(
        low, high, Halfspaces.of(Box(-2.0, 2.0, shape=(1,))), steps, (AffineBound.create(chain.output, *ends),)
    )
    start = RowCombination.first(relaxed, 1, split_multipliers=True)
    one = start.weights[:, None]
    without = float(bound_combinations(relaxed, start, one, one)[0][0, 0])
    descended = optimize_combination(relaxed, start, SlopeOptimizer(iterations=50))
    within = float(bound_combinations(relaxed, descended, one, one)[0][0, 0])
    assert without > 2.9
    assert 1.0 <= within < 1.6
