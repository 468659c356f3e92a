"""The law of nesting: the exact range lies inside lp_tightened inside lp inside crown inside interval."""

import itertools
from fractions import Fraction

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relu_attack import Box, L1Ball, Polytope
from relu_attack.bounds import Bounds, bound_rows
from relu_attack.domains import Domain
from relu_attack.network import lower
from tests import exact
from tests.laws.test_bounds import canceling_network, random_box
from tests.problems import random_network

few = settings(max_examples=20, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31 - 1)
METHODS = ("lp_tightened", "lp", "crown", "interval")
# A program is solved to the tolerance of its solver; its bound is sound, but not the last digit of the optimum.
TOLERANCE = 1e-9


def assert_nested(ranges: list[Bounds]) -> None:
    """Check that each range lies inside the next, up to `TOLERANCE` of its ends."""
    for inner, outer in itertools.pairwise(ranges):
        room = TOLERANCE * torch.maximum(outer.lower.abs(), outer.upper.abs())
        assert bool((outer.lower <= inner.lower + room).all()), (inner.method, outer.method)
        assert bool((inner.upper <= outer.upper + room).all()), (inner.method, outer.method)


@few
@given(seed=seeds, scale=st.integers(-6, 6), box_scale=st.integers(-3, 3), slope=st.sampled_from([0.0, 0.3]))
# Programs over these weights fail; ranges that begin as those of intervals then end far outside those of lp.
@pytest.mark.slow
@example(seed=9, scale=3, box_scale=0, slope=0.3)
@example(seed=77, scale=6, box_scale=1, slope=0.3)
@example(seed=88, scale=4, box_scale=-2, slope=0.0)
def test_where_units_cancel(seed: int, scale: int, box_scale: int, slope: float) -> None:
    model, box = canceling_network(seed, scale=scale, slope=slope), Box(*random_box(seed + 1, scale=box_scale))
    chain, rows = lower(model, (3,)).network, torch.eye(2, dtype=torch.float64)
    ranges = [bound_rows(chain, box, rows, method) for method in METHODS]
    assert_nested(ranges)
    layers, generator = exact.layers_of(model), torch.Generator().manual_seed(seed)
    for x in torch.cat([box.sample(3, generator=generator), box.corners(3, generator=generator)]):
        for row, value in enumerate(exact.forward(layers, x)):
            for bounds in ranges:
                assert Fraction(bounds.lower[0, row].item()) <= value <= Fraction(bounds.upper[0, row].item())


@pytest.mark.parametrize("seed", range(3))
def test_the_exact_range_is_innermost(seed: int) -> None:
    model, corner = random_network(2, 5, 4, 1, seed=seed), torch.ones(2, dtype=torch.float64)
    row = torch.ones(1, 1, dtype=torch.float64)
    low, high = (sign * exact.maximum(exact.layers_of(model, sign * row), -corner, corner) for sign in (-1, 1))
    ranges = [bound_rows(lower(model, (2,)).network, Box(-corner, corner), row, method) for method in METHODS]
    assert Fraction(ranges[0].lower.item()) <= low <= high <= Fraction(ranges[0].upper.item())
    assert_nested(ranges)


SETS: list[Domain] = [
    L1Ball(torch.zeros(4, dtype=torch.float64), 0.7, clip=(-0.5, 0.4)),
    Polytope(A=[[1.0, 1.0, 1.0, 1.0]], b=[0.5], A_eq=[[1.0, -1.0, 0.0, 0.0]], b_eq=[0.1], lower=-1.0, upper=1.0),
]


@pytest.mark.parametrize("domain", SETS, ids=lambda domain: type(domain).__name__)
@pytest.mark.parametrize("seed", range(3))
def test_over_sets_with_rows(domain: Domain, seed: int) -> None:
    chain = lower(random_network(4, 8, 8, 2, seed=seed), (4,)).network
    assert_nested([bound_rows(chain, domain, torch.eye(2, dtype=torch.float64), method) for method in METHODS])
