"""Interval bounds: examples by hand, shapes, and what is refused. Soundness is a law, in tests/laws/test_bounds.py."""

import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack.bounds import bound_problem, bound_rows, interval
from relu_attack.network import dense_chain, lower
from relu_attack.objectives import Linear, Output
from relu_attack.problem import Problem
from tests.problems import PROBLEMS, KnownProblem, network, random_network


def float64(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_ranges_of_units_and_outputs_by_hand() -> None:
    chain = dense_chain([float64([1, -2], [0.5, 0.5]), float64([1, -1])], [float64([0, 1])[0], float64([3])[0]])
    bounds = interval(chain, float64([-1, 0]), float64([1, 2]), float64([1], [-2]))
    ((low, high),) = bounds.layers
    # z = (x - 2y, x/2 + y/2 + 1) on [-1, 1] x [0, 2]; f = relu(z0) - relu(z1) + 3.
    for actual, expected in ((low, [[-5, 0.5]]), (high, [[1, 2.5]])):
        torch.testing.assert_close(actual, float64(*expected), rtol=1e-12, atol=0)
    torch.testing.assert_close(bounds.lower, float64([0.5, -7]), rtol=1e-12, atol=0)
    torch.testing.assert_close(bounds.upper, float64([3.5, -1]), rtol=1e-12, atol=0)
    assert (bounds.method, bounds.sound) == ("interval", True)


def test_a_leaky_unit_keeps_its_slope_below_zero() -> None:
    model = nn.Sequential(
        nn.Linear(1, 1, dtype=torch.float64), nn.LeakyReLU(0.25), nn.Linear(1, 1, dtype=torch.float64)
    )
    for layer in (model[0], model[2]):
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    low, high = ra.output_bounds(model, ra.Box(-8.0, 2.0, shape=(1,)))
    assert (float(low), float(high)) == pytest.approx((-2.0, 2.0), rel=1e-12)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_no_known_maximum_is_above_its_bound(problem: KnownProblem) -> None:
    low, high = ra.ReLUOptimizer(problem.model, problem.domain, problem.objective).bounds()
    assert low <= problem.maximum
    assert problem.maximum <= high + 1e-12 * abs(problem.maximum)  # the known number itself is rounded


def test_the_objective_is_folded_before_it_is_bounded() -> None:
    """Of two equal outputs the difference is 0, where the difference of their ranges is not."""
    model = network(([[1.0, 1.0], [1.0, 1.0]], [0.0, 0.0]))
    low, high = ra.ReLUOptimizer(model, ra.Box(-1.0, 1.0, shape=(2,)), Linear([1.0, -1.0])).bounds()
    assert -1e-12 < low <= 0 <= high < 1e-12


def test_a_batch_of_boxes_gets_the_ranges_of_its_boxes() -> None:
    model = random_network(3, 6, 2, seed=1)
    corners = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    low, high = ra.output_bounds(model, ra.Box(corners, corners + 1))
    assert low.shape == high.shape == (4, 2)
    for row in range(4):
        alone = ra.output_bounds(model, ra.Box(corners[row], corners[row] + 1))
        torch.testing.assert_close(torch.stack([low[row], high[row]]), torch.stack(alone), rtol=1e-12, atol=1e-12)


def test_each_objective_is_bounded_over_its_own_set() -> None:
    chain = lower(random_network(3, 6, 2, seed=1), (3,)).network
    corners = torch.rand(2, 3, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([[1.0, 2.0], [-1.0, 3.0]], dtype=torch.float64)
    together = bound_problem(Problem.create(chain, ra.Box(corners, corners + 1), Linear(rows)), "interval")
    for row in range(2):
        box = ra.Box(corners[row], corners[row] + 1)
        alone = bound_problem(Problem.create(chain, box, Linear(rows[row])), "interval")
        torch.testing.assert_close(together[0][row], alone[0][0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(together[1][row], alone[1][0], rtol=1e-12, atol=1e-12)


def test_bounds_of_the_optimizer_are_numbers_for_one_problem_and_vectors_for_a_batch() -> None:
    model, box = random_network(3, 6, 2, seed=1), ra.Box(0.0, 1.0, shape=(3,))
    assert ra.ReLUOptimizer(model, box).bounds()[0].shape == ()
    assert ra.ReLUOptimizer(model, box, Output([0, 1, 0])).bounds()[1].shape == (3,)
    assert ra.output_bounds(model, box)[0].shape == (2,)


def test_constants_that_cancel_are_bounded_for_what_they_are() -> None:
    """1e16 + 1 - 1e16 is 1, and 0 in float64."""
    model = network(([[0.0], [0.0], [0.0]], [1e16, 1.0, -1e16]))
    low, high = ra.ReLUOptimizer(model, ra.Box(0.0, 1.0, shape=(1,)), Linear([1.0, 1.0, 1.0])).bounds()
    assert low <= 1.0 <= high


def test_where_float64_overflows_nothing_is_claimed() -> None:
    model = network(([[1e308, 1e308], [1e308, -1e308]], [0.0, 0.0]), ([[1e10, -1e10]], [0.0]))
    chain = lower(model, (2,)).network
    bounds = bound_rows(chain, ra.Box(-1.0, 1.0, shape=(2,)), float64([1]), "interval")
    assert (float(bounds.lower), float(bounds.upper)) == (-torch.inf, torch.inf)


def test_an_unknown_method_is_named_with_the_known_ones() -> None:
    with pytest.raises(ra.OptionError, match="bound method is 'magic'; it must be one of interval"):
        ra.output_bounds(random_network(2, 1, seed=0), ra.Box(0.0, 1.0, shape=(2,)), "magic")
