"""Laws of bounds in float32: they hold in exact arithmetic too, and what float32 cannot hold is refused."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import relu_attack as ra
from relu_attack.bounds import BOUNDS, bound_rows
from relu_attack.bounds._single_precision import in_single_precision
from relu_attack.network import lower
from tests import exact
from tests.laws.test_bounds import assert_contains, canceling_network, random_box
from tests.laws.test_crown import points_of_box
from tests.problems import random_network

IN_FLOAT32 = [name for name, method in BOUNDS.items() if method.in_float32]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31 - 1),
    scale=st.integers(-6, 6),
    box_scale=st.integers(-6, 6),
    slope=st.sampled_from([0.0, 0.25]),
    method=st.sampled_from(IN_FLOAT32),
)
def test_exact_values_at_points_of_a_box_lie_in_every_range(
    seed: int, scale: int, box_scale: int, slope: float, method: str
) -> None:
    model = canceling_network(seed, scale=scale, slope=slope).float().double()
    low, high = random_box(seed + 1, scale=box_scale)
    objective = torch.randn(1, 2, generator=torch.Generator().manual_seed(seed)).double()
    network = lower(model, (3,)).network
    bounds = bound_rows(network, ra.Box(low, high), objective, method, dtype=torch.float32)
    assert bounds.lower.dtype == torch.float64
    layers = exact.layers_of(model, objective)
    for x in points_of_box(low, high, seed):
        values = exact.fractions(x)
        for layer, range_ in zip(layers, [*bounds.layers, (bounds.lower, bounds.upper)], strict=True):
            values = layer.apply(values)
            assert_contains(*range_, values, values)
            values = layer.activate(values)


@pytest.mark.parametrize("method", IN_FLOAT32)
def test_they_are_wider_by_rounding_only(method: str) -> None:
    model = random_network(20, 30, 30, 3, seed=1).float()
    corner = torch.rand(4, 20, generator=torch.Generator().manual_seed(0))
    optimizer = ra.ReLUOptimizer(model, ra.Box(corner, corner + 0.1), ra.Output(1))
    low, high = optimizer.bounds(method, dtype=torch.float32)
    exact_low, exact_high = optimizer.bounds(method)
    # The line below a unit with two equal ends may be another one.
    room = (1e-4 if method == "interval" else 2e-2) * (exact_high - exact_low)
    assert bool(((low - exact_low).abs() <= room).all())
    assert bool(((high - exact_high).abs() <= room).all())


def test_boxes_are_rounded_outward() -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    box = ra.Box(low, low + 1e-12)
    network = lower(random_network(3, 4, 1, seed=0).float().double(), (3,)).network
    _, ours, _ = in_single_precision(network, box, torch.ones(1, 1, dtype=torch.float64))
    assert ours.dtype == torch.float32
    assert bool((ours.lower.double() <= box.lower).all() and (box.upper <= ours.upper.double()).all())
    assert bool((ours.upper - ours.lower <= 1e-6).all())


FLOAT32 = random_network(2, 4, 1, seed=0).float()
TENTH = torch.tensor([0.1], dtype=torch.float64)
FLOAT64 = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)).double()
FLOAT64[0].weight.data.fill_(0.1)
LEAKY = nn.Sequential(nn.Linear(2, 4), nn.LeakyReLU(0.1), nn.Linear(4, 1))
REFUSED = {
    "a weight of layer 0 is 0.1, which float32 cannot hold; take float64": (FLOAT64, "crown", ra.Output(0)),
    "a slope of layer 0 is 0.1, which float32 cannot hold": (LEAKY, "crown", ra.Output(0)),
    "the objective is 0.1, which float32 cannot hold": (FLOAT32, "crown", ra.Linear(TENTH)),
    "bounds by lp in torch.float32: take torch.float64, or torch.float32 with interval": (FLOAT32, "lp", ra.Output(0)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_float32_cannot_hold_is_refused(message: str) -> None:
    model, method, objective = REFUSED[message]
    optimizer = ra.ReLUOptimizer(model, ra.Box(0.0, 1.0, shape=(2,)), objective)
    with pytest.raises(ra.OptionError, match=message):
        optimizer.bounds(method, dtype=torch.float32)


def test_sets_that_are_no_boxes_convolutions_and_other_dtypes_are_refused() -> None:
    ball = ra.L2Ball(torch.zeros(2), 1.0)
    with pytest.raises(ra.OptionError, match="the domain is a L2Ball; bounds in float32 are for boxes"):
        ra.ReLUOptimizer(FLOAT32, ball).bounds("crown", dtype=torch.float32)
    model = nn.Sequential(nn.Conv2d(1, 1, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 1))
    with pytest.raises(ra.OptionError, match="layer 0 is a convolution; bounds in float32 are for dense layers"):
        ra.ReLUOptimizer(model, ra.Box(0.0, 1.0, shape=(1, 3, 3))).bounds("crown", dtype=torch.float32)
    with pytest.raises(ra.OptionError, match=r"bounds by crown in torch.float16: take torch.float64"):
        ra.ReLUOptimizer(FLOAT32, ra.Box(0.0, 1.0, shape=(2,))).bounds("crown", dtype=torch.float16)


@pytest.fixture
def medium_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("medium_precision")
def test_products_of_less_than_float32_are_refused() -> None:
    optimizer = ra.ReLUOptimizer(FLOAT32, ra.Box(0.0, 1.0, shape=(2,)))
    with pytest.raises(ra.OptionError, match=r"'medium'; bounds in float32 hold with 'highest' only"):
        optimizer.bounds("crown", dtype=torch.float32)
    optimizer.bounds("crown")
