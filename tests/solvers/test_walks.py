"""What each walk does, seen in its recorded path on networks of one input."""

import pytest
import torch
from torch import Tensor, nn

from relu_attack import Box, Polytope, ReLUOptimizer
from tests.problems import network

UNIT = Box(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))


def rise_with_a_wall(at: float = 0.5) -> nn.Sequential:
    """Return f(x) = x + 2 relu(x - at): one wall in the unit interval, at which the slope goes from 1 to 3."""
    return network(([[1.0], [1.0]], [5.0, -at]), ([[1.0, 2.0]], [-5.0]))


def peak(at: float = 0.5) -> nn.Sequential:
    """Return f(x) = -|x - at|."""
    return network(([[1.0], [-1.0]], [-at, at]), ([[-1.0, -1.0]], [0.0]))


def walk(model: nn.Module, method: str, x0: float, *, iterations: int, box: Box = UNIT, **options: float) -> Tensor:
    """Return the places of one walker before each step, shape (iterations,)."""
    optimizer = ReLUOptimizer(model, box, dtype=torch.float64)
    result = optimizer.maximize(
        method,
        x0=torch.tensor([x0], dtype=torch.float64),
        restarts=1,
        iterations=iterations,
        record_path=True,
        seed=0,
        **options,
    )
    assert result.path is not None
    return result.path[:, 0, 0, 0]


@pytest.mark.parametrize("method", ["gradient_walk", "ppga", "ppga_lr"])
def test_a_raw_learning_rate_is_a_step_along_the_raw_gradient(method: str) -> None:
    """Slope 3 after the wall at 2, in a box that is not scaled: a step of 0.01 times the slope."""
    wide = Box(torch.zeros(1, dtype=torch.float64), torch.full((1,), 10.0, dtype=torch.float64))
    path = walk(rise_with_a_wall(2.0), method, 4.0, iterations=6, box=wide, learning_rate=0.01)
    torch.testing.assert_close(path, 4.0 + 0.03 * torch.arange(6, dtype=torch.float64))


def test_a_relative_step_is_a_share_of_the_width_of_the_set() -> None:
    wide = Box(torch.zeros(1, dtype=torch.float64), torch.full((1,), 10.0, dtype=torch.float64))
    path = walk(rise_with_a_wall(2.0), "gradient_walk", 4.0, iterations=4, box=wide, step=0.05)
    torch.testing.assert_close(path, 4.0 + 0.5 * torch.arange(4, dtype=torch.float64))


