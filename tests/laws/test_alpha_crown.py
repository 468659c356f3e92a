"""Laws of bounds by lines with slopes of their own: sound for any slopes, inside CROWN, moved by true derivatives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from relu_attack import Box, LInfBall
from relu_attack.bounds import bound_rows
from relu_attack.bounds._alpha_crown import alpha_crown
from relu_attack.bounds._backward import AffineBound, RelaxedLayer, substitute
from relu_attack.bounds._crown import bound_layers, crown
from relu_attack.bounds._interval import activation_range
from relu_attack.bounds._slopes import SlopeOptimizer, adjoint
from relu_attack.domains import Domain
from relu_attack.domains._support import box_support
from relu_attack.network import Network, lower
from tests import exact
from tests.laws.test_bounds import assert_contains, canceling_network, random_box
from tests.laws.test_crown import SETS, points_of_box
from tests.problems import random_network

few = settings(max_examples=15, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31 - 1)
scales = st.integers(-6, 6)


@few
@given(seed=seeds, scale=scales, box_scale=scales, slope=st.sampled_from([0.0, 0.01, 0.3]))
def test_exact_values_at_points_of_a_box_lie_in_every_range(
    seed: int, scale: int, box_scale: int, slope: float
) -> None:
    model = canceling_network(seed, scale=scale, slope=slope)
    low, high = random_box(seed + 1, scale=box_scale)
    objective = torch.randn(1, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    bounds = alpha_crown(lower(model, (3,)).network, Box(low, high), objective, optimizer=SlopeOptimizer(iterations=5))
    layers = exact.layers_of(model, objective)
    for x in points_of_box(low, high, seed):
        values = exact.fractions(x)
        for layer, range_ in zip(layers, [*bounds.layers, (bounds.lower, bounds.upper)], strict=True):
            values = layer.apply(values)
            assert_contains(*range_, values, values)
            values = layer.activate(values)


@pytest.mark.slow
@few
@given(seed=seeds, radius=st.sampled_from([0.1, 1.0]))
def test_they_nest_inside_crown(seed: int, radius: float) -> None:
    chain = lower(random_network(4, 8, 8, 8, 2, seed=seed), (4,)).network
    box, rows = LInfBall(torch.zeros(4, dtype=torch.float64), radius), torch.eye(2, dtype=torch.float64)
    outer, inner = crown(chain, box, rows), alpha_crown(chain, box, rows)
    ends = [(outer.lower, outer.upper), *outer.layers], [(inner.lower, inner.upper), *inner.layers]
    for wide, narrow in zip(*ends, strict=True):
        assert bool((wide[0] <= narrow[0]).all())
        assert bool((narrow[1] <= wide[1]).all())


def test_a_deep_network_is_bounded_clearly_better_than_by_crown() -> None:
    chain = lower(random_network(10, 30, 30, 30, 1, seed=0), (10,)).network
    box, rows = Box(0.0, 1.0, shape=(10,)), torch.ones(1, 1, dtype=torch.float64)
    outer, inner = crown(chain, box, rows), alpha_crown(chain, box, rows)
    assert float(inner.upper - inner.lower) < 0.8 * float(outer.upper - outer.lower)


@pytest.mark.slow
@pytest.mark.parametrize("domain", SETS, ids=lambda domain: type(domain).__name__)
def test_no_point_of_a_set_leaves_its_bounds(domain: Domain) -> None:
    chain, rows = lower(random_network(4, 10, 10, 2, seed=3), (4,)).network, torch.eye(2, dtype=torch.float64)
    bounds = alpha_crown(chain, domain, rows)
    points = domain.to(dtype=torch.float64).sample(500, generator=torch.Generator().manual_seed(0))
    evaluation = chain.forward(points)
    for (low, high), values in zip(
        [*bounds.layers, (bounds.lower, bounds.upper)], [*evaluation.preactivations, evaluation.outputs], strict=True
    ):
        assert bool((low - 1e-9 <= values).all())
        assert bool((values <= high + 1e-9).all())


def relaxed(
    chain: Network, low: torch.Tensor, high: torch.Tensor
) -> tuple[list[RelaxedLayer], tuple[AffineBound, ...]]:
    """Return the layers of a chain over boxes, and the map after them."""
    ranges, steps = bound_layers(chain, low, high, box_support(low, high))
    return steps, (AffineBound.create(chain.output, *activation_range(chain.layers[-1], *ranges[-1])),)


def test_the_adjoint_is_the_derivative_of_the_bound() -> None:
    chain = lower(random_network(4, 9, 9, 2, seed=1), (4,)).network
    low = torch.rand(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    steps, after = relaxed(chain, low, low + 1)
    support = box_support(low, low + 1)
    rows, constant = (
        torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(1)).double(),
        torch.zeros(3, 5).double(),
    )
    slopes = [
        torch.where(step.relaxation.adjustable, 0.4, step.relaxation.lower_slope)[:, None].expand(-1, 5, -1).clone()
        for step in steps
    ]
    ours = adjoint(steps, support.point, rows, constant, slopes, after)
    for slope in slopes:
        slope.requires_grad_()
    bound = substitute(steps, rows, constant, after=after, slopes=slopes)
    value = support(bound.coefficients) + bound.constant
    value.sum().backward()
    torch.testing.assert_close(ours.value, value.detach(), rtol=1e-9, atol=1e-9)
    for derivative, slope in zip(ours.slopes, slopes, strict=True):
        torch.testing.assert_close(derivative, slope.grad, rtol=1e-9, atol=1e-9)


def test_little_memory_gives_the_same_bounds() -> None:
    chain, rows = lower(random_network(4, 12, 12, 3, seed=5), (4,)).network, torch.eye(3, dtype=torch.float64)
    box = Box(0.0, 0.7, shape=(4,))
    together, in_turns = alpha_crown(chain, box, rows), alpha_crown(chain, box, rows, memory_limit=1)
    torch.testing.assert_close(together.lower, in_turns.lower, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(together.upper, in_turns.upper, rtol=1e-9, atol=1e-9)


def test_convolutions_and_pooling_are_bounded() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(27, 8),
        nn.LeakyReLU(0.1),
        nn.Linear(8, 2),
    ).double()
    chain, rows = lower(model, (1, 8, 8)).network, torch.eye(2, dtype=torch.float64)
    ball = LInfBall(torch.rand(1, 8, 8, dtype=torch.float64), 0.05, clip=(0, 1))
    bounds = bound_rows(chain, ball, rows, "alpha_crown")
    outputs = model(ball.sample(300, generator=torch.Generator().manual_seed(0)).view(-1, 1, 8, 8))
    assert bool(((bounds.lower <= outputs) & (outputs <= bounds.upper)).all())


def test_a_network_without_units_and_weights_that_overflow() -> None:
    one = torch.ones(1, 1, dtype=torch.float64)
    plain = alpha_crown(lower(nn.Sequential(nn.Linear(2, 1)).double(), (2,)).network, Box(0.0, 1.0, shape=(2,)), one)
    assert bool((plain.lower < plain.upper).all())
    model = random_network(2, 3, 3, 1, seed=0)
    with torch.no_grad():
        for module in model:
            if isinstance(module, nn.Linear):
                module.weight.mul_(1e200)
    bounds = alpha_crown(lower(model, (2,)).network, Box(-1.0, 1.0, shape=(2,)), one)
    assert (bounds.lower.item(), bounds.upper.item()) == (-torch.inf, torch.inf)
