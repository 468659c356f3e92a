"""Laws of maps that lowering folds: bounds hold for the weights of the model as it is, evaluated in fractions."""

import math
import random
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.bounds import BOUNDS, bound_rows
from relu_attack.network import Affine, Loss, Network, lower
from relu_attack.network.operators import Dense, Diagonal
from relu_attack.problem import Problem
from relu_attack.robustness._classifier import Normalization
from relu_attack.rounding import gamma
from relu_attack.solvers.branch_and_bound._min_of_rows import MinOfRows
from relu_attack.solvers.branch_and_bound._search import TreeSearch
from tests.fuzz.networks import KINDS, DrawnNetwork, draw_network
from tests.fuzz.oracle import Scaled, exact_outputs

seeds = st.integers(0, 2**31 - 1)
some = settings(max_examples=40, deadline=None, derandomize=True)
FOLDING = ("folded", "scaled", "normalized", "residual", "convolution1d", "convolution2d")
PROGRAMS = ("lp", "lp_tightened")


def points_of(low: Tensor, high: Tensor, seed: int) -> list[Tensor]:
    """Return both ends of a box, a corner and a point between them."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.where(torch.rand(low.shape, generator=generator) < 0.5, low, high)
    between = low + torch.rand(low.shape, generator=generator, dtype=low.dtype) * (high - low)
    return [low, high, corner, between.clamp(low, high)]


def exact_at(model: nn.Module, x: Tensor, shape: tuple[int, ...]) -> list[Fraction]:
    return exact_outputs(model, [Fraction(value) for value in x.double().tolist()], shape)


def assert_between(low: Tensor, values: list[Fraction], high: Tensor) -> None:
    for least, value, most in zip(low.tolist(), values, high.tolist(), strict=True):
        assert least == -torch.inf or Fraction(least) <= value, float(Fraction(least) - value)
        assert most == torch.inf or value <= Fraction(most), float(value - Fraction(most))


def check(drawn: DrawnNetwork, method: str, seed: int, width: float) -> None:
    """Compare bounds over a box with exact outputs at points of it."""
    network = lower(drawn.model, drawn.shape).network
    generator = torch.Generator().manual_seed(seed)
    low = torch.randn(network.inputs, generator=generator, dtype=torch.float64)
    high = low + width * torch.rand(network.inputs, generator=generator, dtype=torch.float64)
    rows = torch.eye(network.outputs, dtype=torch.float64)
    bounds = bound_rows(network, ra.Box(low, high), rows, method)
    for x in points_of(low, high, seed):
        assert_between(bounds.lower[0], exact_at(drawn.model, x, drawn.shape), bounds.upper[0])


def draw_folding(seed: int) -> DrawnNetwork:
    rng = random.Random(seed)
    while True:
        drawn = draw_network(rng)
        if drawn.label.split("/")[0] in FOLDING:
            return drawn


@pytest.mark.slow
@pytest.mark.parametrize("method", [method for method in BOUNDS if method not in PROGRAMS])
@some
@given(seed=seeds, width=st.sampled_from([0.0, 1e-9, 1.0]))
def test_exact_outputs_are_within_the_bounds_of_drawn_networks(method: str, seed: int, width: float) -> None:
    check(draw_folding(seed), method, seed, width)


@pytest.mark.parametrize("method", PROGRAMS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=seeds, width=st.sampled_from([0.0, 1e-9, 1.0]))
def test_exact_outputs_are_within_the_bounds_of_programs(method: str, seed: int, width: float) -> None:
    check(draw_folding(seed), method, seed, width)


def normal(module: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return module.eval().requires_grad_(False)


def far_normalized(seed: int, dtype: torch.dtype, distance: float) -> nn.Module:
    """Return a network whose batch normalization takes away a mean many deviations from zero, as training makes it."""
    generator = torch.Generator().manual_seed(seed)
    linear, norm = nn.Linear(3, 4, dtype=dtype), nn.BatchNorm1d(4, dtype=dtype)
    model = normal(nn.Sequential(linear, norm, nn.ReLU(), nn.Linear(4, 2, dtype=dtype)), seed)
    linear.bias.mul_(distance)
    norm.running_mean.copy_(linear.bias + 0.5 * torch.randn(4, generator=generator, dtype=dtype))
    norm.running_var.copy_(0.5 + torch.rand(4, generator=generator, dtype=dtype))
    return model


@pytest.mark.parametrize("method", BOUNDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("distance", [1e2, 1e3, 1e4])
def test_batch_normalization_far_from_zero(distance: float, dtype: torch.dtype, method: str) -> None:
    for seed in range(3):
        drawn = DrawnNetwork(far_normalized(seed, dtype, distance), (3,), "far")
        check(drawn, method, seed, 0.0)


@pytest.mark.parametrize("method", ["interval", "crown"])
def test_inputs_that_are_normalized_before_a_classifier(method: str) -> None:
    generator = torch.Generator().manual_seed(0)
    mean = 1e3 * torch.rand(3, generator=generator, dtype=torch.float64)
    deviation = 1e-3 * torch.rand(3, generator=generator, dtype=torch.float64)
    model = normal(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)), 0)
    network = Normalization(mean, deviation).fold(lower(model, (3,)).network, (3,))
    rows = torch.eye(2, dtype=torch.float64)
    for seed in range(10):
        x = mean + deviation * torch.randn(3, generator=generator, dtype=torch.float64)
        bounds = bound_rows(network, ra.Box(x, x), rows, method)
        exact = exact_at(nn.Sequential(Scaled(mean, deviation), model), x, (3,))
        assert_between(bounds.lower[0], exact, bounds.upper[0])
        assert float((bounds.upper - bounds.lower).max()) < 1e-6, seed


def canceling_pair(dtype: torch.dtype, size: float, order: tuple[int, int, int]) -> nn.Module:
    """Return two linear layers whose exact product is the identity on one number."""
    model = nn.Sequential(nn.Linear(1, 3, bias=False, dtype=dtype), nn.Linear(3, 1, bias=False, dtype=dtype))
    first, second = torch.tensor([size, 1.0, -size], dtype=dtype), torch.tensor([size, 1.0, size], dtype=dtype)
    model.requires_grad_(False)
    model[0].weight.copy_(first[list(order)][:, None])
    model[1].weight.copy_(second[list(order)][None])
    return model


@pytest.mark.parametrize("method", BOUNDS)
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2)])
@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 2.0**30), (torch.float64, 2.0**30), (torch.float64, 1e12)])
def test_linear_layers_that_cancel(dtype: torch.dtype, size: float, order: tuple[int, int, int], method: str) -> None:
    model = canceling_pair(dtype, size, order)
    network, one = lower(model, (1,)).network, torch.ones(1, dtype=torch.float64)
    bounds = bound_rows(network, ra.Box(0 * one, one), one[None], method)
    for x in (0 * one, one):
        assert_between(bounds.lower[0], exact_at(model, x, (1,)), bounds.upper[0])


@pytest.mark.slow
@some
@given(seed=seeds)
def test_a_claim_between_the_chain_and_the_model_is_not_verified(seed: int) -> None:
    """A claim that the chain satisfies and the model breaks by a rounding of the fold."""
    model = far_normalized(seed, torch.float32, 1e3)
    network = lower(model, (3,)).network
    x = torch.randn(3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for sign in (1.0, -1.0):
        row = torch.tensor([[sign, 0.0]], dtype=torch.float64)
        exact = Fraction(sign) * exact_at(model, x, (3,))[0]
        limit = float(exact)
        limit = limit if Fraction(limit) < exact else math.nextafter(limit, -math.inf)
        # f <= limit is false at x: its negation, f - limit > 0, must stay possible.
        search = TreeSearch(
            network,
            ra.Box(x, x),
            MinOfRows(row, torch.tensor([-limit], dtype=torch.float64)),
            closes=lambda _: 0.0,
            batch=1,
            period=1,
        )
        assert search.upper >= 0
        for method in ("interval", "crown", "alpha_crown"):
            assert float(bound_rows(network, ra.Box(x, x), row, method).upper) > limit


def test_the_loss_of_a_fold_covers_it() -> None:
    """The distance of a fold from the exact maps is within its loss, and the loss is no more than rounding."""
    generator = torch.Generator().manual_seed(0)
    maps = []
    for inputs, outputs in ((3, 5), (5, 4), (4, 2)):
        weight = torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
        maps.append(Affine(Dense(weight), torch.randn(outputs, generator=generator, dtype=torch.float64)))
    third = Diagonal(torch.full((2,), 1 / 3, dtype=torch.float64))
    folded = maps[0]
    for each in (*maps[1:], Affine(third, torch.ones(2).double(), Loss(gamma(1, torch.float64), third))):
        folded = each.after(folded)
    x = torch.randn(3, generator=generator, dtype=torch.float64)
    exact = [Fraction(value) for value in x.tolist()]
    for each in maps:
        weight, bias = each.operator.matrix().tolist(), each.bias.tolist()
        exact = [
            sum((Fraction(a) * b for a, b in zip(row, exact, strict=True)), Fraction(added))
            for row, added in zip(weight, bias, strict=True)
        ]
    exact = [value / 3 + 1 for value in exact]
    stored = [
        sum((Fraction(a) * Fraction(b) for a, b in zip(row, x.tolist(), strict=True)), Fraction(added))
        for row, added in zip(folded.operator.matrix().tolist(), folded.bias.tolist(), strict=True)
    ]
    lost = folded.lost(x.abs()[None])[0]
    for value, other, most in zip(exact, stored, lost.tolist(), strict=True):
        assert abs(value - other) <= Fraction(most)
    assert float(lost.max()) < 1e-12


def network_of(*modules: nn.Module, shape: tuple[int, ...]) -> Network:
    return lower(nn.Sequential(*modules).eval(), shape).network


EXACT = {
    "plain": (nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
    "leaky and clamped": (nn.Linear(3, 4), nn.LeakyReLU(0.1), nn.Linear(4, 4), nn.ReLU6()),
    "reshaped": (nn.Unflatten(1, (1, 3)), nn.MaxPool1d(2, stride=1), nn.Flatten(), nn.Linear(2, 2)),
}


@pytest.mark.parametrize("modules", EXACT.values(), ids=EXACT.keys())
def test_what_is_exact_loses_nothing(modules: tuple[nn.Module, ...]) -> None:
    network = network_of(*modules, shape=(3,))
    assert all(affine.loss is None for affine in [*(layer.affine for layer in network.layers), network.output])


def test_scales_by_powers_of_two_lose_nothing() -> None:
    network = network_of(nn.AvgPool1d(2), nn.Flatten(), nn.Linear(4, 2, bias=False), shape=(2, 4))
    assert network.output.loss is None


def test_the_loss_goes_along_to_another_dtype() -> None:
    model = far_normalized(0, torch.float32, 1e3)
    network = lower(model, (3,)).network
    largest = torch.ones(1, 3)
    here = network.layers[0].affine.lost(largest.double())
    there = network.to(dtype=torch.float32).layers[0].affine.lost(largest)
    assert there.dtype == torch.float32
    assert bool((there.double() >= here).all())


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("method", ["interval", "crown", "alpha_crown", "lp"])
def test_sums_of_products_that_are_flushed_are_in_the_bounds(method: str, flushed: bool) -> None:
    if flushed and not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush subnormal numbers")
    try:
        weight = torch.full((1, 1000), 1e-154, dtype=torch.float64)
        affine = Affine(Dense(weight), torch.zeros(1, dtype=torch.float64))
        x = torch.full((1000,), 2e-154, dtype=torch.float64)
        network = Network((), affine, (1000,), (1,))
        row = torch.ones(1, 1, dtype=torch.float64)
        domain = ra.Box(x, x)
        if method == "lp":
            Problem(network, domain, row, batched=False)
        bounds = bound_rows(network, domain, row, method)
    finally:
        torch.set_flush_denormal(False)
    exact = 1000 * Fraction(1e-154) * Fraction(2e-154)
    assert_between(bounds.lower[0], [exact], bounds.upper[0])


@pytest.mark.parametrize("method", ["interval", "crown", "lp"])
def test_subnormal_weights_are_those_of_the_model_where_they_are_flushed(method: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).requires_grad_(False)
    model[0].weight.copy_(torch.tensor([[1e-40, 3e-44], [1e30, -1e30]]))
    model[2].weight.copy_(torch.tensor([[1e30, 1e-43]]))
    point = torch.tensor([1.0, 0.5], dtype=torch.float64)
    exact = exact_at(model, point, (2,))
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush subnormal numbers")
    try:
        network = lower(model, (2,)).network
        bounds = bound_rows(network, ra.Box(point, point), torch.ones(1, 1, dtype=torch.float64), method)
    finally:
        torch.set_flush_denormal(False)
    assert_between(bounds.lower[0], exact, bounds.upper[0])


def test_every_kind_that_folds_is_drawn() -> None:
    assert set(FOLDING) <= set(KINDS)
