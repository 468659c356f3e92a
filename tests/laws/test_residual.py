"""Laws of models with skip connections: the chain is the model, and bounds hold."""

from fractions import Fraction

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relu_attack import Box
from relu_attack.bounds import bound_rows
from relu_attack.network import lower
from tests import exact
from tests.laws.nests import Nest
from tests.laws.test_network import assert_within, away_from_kinks, largest
from tests.network.residual import graphs, small_resnet
from tests.network.support import points
from tests.problems import residual_network

laws = settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
METHODS = ("interval", "crown", "alpha_crown", "lp")


@pytest.mark.slow
@laws
@given(graph=graphs(), seed=st.integers(0, 2**16))
def test_the_chain_is_the_model(graph: Nest, seed: int) -> None:
    network = lower(graph.model, graph.shape).network
    x = points(graph.shape, seed=seed)
    expected, evaluation = graph.model(x).detach(), network.forward(x.flatten(1))
    assert network.output_shape == tuple(expected.shape[1:])
    assert_within(evaluation.outputs, expected.flatten(1), 1e-12 * largest(evaluation))


@pytest.mark.slow
@laws
@given(graph=graphs(), seed=st.integers(0, 2**16))
def test_the_gradient_is_that_of_autograd(graph: Nest, seed: int) -> None:
    network = lower(graph.model, graph.shape).network
    rows = away_from_kinks(network, points(graph.shape, seed=seed).flatten(1))
    x = rows.reshape(-1, *graph.shape).requires_grad_()
    evaluation = network.forward(rows)
    (gradient,) = torch.autograd.grad(graph.model(x).sum(), x, materialize_grads=True)
    found = network.gradient(evaluation.pattern, torch.ones_like(evaluation.outputs))
    assert_within(found, gradient.flatten(1), 1e-10 * max(1.0, float(gradient.abs().max())))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(graph=graphs(longest=6), seed=st.integers(0, 2**16))
def test_interval_and_crown_contain_what_the_model_answers(graph: Nest, seed: int) -> None:
    network = lower(graph.model, graph.shape).network
    center = points(graph.shape, batch=1, seed=seed).flatten()
    box = Box(center - 0.5, center + 0.5)
    answers = network.forward(box.sample(20, generator=torch.Generator().manual_seed(seed)))
    room = 1e-12 * largest(answers)
    for method in ("interval", "crown"):
        bounds = bound_rows(network, box, torch.eye(network.outputs, dtype=torch.float64), method)
        for (low, high), inside in zip(
            (*bounds.layers, (bounds.lower, bounds.upper)), (*answers.preactivations, answers.outputs), strict=True
        ):
            assert bool((low - room <= inside).all() and (inside <= high + room).all()), method


@pytest.mark.slow
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**16), scale=st.integers(-6, 6))
@example(seed=0, scale=0)
def test_bounds_hold_in_exact_arithmetic(seed: int, scale: int) -> None:
    model = residual_network(seed=seed)
    with torch.no_grad():
        model[2].second.weight *= 10.0**scale
    layers = exact.residual_layers(model[0], model[2].first, model[2].second, model[3])
    box = Box(-1.0, 1.0, shape=(2,))
    values = [exact.forward(layers, x)[0] for x in (*box.corners(4), *box.sample(4))]
    precisions = [(method, torch.float64) for method in METHODS]
    if scale == 0:  # else float32 does not hold the weights
        precisions.append(("crown", torch.float32))
    for method, dtype in precisions:
        bounds = bound_rows(lower(model, (2,)).network, box, torch.ones(1, 1).double(), method, dtype=dtype)
        low, high = Fraction(bounds.lower.item()), Fraction(bounds.upper.item())
        assert low <= min(values) <= max(values) <= high, method


@pytest.mark.parametrize("method", METHODS)
def test_bounds_of_a_small_resnet_contain_samples(method: str) -> None:
    model = small_resnet()
    box = Box(torch.full((64,), 0.45).double(), torch.full((64,), 0.55).double())
    bounds = bound_rows(lower(model, (1, 8, 8)).network, box, torch.eye(3, dtype=torch.float64), method)
    with torch.no_grad():
        inside = model(box.sample(50, generator=torch.Generator().manual_seed(0)).view(-1, 1, 8, 8))
    assert bool(((bounds.lower <= inside) & (inside <= bounds.upper)).all())
