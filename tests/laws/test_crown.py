"""Laws of bounds by lines: nothing leaves them in exact arithmetic, they nest, what they do not know is infinite."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from relu_attack import Box, L1Ball, L2Ball, LInfBall, Polytope
from relu_attack.bounds import Bounds, bound_rows, crown, interval
from relu_attack.bounds._alpha_crown import alpha_crown
from relu_attack.bounds._concretization import set_support
from relu_attack.bounds._crown import bound_layers
from relu_attack.bounds._relaxation import relax
from relu_attack.domains import Domain
from relu_attack.domains._support import box_support
from relu_attack.network import lower
from tests import exact
from tests.laws.test_bounds import assert_contains, canceling_network, random_box
from tests.problems import random_network

few = settings(max_examples=30, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31 - 1)
scales = st.integers(-6, 6)


def points_of_box(low: Tensor, high: Tensor, seed: int) -> list[Tensor]:
    """Return corners, the centre and random points, all of them inside as floats."""
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(8, len(low), generator=generator, dtype=torch.float64)
    share[:4] = share[:4].round()
    return [torch.clamp(low + row * (high - low), low, high) for row in share]


@few
@given(seed=seeds, scale=scales, box_scale=scales, slope=st.sampled_from([0.0, 0.01, 0.3]))
def test_exact_values_at_points_of_a_box_lie_in_every_range(
    seed: int, scale: int, box_scale: int, slope: float
) -> None:
    model = canceling_network(seed, scale=scale, slope=slope)
    low, high = random_box(seed + 1, scale=box_scale)
    objective = torch.randn(1, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    bounds = crown(lower(model, (3,)).network, Box(low, high), objective)
    layers = exact.layers_of(model, objective)
    for x in points_of_box(low, high, seed):
        values = exact.fractions(x)
        for layer, range_ in zip(layers, [*bounds.layers, (bounds.lower, bounds.upper)], strict=True):
            values = layer.apply(values)
            assert_contains(*range_, values, values)
            values = layer.activate(values)


@few
@given(seed=seeds, radius=st.sampled_from([0.01, 0.1, 1.0]))
def test_they_nest_inside_intervals(seed: int, radius: float) -> None:
    model = random_network(4, 8, 8, 2, seed=seed)
    chain, rows = lower(model, (4,)).network, torch.eye(2, dtype=torch.float64)
    box = LInfBall(torch.zeros(4, dtype=torch.float64), radius)
    outer, inner = bound_rows(chain, box, rows, "interval"), crown(chain, box, rows)
    ends = [(outer.lower, outer.upper), *outer.layers], [(inner.lower, inner.upper), *inner.layers]
    for wide, narrow in zip(*ends, strict=True):
        assert bool((wide[0] <= narrow[0]).all())
        assert bool((narrow[1] <= wide[1]).all())


@few
@given(slope=st.sampled_from([0.0, 0.1, 1.0]), ends=st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)))
def test_the_lines_are_around_the_activation(slope: float, ends: tuple[float, float]) -> None:
    low, high = (torch.tensor([[end]], dtype=torch.float64) for end in sorted(ends))
    lines = relax(torch.tensor([slope], dtype=torch.float64), low, high)
    (above,), (below,), (shift,) = (
        exact.fractions(line) for line in (lines.upper_slope, lines.lower_slope, lines.intercept)
    )
    a = exact.fractions(torch.tensor([slope], dtype=torch.float64))[0]
    for z in [*exact.fractions(low), *exact.fractions(high), exact.fractions(torch.clamp(0 * low, low, high))[0]]:
        assert below * z <= max(z, a * z) <= above * z + shift


@pytest.mark.parametrize("ends", [(-torch.inf, 1.0), (-1.0, torch.inf), (-torch.inf, torch.inf), (-torch.inf, -1.0)])
def test_an_end_that_is_not_known_is_never_taken_for_a_number(ends: tuple[float, float]) -> None:
    low, high = (torch.tensor([[end]], dtype=torch.float64) for end in ends)
    lines = relax(torch.zeros(1, dtype=torch.float64), low, high)
    for z in (-1e9, -1.0, 0.0, 1.0, 1e9):
        if ends[0] <= z <= ends[1]:
            assert lines.lower_slope.item() * z <= max(z, 0.0) <= lines.upper_slope.item() * z + lines.intercept.item()


SETS: list[Domain] = [
    Box(-1.0, 1.0, shape=(4,)),
    L1Ball(torch.zeros(4, dtype=torch.float64), 0.7, clip=(-0.5, 0.4)),
    L2Ball(torch.zeros(4, dtype=torch.float64), 0.7, clip=(-0.5, 0.4)),
    Polytope(A=[[1.0, 1.0, 1.0, 1.0]], b=[0.5], A_eq=[[1.0, -1.0, 0.0, 0.0]], b_eq=[0.1], lower=-1.0, upper=1.0),
]


@pytest.mark.parametrize("domain", SETS, ids=lambda domain: type(domain).__name__)
def test_no_point_of_a_set_leaves_its_bounds(domain: Domain) -> None:
    model = random_network(4, 10, 10, 2, seed=3)
    chain, rows = lower(model, (4,)).network, torch.eye(2, dtype=torch.float64)
    bounds = crown(chain, domain, rows)
    points = domain.to(dtype=torch.float64).sample(500, generator=torch.Generator().manual_seed(0))
    gradients = torch.randn(500, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    evaluation = chain.forward(torch.cat([points, domain.to(dtype=torch.float64).maximizer(gradients)]))
    for (low, high), values in zip(
        [*bounds.layers, (bounds.lower, bounds.upper)], [*evaluation.preactivations, evaluation.outputs], strict=True
    ):
        assert bool((low - 1e-9 <= values).all())
        assert bool((values <= high + 1e-9).all())


@pytest.mark.parametrize("domain", SETS[1:], ids=lambda domain: type(domain).__name__)
def test_the_set_itself_bounds_better_than_its_box(domain: Domain) -> None:
    model = random_network(4, 10, 10, 1, seed=3)
    chain, rows = lower(model, (4,)).network, torch.ones(1, 1, dtype=torch.float64)
    own, box = crown(chain, domain, rows), crown(chain, domain.bounding_box(), rows)
    assert float(own.upper - own.lower) < 0.99 * float(box.upper - box.lower)


@pytest.mark.parametrize("domain", SETS, ids=lambda domain: type(domain).__name__)
def test_the_support_function_is_that_of_the_set(domain: Domain) -> None:
    exactly = domain.to(dtype=torch.float64)
    rows = torch.randn(1, 20, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = (rows * exactly.maximizer(rows)).sum(-1)
    ours = set_support(domain)(rows)
    assert bool((ours >= values - 1e-9).all())
    if not isinstance(domain, L2Ball):
        torch.testing.assert_close(ours, values, rtol=1e-7, atol=1e-7)


def test_a_batch_of_boxes_and_little_memory_give_the_same_bounds() -> None:
    model = random_network(4, 12, 12, 3, seed=5)
    chain, rows = lower(model, (4,)).network, torch.eye(3, dtype=torch.float64)
    corner = torch.rand(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = crown(chain, Box(corner, corner + 0.5), rows, memory_limit=1)
    for row in range(5):
        alone = crown(chain, Box(corner[row], corner[row] + 0.5), rows)
        torch.testing.assert_close(together.lower[row], alone.lower[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(together.upper[row], alone.upper[0], rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "method"), [(L1Ball, crown), (L2Ball, crown), (L1Ball, alpha_crown)])
def test_a_batch_of_balls_and_little_memory_give_the_same_bounds(
    kind: type[L1Ball | L2Ball], method: Callable[..., Bounds]
) -> None:
    chain, rows = lower(random_network(4, 12, 12, 3, seed=5), (4,)).network, torch.eye(3, dtype=torch.float64)
    center = torch.rand(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = method(chain, kind(center, 0.3, clip=(0, 1)), rows, memory_limit=1)
    for row in range(3):
        alone = method(chain, kind(center[row], 0.3, clip=(0, 1)), rows)
        torch.testing.assert_close(together.lower[row], alone.lower[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(together.upper[row], alone.upper[0], rtol=1e-9, atol=1e-9)


def test_convolutions_and_pooling_are_bounded_without_matrices() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 2, 2),
        nn.LeakyReLU(0.1),
        nn.Flatten(),
        nn.Linear(8, 2),
    ).double()
    chain, rows = lower(model, (1, 8, 8)).network, torch.eye(2, dtype=torch.float64)
    ball = LInfBall(torch.rand(1, 8, 8, dtype=torch.float64), 0.05, clip=(0, 1))
    bounds = crown(chain, ball, rows)
    outputs = model(ball.sample(300, generator=torch.Generator().manual_seed(0)).view(-1, 1, 8, 8))
    assert bool(((bounds.lower <= outputs) & (outputs <= bounds.upper)).all())
    wide = bound_rows(chain, ball, rows, "interval")
    assert bool((bounds.upper - bounds.lower < 0.7 * (wide.upper - wide.lower)).all())


def test_ranges_that_are_known_are_kept() -> None:
    chain = lower(random_network(3, 6, 6, 1, seed=2), (3,)).network
    low, high = torch.zeros(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)
    small = interval(chain, low + 0.4, high - 0.4, torch.ones(1, 1, dtype=torch.float64)).layers
    ranges, _ = bound_layers(chain, low, high, box_support(low, high), known=small)
    for (ours_low, ours_high), (known_low, known_high) in zip(ranges, small, strict=True):
        assert bool((ours_low >= known_low).all())
        assert bool((ours_high <= known_high).all())


def test_weights_that_overflow_give_infinite_bounds() -> None:
    model = random_network(2, 3, 3, 1, seed=0)
    with torch.no_grad():
        for module in model:
            if isinstance(module, nn.Linear):
                module.weight.mul_(1e200)
    bounds = crown(lower(model, (2,)).network, Box(-1.0, 1.0, shape=(2,)), torch.ones(1, 1, dtype=torch.float64))
    assert bounds.lower.item() == -torch.inf
    assert bounds.upper.item() == torch.inf
