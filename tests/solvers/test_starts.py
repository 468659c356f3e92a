"""Where walkers begin: seen in the first step of the recorded path."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack import Box, DomainError, OptionError, Output, Polytope, ReLUOptimizer
from relu_attack.solvers import METHODS
from tests.problems import network, random_network

BOX = Box(torch.tensor([0.0, 10.0, -1.0], dtype=torch.float64), torch.tensor([1.0, 30.0, 1.0], dtype=torch.float64))


def first_points(
    x0: Any = None, *, objective: ra.Objective | None = None, box: ra.Domain = BOX, **options: Any
) -> Tensor:
    """Return where the walkers begin, shape (problems, restarts, inputs)."""
    model = random_network(3, 4, 1, seed=0)
    optimizer = ReLUOptimizer(model, box, objective, dtype=torch.float64)
    path = optimizer.maximize("ppga_lr", iterations=1, record_path=True, x0=x0, **options).path
    assert path is not None
    return path[0]


def is_corner(points: Tensor) -> Tensor:
    low, high = BOX.lower, BOX.upper
    return ((points - low).abs().minimum((points - high).abs()) < 1e-9).all(-1)


def is_center(points: Tensor) -> Tensor:
    return ((points - BOX.center()).abs() < 1e-9).all(-1)


def test_corners_are_corners_and_differ() -> None:
    starts = first_points(starts="corners", restarts=32)
    assert bool(is_corner(starts).all())
    assert len(starts[0].unique(dim=0)) > 4


def test_the_center_is_the_center() -> None:
    assert bool(is_center(first_points(starts="center", restarts=3)).all())


def test_random_starts_are_neither_and_lie_inside() -> None:
    starts = first_points(starts="random", restarts=32)
    assert not bool((is_corner(starts) | is_center(starts)).any())
    assert float(BOX.violation(starts).max()) < 1e-9


@pytest.mark.parametrize(("restarts", "corners", "center"), [(1, 0, 0), (2, 0, 1), (16, 4, 1)])
def test_mixed_starts_are_a_quarter_corners_one_center_and_else_random(
    restarts: int, corners: int, center: int
) -> None:
    starts = first_points(restarts=restarts, objective=Output([0, 0]))
    assert is_corner(starts).sum(1).tolist() == [corners] * 2
    assert is_center(starts).sum(1).tolist() == [center] * 2


def test_another_seed_gives_other_starts() -> None:
    assert torch.equal(first_points(seed=1), first_points(seed=1))
    for kind in ("random", "corners"):
        assert not torch.equal(first_points(seed=1, starts=kind), first_points(seed=2, starts=kind))


POINT = [0.25, 20.0, 0.5]


@pytest.mark.parametrize(
    "x0",
    [
        POINT,
        [POINT],
        np.array(POINT, dtype=np.float32),
        torch.tensor(POINT),
        torch.tensor(POINT, dtype=torch.bfloat16),
        torch.tensor(POINT, requires_grad=True),
    ],
    ids=["list", "list of points", "array", "tensor", "bfloat16", "with gradient"],
)
def test_given_points_come_first_and_the_others_fill_up(x0: Any) -> None:
    starts = first_points(x0, restarts=3, starts="center")
    torch.testing.assert_close(starts[0, 0], torch.tensor(POINT, dtype=torch.float64), rtol=0, atol=1e-9)
    assert bool(is_center(starts[0, 1:]).all())


def test_points_for_all_problems_or_for_each() -> None:
    both = torch.tensor([POINT, [0.5, 11.0, 0.0]], dtype=torch.float64)
    objective = Output([0, 0])
    one_each = first_points(both, objective=objective, restarts=1)
    torch.testing.assert_close(one_each[:, 0], both)
    two_each = first_points(torch.stack([both, both.flip(0)]), objective=objective, restarts=2)
    torch.testing.assert_close(two_each, torch.stack([both, both.flip(0)]))
    shared = first_points(torch.cat([both, both[:1]]), objective=objective, restarts=3)
    torch.testing.assert_close(shared, torch.cat([both, both[:1]]).expand(2, 3, 3))


def test_points_in_the_shape_of_an_image() -> None:
    box = Box(0.0, 1.0, shape=(1, 2, 2))
    model = nn.Sequential(nn.Conv2d(1, 1, 2), nn.Flatten())
    for shape, restarts in (((1, 2, 2), 1), ((3, 1, 2, 2), 3), ((4,), 1), ((3, 4), 3)):
        x0 = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        path = (
            ReLUOptimizer(model, box).maximize("ppga_lr", iterations=1, x0=x0, restarts=restarts, record_path=True).path
        )
        assert path is not None
        torch.testing.assert_close(path[0, 0], x0.double().view(restarts, 4), rtol=0, atol=1e-6)


def test_points_outside_are_projected_with_a_warning() -> None:
    outside = [POINT, [2.0, 20.0, 0.0], [0.5, 0.0, 0.0]]
    with pytest.warns(UserWarning, match="2 of 3 points of x0 lie outside the set and are projected onto it"):
        starts = first_points(outside, restarts=3)
    expected = torch.tensor([POINT, [1.0, 20.0, 0.0], [0.5, 10.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(starts[0], expected)


@pytest.mark.parametrize("method", METHODS)
def test_one_warning_points_at_the_caller(method: str) -> None:
    optimizer = ReLUOptimizer(random_network(3, 4, 1, seed=0), BOX)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        optimizer.maximize(method, x0=[9.0, 9.0, 9.0], iterations=1)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_point_outside_a_polytope_goes_to_the_nearest_point_of_it() -> None:
    simplex = Polytope(A_eq=[[1.0, 1.0, 1.0]], b_eq=[1.0], lower=0.0)
    with pytest.warns(UserWarning, match="1 of 1 points of x0 lie outside"):
        starts = first_points([0.5, 0.5, 0.3], box=simplex, restarts=1)
    torch.testing.assert_close(starts[0, 0], torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", [method for method in METHODS if method not in ("auto", "milp", "branch_and_bound")])
def test_each_problem_of_a_batch_begins_at_its_own_points(method: str) -> None:
    """Two peaks, at 0.2 and 0.8, and nothing to climb between: one step leads from each point to its own peak."""
    peaks = network(
        ([[1.0]] * 6, [-0.1, -0.2, -0.3, -0.7, -0.8, -0.9]), ([[10.0, -20.0, 10.0, 10.0, -20.0, 10.0]], [0.0])
    )
    box = Box(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    optimizer = ReLUOptimizer(peaks, box, Output([0, 0]), dtype=torch.float64)
    options = {"lp_walk": {}, "milp_walk": {"free": 1}}.get(method, {"learning_rate": 1e-3})
    x0 = torch.tensor([[0.15], [0.85]])
    result = optimizer.maximize(method, x0=x0, restarts=1, iterations=2, starts="center", **options)
    assert (result.x - x0).abs().max() <= 0.06


def test_the_answer_is_never_worse_than_a_given_point() -> None:
    model = random_network(3, 4, 1, seed=0)
    x0 = BOX.sample(50, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        best = float(model(x0).max())
    result = ReLUOptimizer(model, BOX, dtype=torch.float64).maximize("ppga_lr", x0=x0, iterations=1, restarts=50)
    assert float(result.value) >= best - 1e-12


@pytest.mark.parametrize(
    ("x0", "objective", "error", "message"),
    [
        (
            [1.0, 2.0],
            None,
            DomainError,
            r"x0 has shape \(2,\); one input has shape \(3,\), several \(points, \*\(3,\)\)",
        ),
        (1.0, None, DomainError, r"x0 has shape \(\)"),
        (torch.zeros(0, 3), None, DomainError, r"x0 has shape \(0, 3\)"),
        (torch.zeros(1, 1, 1, 3), None, DomainError, r"x0 has shape \(1, 1, 1, 3\)"),
        ([0.5, float("nan"), 0.0], None, DomainError, "x0 has an entry that is NaN or infinite"),
        ([0.5, float("inf"), 0.0], None, DomainError, "x0 has an entry that is NaN or infinite"),
        ("center", None, DomainError, "x0 must be a tensor, an array or numbers, got str"),
        (torch.zeros(3, 2, 3), Output([0, 0]), DomainError, r"x0 has shape \(3, 2, 3\), but there are 2 problems"),
        (torch.zeros(5, 3), None, OptionError, "x0 has 5 points for each problem, but restarts is 4; give restarts=5"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*points of x0 lie outside:UserWarning")
def test_points_that_do_not_fit_are_named(
    x0: Any, objective: ra.Objective | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        first_points(x0, objective=objective, restarts=4)


@pytest.mark.parametrize("kind", ["mixed", "random"])
@pytest.mark.parametrize(
    "box",
    [
        Box([0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 4.0], one_hot=[[0, 1, 2]], integer=[3]),
        Polytope(
            [[0.0, 0.0, 1.0, 1.0]], [6.0], lower=0.0, upper=[1.0, 1.0, 1.0, 4.0], one_hot=[[0, 1, 2]], integer=[3]
        ),
    ],
)
def test_walkers_begin_in_every_category_and_at_every_whole_number(kind: str, box: ra.Domain) -> None:
    model = random_network(4, 4, 1, seed=0)
    optimizer = ReLUOptimizer(model, box, dtype=torch.float64)
    path = optimizer.maximize("ppga_lr", iterations=1, record_path=True, starts=kind, restarts=16).path
    assert path is not None
    points = path[0, 0]
    assert bool((points[:, :3].amax(0) > 0.999).all())
    assert {1.0, 2.0, 3.0, 4.0} <= set(points[:, 3].round(decimals=6).tolist())