def test_the_valve_lengthens_a_tiny_step_to_just_beyond_the_wall() -> None:
    path = walk(rise_with_a_wall(), "ppga_lr", 0.2, iterations=11, learning_rate=1e-6, overshoot=0.02)
    torch.testing.assert_close(path[:10], 0.2 + 1e-6 * torch.arange(10, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(path[10], path[9] + 1.02 * (0.5 - path[9]), rtol=0, atol=1e-9)


def test_ppga_has_no_valve() -> None:
    path = walk(rise_with_a_wall(), "ppga", 0.2, iterations=11, learning_rate=1e-6)
    torch.testing.assert_close(path, 0.2 + 1e-6 * torch.arange(11, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_step_that_meets_no_wall_is_left_as_it_is() -> None:
    path = walk(rise_with_a_wall(), "ppga_lr", 0.6, iterations=11, learning_rate=1e-6)
    torch.testing.assert_close(path[10], path[9] + 3e-6, rtol=0, atol=1e-12)


def test_a_step_that_leaves_its_region_is_not_lengthened() -> None:
    path = walk(rise_with_a_wall(0.55), "ppga_lr", 0.455, iterations=11, learning_rate=0.01)
    torch.testing.assert_close(path, 0.455 + 0.01 * torch.arange(11, dtype=torch.float64))


def test_the_valve_stays_in_the_set() -> None:
    """The wall lies beyond the set: the lengthened step ends at the set's edge."""
    path = walk(rise_with_a_wall(1.5), "ppga_lr", 0.2, iterations=11, learning_rate=1e-6)
    assert float(path[10]) == 1.0


def test_a_walker_without_gain_goes_back_to_its_best_with_a_shorter_step() -> None:
    """From 0.56 steps of 0.1 swing around the peak at 0.5; the second window gains nothing and would end at 0.56."""
    path = walk(peak(), "ppga_lr", 0.56, iterations=23, learning_rate=0.1)
    torch.testing.assert_close(path[:20:2], torch.full((10,), 0.56, dtype=torch.float64))
    torch.testing.assert_close(path[1:20:2], torch.full((10,), 0.46, dtype=torch.float64))
    torch.testing.assert_close(path[20:23], torch.tensor([0.46, 0.49, 0.52], dtype=torch.float64))


def test_a_walker_that_still_rises_doubles_its_step() -> None:
    path = walk(rise_with_a_wall(0.1), "ppga_lr", 0.2, iterations=13, learning_rate=1e-3)
    steps = path.diff()
    torch.testing.assert_close(steps[:9], torch.full((9,), 3e-3, dtype=torch.float64))
    torch.testing.assert_close(steps[10:], torch.full((2,), 6e-3, dtype=torch.float64))


def test_trimming_the_step_closes_in_on_a_peak_where_a_fixed_step_swings() -> None:
    ends = {}
    for method in ("gradient_walk", "ppga_lr"):
        result = ReLUOptimizer(peak(), UNIT, dtype=torch.float64).maximize(
            method, x0=[0.46], restarts=1, iterations=90, learning_rate=0.1
        )
        ends[method] = -float(result.value)
    assert ends["ppga_lr"] < 2e-3 < ends["gradient_walk"]


def test_gradient_walk_begins_again_at_random_when_it_stalls() -> None:
    """At the corner x = 1 nothing can be gained: the second window is the last there."""
    path = walk(rise_with_a_wall(), "gradient_walk", 1.0, iterations=21, learning_rate=1e-3)
    assert bool((path[:20] == 1.0).all())
    assert float(path[20]) < 0.99


def test_ppga_goes_on_from_near_its_best_when_it_stalls() -> None:
    path = walk(rise_with_a_wall(), "ppga", 1.0, iterations=21, learning_rate=1e-3, radius=1e-3)
    assert bool((path[:20] == 1.0).all())
    assert 0.99 < float(path[20]) <= 1.0


def test_reviews_come_each_window() -> None:
    path = walk(rise_with_a_wall(), "gradient_walk", 1.0, iterations=7, window=3, learning_rate=1e-3)
    assert (path == 1.0).tolist() == [True] * 6 + [False]


def test_a_flat_network_leaves_walkers_where_they_are_and_the_answer_in_the_set() -> None:
    flat = network(([[1.0]], [-9.0]), ([[1.0]], [2.0]))
    for method in ("gradient_walk", "ppga", "ppga_lr"):
        result = ReLUOptimizer(flat, UNIT).maximize(method, iterations=40)
        assert float(result.value) == 2.0
        assert float(result.violation) == 0.0


def test_a_set_of_one_point_has_that_answer() -> None:
    point = torch.tensor([0.25, 0.5], dtype=torch.float64)
    model = network(([[1.0, 1.0]], [0.0]), ([[2.0]], [0.0]))
    for domain in (Box(point, point), Polytope(A_eq=[[1.0, 0.0], [0.0, 1.0]], b_eq=[0.25, 0.5])):
        result = ReLUOptimizer(model, domain).maximize(iterations=25, restarts=4)
        torch.testing.assert_close(result.x, point)
        assert float(result.value) == pytest.approx(1.5, abs=1e-8)


@pytest.mark.parametrize("method", ["gradient_walk", "ppga", "ppga_lr"])
def test_a_gradient_of_zero_does_not_spoil_walkers_in_many_inputs(method: str) -> None:
    """Half of each walker's units are off, all of them at some: a step of zero, never 0 times infinity."""
    model = nn.Sequential(nn.ReLU())
    box = Box(-1.0, 1.0, shape=(64,))
    result = ReLUOptimizer(model, box).maximize(method, starts="random", iterations=60, restarts=16, record_path=True)
    assert result.path is not None
    assert bool(torch.isfinite(result.path).all())
    assert float(result.value) >= 0.0
