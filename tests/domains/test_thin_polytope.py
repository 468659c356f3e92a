"""Polytopes of which some input or row has little room beside the others: each has a scale of its own."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack.domains import Polytope


def numbers(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def linear(*weights: float) -> nn.Module:
    net = nn.Sequential(nn.Linear(len(weights), 1, bias=False)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([weights], dtype=torch.float64))
    return net


def pressure_and_fraction() -> Polytope:
    """Return a pressure in Pa beside a fraction."""
    return Polytope([[1.0, 1.0]], [3e6], lower=[1.9e6, 0.0], upper=[2.1e6, 1e-4])


def test_an_input_of_small_width_keeps_it_beside_a_large_one() -> None:
    polytope = pressure_and_fraction()
    box, scaled = polytope.bounding_box(), polytope.normalized()[0]
    assert (box.lower.tolist(), box.upper.tolist()) == ([1.9e6, 0.0], [2.1e6, 1e-4])
    around = scaled.bounding_box()
    assert torch.allclose(around.upper - around.lower, torch.ones(2).double(), rtol=1e-6)
    assert polytope.maximizer(numbers(0, 1))[1] == pytest.approx(1e-4, rel=1e-6)
    spread = polytope.sample(200, generator=torch.Generator().manual_seed(0)).std(0)
    assert spread[1] > 1e-5
    # Little for the pressure is much for the fraction.
    assert not polytope.contains(numbers(2e6, 1.001e-4))


@pytest.mark.parametrize("method", ["auto", "milp", "branch_and_bound", "ppga_lr", "lp_walk"])
def test_the_maximum_over_a_thin_set_is_reached_and_bounded(method: str) -> None:
    polytope = pressure_and_fraction()
    limit = {"iterations": 100} if method in ("ppga_lr", "lp_walk") else {"time_limit": 2.0}
    result = ra.maximize(linear(1e-7, 1e4), polytope, method=method, seed=0, **limit)
    assert float(result.value) == pytest.approx(1.21, rel=1e-6)
    assert 1.21 - 1e-15 <= float(result.bound) < 1.21 + 1e-9


def test_a_claim_that_a_point_of_a_thin_set_breaks_is_not_verified() -> None:
    polytope = pressure_and_fraction()
    answer = ra.verify(linear(1e-7, 1e4), polytope, ra.Specification.require([1.0], 1.0), seed=0)
    assert answer.verdict is ra.Verdict.FALSIFIED


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
def test_widths_down_to_what_numbers_resolve_are_kept(size: float) -> None:
    for width in (1e-3, 1e-6, 1e-9):
        polytope = Polytope([[1.0, 1.0]], [3 * size], lower=[0.9 * size, 0.0], upper=[1.1 * size, width])
        assert polytope.bounding_box().upper[1] == width
        assert polytope.project(numbers(size, 1.0))[1] == pytest.approx(width)


def test_a_float32_copy_of_a_thin_set_projects_as_the_set_does() -> None:
    source = np.random.default_rng(0)
    normal, inside = source.normal(size=12), source.uniform(0.3, 0.7, 12)
    normal /= np.linalg.norm(normal)
    far = torch.as_tensor(source.uniform(-0.5, 1.5, size=(16, 12)))
    for width in (1e-2, 1e-4, 1e-7):
        sides = [normal @ inside + width, -normal @ inside + width]
        exact = Polytope(np.stack([normal, -normal]), sides, lower=0.0, upper=1.0).normalized()[0]
        copy = exact.to(dtype=torch.float32)
        moved = copy.project(far.float()).double() - exact.project(far)
        assert moved.norm(dim=1).max() < 1e-3
        assert copy.contains(copy.project(far.float())).all()


def test_a_float32_copy_is_the_same_before_and_after_the_set_itself_has_projected() -> None:
    far = torch.tensor([[0.9, 0.1, 0.3], [-0.2, 1.4, 0.7]])
    polytope = Polytope([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]], [1.0, -1.0 + 1e-7], lower=0.0, upper=1.0)
    before = polytope.to(dtype=torch.float32).project(far)
    polytope.project(far)
    assert torch.equal(polytope.to(dtype=torch.float32).project(far), before)


def test_no_point_of_a_projection_is_nan_where_systems_of_many_rows_are_not_solved() -> None:
    source = np.random.default_rng(520)
    rows = source.normal(size=(500, 20))
    polytope = Polytope(rows, rows @ source.uniform(0.2, 0.8, size=20) + 0.1, lower=0.0, upper=1.0)
    copy = polytope.normalized()[0].to(dtype=torch.float32)
    direction = torch.randn(4, 20, generator=torch.Generator().manual_seed(0))
    nearest = copy.project(copy.center() + 3 * direction)
    assert torch.isfinite(nearest).all()
    assert copy.contains(nearest).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"A_eq": [[1.0, 1.0, 1.0], [0.1, 0.1, 0.1]], "b_eq": [0.3, 0.03], "lower": 0.0, "upper": 1.0},
        {"A_eq": [[1.0, 1.0, 1.0]], "b_eq": [1.0], "lower": [0.1, 0.2, 0.7], "upper": [0.1, 0.2, 0.7]},
        {"A_eq": [[0.7, 0.0]], "b_eq": [0.21], "lower": [0.3, 0.0], "upper": [0.3, 1.0]},
        {"A": [[0.7, 0.0]], "b": [0.21], "lower": [0.3, 0.0], "upper": [1.0, 1.0]},
    ],
)
def test_decimals_in_lists_that_agree_are_feasible(arguments: dict[str, object]) -> None:
    polytope = Polytope(**arguments)  # type: ignore[arg-type]
    points = polytope.sample(4)
    assert polytope.contains(points).all()
    assert (polytope.bounding_box().violation(points) <= 1e-15).all()


def test_a_sliver_between_rows_hands_out_points_that_hold_them_in_its_own_scale() -> None:
    """A set about 1e-8 wide within bounds 30 wide: the tolerance of a program over the bounds is as wide as the set."""
    matrix = [
        [-0.004242835279618506, -0.011898744666109785, 0.2123023074281811],
        [0.004055926174113158, -0.004041197405578737, -1.7061582816598941],
        [-0.010941229158180701, 0.011857567291919207, -0.1554786138123774],
    ]
    limit = [-1.9307972833954474, 1.1687899901586218, -0.5442768474051259]
    low = [130.76575641129563, 65.50343637125434, -0.5290741191690173]
    high = [160.76575645380294, 95.50343640462998, -0.029074118798389392]
    polytope = Polytope(matrix, limit, lower=low, upper=high)
    far = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for point in [*polytope.project(polytope.center() + 1e-3 * far).tolist(), *polytope.maximizer(far).tolist()]:
        x = [Fraction(value) for value in point]
        for row, value in zip(matrix, limit, strict=True):
            excess = sum(Fraction(c) * v for c, v in zip(row, x, strict=True)) - Fraction(value)
            assert excess <= Fraction(1, 10**9) * Fraction(max(math.hypot(*row), abs(value)))
