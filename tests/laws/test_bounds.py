"""Laws of certified bounds, checked in exact arithmetic: a bound that holds up to rounding only is no bound."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from relu_attack import Box
from relu_attack.bounds import bound_rows, interval
from relu_attack.network import Affine, Layer, Network, lower
from relu_attack.network.operators import Composition, Dense, LinearOperator, Summed
from tests import exact

few = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31 - 1)
scales = st.integers(-6, 6)


def canceling_network(seed: int, *, scale: int, slope: float, depth: int = 3) -> nn.Sequential:
    """Return a network whose units come in pairs that nearly cancel in the next layer, weights of size 10^scale."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential()
    width, before = 6, 3
    for layer in range(depth):
        after = width if layer < depth - 1 else 2
        weight = torch.randn(after, before, generator=generator, dtype=torch.float64)
        if layer:
            tiny = 1e-9 * torch.randn(after, before // 2, generator=generator, dtype=torch.float64)
            weight[:, 1::2] = -weight[:, ::2] + tiny
        else:
            weight[1::2] = weight[::2]
        linear = nn.Linear(before, after, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(weight * 10.0**scale)
            linear.bias.copy_(torch.randn(after, generator=generator, dtype=torch.float64) * 10.0 ** min(scale, 0))
        model.extend([linear, nn.ReLU() if slope == 0 else nn.LeakyReLU(slope)])
        before = after
    return model[:-1]


def random_box(seed: int, *, scale: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randn(2, 3, generator=generator, dtype=torch.float64) * 10.0**scale
    width = 10.0 ** float(torch.randint(-12, 1, (), generator=generator))
    low, high = ends.amin(0), ends.amax(0)
    return low, low + width * (high - low)


def assert_contains(low: Tensor, high: Tensor, exact_low: list[Fraction], exact_high: list[Fraction]) -> None:
    for ours, truth in zip(exact.fractions(low), exact_low, strict=True):
        assert ours <= truth, float(ours - truth)
    for ours, truth in zip(exact.fractions(high), exact_high, strict=True):
        assert ours >= truth, float(ours - truth)


@few
@given(seed=seeds, scale=scales, box_scale=scales, slope=st.sampled_from([0.0, 0.01, 0.3]))
def test_every_range_contains_that_of_exact_interval_arithmetic(
    seed: int, scale: int, box_scale: int, slope: float
) -> None:
    model = canceling_network(seed, scale=scale, slope=slope)
    low, high = random_box(seed + 1, scale=box_scale)
    objective = torch.randn(1, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    bounds = interval(lower(model, (3,)).network, low[None], high[None], objective)
    *hidden, output = exact.interval(exact.layers_of(model, objective), low, high)
    for ours, truth in zip(bounds.layers, hidden, strict=True):
        assert_contains(*ours, *truth)
    assert_contains(bounds.lower, bounds.upper, *output)


@few
@given(seed=seeds, scale=scales, box_scale=scales)
def test_ranges_are_wider_than_exact_ones_by_rounding_only(seed: int, scale: int, box_scale: int) -> None:
    model = canceling_network(seed, scale=scale, slope=0.0)
    low, high = random_box(seed + 1, scale=box_scale)
    bounds = interval(lower(model, (3,)).network, low[None], high[None], torch.eye(2, dtype=torch.float64))
    magnitude = torch.maximum(low.abs(), high.abs())
    for layer, (exact_low, exact_high), (ours_low, ours_high) in zip(
        [module for module in model if isinstance(module, nn.Linear)],
        exact.interval(exact.layers_of(model), low, high),
        [*bounds.layers, (bounds.lower, bounds.upper)],
        strict=True,
    ):
        magnitude = layer.weight.detach().abs() @ magnitude + layer.bias.detach().abs()
        for ours, truth in ((ours_low, exact_low), (ours_high, exact_high)):
            error = (ours[0] - torch.tensor([float(value) for value in truth], dtype=torch.float64)).abs()
            assert bool((error <= 1e-13 * magnitude).all())


@few
@given(seed=seeds, scale=scales, box_scale=scales, slope=st.sampled_from([0.0, 0.3]))
def test_no_sample_leaves_the_range(seed: int, scale: int, box_scale: int, slope: float) -> None:
    model = canceling_network(seed, scale=scale, slope=slope)
    low, high = random_box(seed + 1, scale=box_scale)
    box = Box(low, high)
    generator = torch.Generator().manual_seed(seed)
    points = torch.cat([box.sample(6, generator=generator), box.corners(6, generator=generator)])
    bounds = interval(lower(model, (3,)).network, low[None], high[None], torch.eye(2, dtype=torch.float64))
    layers = exact.layers_of(model)
    for point in points:
        values = exact.forward(layers, point)
        assert_contains(bounds.lower, bounds.upper, values, values)


@few
@given(seed=seeds)
def test_a_box_of_one_point_has_a_range_of_its_value(seed: int) -> None:
    model = canceling_network(seed, scale=0, slope=0.0)
    point, _ = random_box(seed, scale=0)
    bounds = interval(lower(model, (3,)).network, point[None], point[None], torch.eye(2, dtype=torch.float64))
    values = exact.forward(exact.layers_of(model), point)
    assert_contains(bounds.lower, bounds.upper, values, values)
    assert float((bounds.upper - bounds.lower).max()) < 1e-11


def canceling_operator(seed: int, kind: str) -> tuple[LinearOperator, list[list[Fraction]]]:
    """Return an operator on four numbers that is kept in parts, whose rows nearly cancel, and its exact matrix."""
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    near = 1 + 1e-13 * torch.randn(4, 4, generator=generator, dtype=torch.float64)
    if kind == "summed":
        parts = [left, right, -(left + right) * near]
        matrices = [[exact.fractions(row) for row in part] for part in parts]
        rows = [[sum(entries) for entries in zip(*same, strict=True)] for same in zip(*matrices, strict=True)]
        return Summed(tuple(Dense(part) for part in parts)), rows
    first, second = torch.stack([left[0], -left[0] * near[0]]), torch.stack([right[0], right[0] * near[1]], 1)
    columns = [exact.fractions(column) for column in first.T]
    rows = [
        [sum(a * b for a, b in zip(exact.fractions(row), column, strict=True)) for column in columns] for row in second
    ]
    return Composition((Dense(first), Dense(second))), rows


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["composition", "summed"])
@pytest.mark.parametrize("method", ["interval", "crown", "alpha_crown"])
@few
@given(seed=seeds)
def test_preactivations_of_an_operator_in_parts_are_in_their_range(method: str, kind: str, seed: int) -> None:
    """Its rows are products or sums, which are rounded; at one point the range is as narrow as its own rounding."""
    operator, rows = canceling_operator(seed, kind)
    zero, one, unit = (torch.tensor(number, dtype=torch.float64) for number in (0.0, 1.0, [[1.0]]))
    identity = Layer(Affine(Dense(torch.eye(4, dtype=torch.float64)), zero.expand(4)), zero.expand(4))
    layer = Layer(Affine(operator, zero.expand(4)), zero.expand(4))
    network = Network((identity, layer), Affine(Dense(one.expand(1, 4)), zero.expand(1)), (4,), (1,))
    point = torch.rand(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.5
    bounds = bound_rows(network, Box(point, point), unit, method)
    values = exact.Layer(rows, [Fraction(0)] * 4, [Fraction(1)] * 4).apply(exact.fractions(point))
    assert_contains(*bounds.layers[1], values, values)


@few
@given(seed=seeds)
def test_convolution_and_pooling_samples_stay_in_their_range(seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 3),
        nn.Hardtanh(),
        nn.Linear(3, 2),
    ).double()
    box = Box(torch.rand(1, 4, 4, dtype=torch.float64), torch.rand(1, 4, 4, dtype=torch.float64) + 1)
    rows = torch.eye(2, dtype=torch.float64)
    bounds = interval(lower(model, (1, 4, 4)).network, box.lower[None], box.upper[None], rows)
    with torch.no_grad():
        values = model(box.sample(64, generator=torch.Generator().manual_seed(seed)).view(-1, 1, 4, 4))
    assert bool((bounds.lower <= values).all())
    assert bool((values <= bounds.upper).all())


@pytest.mark.parametrize("seed", range(3))
def test_exact_enumeration_agrees_with_a_fine_grid(seed: int) -> None:
    """The yardstick itself: no grid point is above the enumerated maximum, and one comes near."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 4), nn.LeakyReLU(0.1), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
        low, high = torch.tensor([-1.0, -1.0], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
        axes = [torch.linspace(float(a), float(b), 401, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
        best = float(model(torch.cartesian_prod(*axes)).max())
    maximum = float(exact.maximum(exact.layers_of(model), low, high))
    assert best <= maximum + 1e-12
    assert maximum - best < 2e-2 * abs(maximum)
