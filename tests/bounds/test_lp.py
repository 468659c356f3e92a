"""Bounds by one linear program for each end lie between the exact range and those of CROWN."""

import itertools
import math
import time
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import relu_attack as ra
from relu_attack._deadline import Deadline
from relu_attack.bounds import _triangle_program, bound_problem, bound_rows, lp
from relu_attack.encodings import encode
from relu_attack.network import lower
from relu_attack.objectives import Linear, Output
from relu_attack.problem import Problem
from relu_attack.programs import PreparedProgram, Solution, solve
from tests import exact
from tests.encodings.support import problem_of
from tests.laws.nests import Nest, nests
from tests.laws.test_bounds import canceling_network, random_box
from tests.problems import PROBLEMS, KnownProblem, network, random_network

few = settings(max_examples=15, deadline=None, derandomize=True)
ROUNDING = 1e-9


def assert_nested(problem: Problem, *methods: str) -> None:
    """Check that the range by each method lies inside that by the next, up to `ROUNDING` of its ends."""
    ranges = [bound_problem(problem, method) for method in methods]
    for (low, high), (outer_low, outer_high) in itertools.pairwise(ranges):
        room = ROUNDING * (1 + torch.maximum(outer_low.abs(), outer_high.abs()))
        assert bool((outer_low <= low + room).all())
        assert bool((low <= high).all())
        assert bool((high <= outer_high + room).all())


@pytest.mark.parametrize("known", PROBLEMS, ids=str)
def test_known_maxima_are_inside_and_crown_is_outside(known: KnownProblem) -> None:
    problem = problem_of(known.model, known.domain, known.objective)
    bounds, outer = lp(problem), bound_rows(problem.network, problem.domain, problem.objective, "crown")
    assert (bounds.method, bounds.sound) == ("lp", True)
    assert bounds.lower.shape == bounds.upper.shape == (1, 1)
    assert float(bounds.upper) >= known.maximum - 1e-12 * abs(known.maximum)
    assert bool((outer.lower <= bounds.lower).all() and (bounds.upper <= outer.upper).all())
    for ours, theirs in zip(bounds.layers, outer.layers, strict=True):
        assert torch.equal(torch.stack(ours), torch.stack(theirs))


def test_two_hinges_that_overlap_are_at_least_the_step_between_them() -> None:
    # relu(x + 1/2) + relu(-x) is 1/2 on [-1/2, 0] and more elsewhere.
    problem = problem_of(network(([[1.0], [-1.0]], [0.5, 0.0]), ([[1.0, 1.0]], [0.0])), ra.Box(-1.0, 1.0, shape=(1,)))
    low, high = bound_problem(problem, "lp")
    assert (float(low), float(high)) == pytest.approx((0.5, 1.5), abs=1e-9)
    assert float(bound_problem(problem, "crown")[0]) < 0.1


@pytest.mark.slow
@few
@given(nest=nests(longest=5), seed=st.integers(0, 999))
def test_runs_are_inside_and_the_methods_are_nested(nest: Nest, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(nest.shape, generator=generator, dtype=torch.float64)
    problem = problem_of(nest.model, ra.Box(center - 0.3, center + 0.3, shape=nest.shape))
    assert_nested(problem, "lp_tightened", "lp", "crown", "interval")
    low, high = bound_problem(problem, "lp")
    x = torch.cat([problem.domain.sample(20, generator=generator), problem.domain.corners(20, generator=generator)])
    value = problem.value(x[None])[0]
    room = 1e-12 * (1 + float(value.abs().max()))
    assert bool(((low - room <= value) & (value <= high + room)).all())


@pytest.mark.parametrize("seed", range(3))
def test_the_exact_range_is_inside(seed: int) -> None:
    model, corner = random_network(2, 5, 4, 1, seed=seed), torch.ones(2, dtype=torch.float64)
    problem = problem_of(model, ra.Box(-1.0, 1.0, shape=(2,)), Output(0))
    low, high = bound_problem(problem, "lp")
    row = torch.ones(1, dtype=torch.float64)
    ends = [sign * exact.maximum(exact.layers_of(model, sign * row), -corner, corner) for sign in (-1, 1)]
    assert Fraction(float(low)) <= ends[0] <= ends[1] <= Fraction(float(high))
    outer = bound_problem(problem, "crown")
    assert float(high - low) < 0.99 * float(outer[1] - outer[0])


@few
@given(seed=st.integers(0, 2**31 - 1), scale=st.integers(-6, 6), slope=st.sampled_from([0.0, 0.3]))
def test_bounds_hold_in_exact_arithmetic_where_units_cancel(seed: int, scale: int, slope: float) -> None:
    model = canceling_network(seed, scale=scale, slope=slope)
    box = ra.Box(*random_box(seed + 1, scale=0))
    bounds = bound_rows(lower(model, (3,)).network, box, torch.eye(2, dtype=torch.float64), "lp")
    generator = torch.Generator().manual_seed(seed)
    for x in torch.cat([box.sample(4, generator=generator), box.corners(6, generator=generator)]):
        values = exact.forward(exact.layers_of(model), x)
        for value, low, high in zip(values, bounds.lower[0].tolist(), bounds.upper[0].tolist(), strict=True):
            assert Fraction(low) <= value <= Fraction(high)


def test_each_end_is_the_optimum_of_the_relaxation() -> None:
    problem = problem_of(random_network(3, 8, 6, 1, seed=3), ra.Box(-1.0, 1.0, shape=(3,)))
    ranges = [(low[0], high[0]) for low, high in lp(problem).layers]
    ends = [
        sign * solve(encode(asked, ranges, relaxed=True).program).value
        for sign, asked in ((-1, problem.negated()), (1, problem))
    ]
    assert [float(end) for end in bound_problem(problem, "lp")] == pytest.approx(ends, rel=1e-7)


def test_rows_of_a_polytope_count() -> None:
    # relu(x + 1/2) + relu(-y): where x = y it is at least 1/2, which lines do not see; elsewhere in the box it is 0.
    model = network(([[1.0, 0.0], [0.0, -1.0]], [0.5, 0.0]), ([[1.0, 1.0]], [0.0]))
    diagonal = ra.Polytope(A_eq=[[1.0, -1.0]], b_eq=[0.0], lower=-1.0, upper=1.0, shape=(2,))
    over_set, over_box = (problem_of(model, domain) for domain in (diagonal, diagonal.bounding_box()))
    assert_nested(over_set, "lp", "crown", "interval")
    assert float(bound_problem(over_set, "lp")[0]) == pytest.approx(0.5, abs=1e-9)
    assert float(bound_problem(over_set, "crown")[0]) < 0.1
    assert float(bound_problem(over_box, "lp")[0]) == pytest.approx(0.0, abs=1e-9)


def test_over_a_euclidean_ball_crown_sees_the_ball_and_programs_its_box() -> None:
    problem = problem_of(random_network(3, 6, 5, 1, seed=0), ra.L2Ball(torch.zeros(3, dtype=torch.float64), 1.0))
    around = problem_of(random_network(3, 6, 5, 1, seed=0), problem.domain.bounding_box())
    assert_nested(problem, "lp", "crown")
    (low, high), (outer_low, outer_high) = (bound_problem(one, "lp") for one in (problem, around))
    assert float(high - low) < 0.95 * float(outer_high - outer_low)


def test_where_no_program_is_certified_the_ends_are_those_of_crown(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of(random_network(3, 8, 6, 1, seed=3), ra.Box(-1.0, 1.0, shape=(3,)))

    class Uncertified(PreparedProgram):
        def solve(self, **options: Any) -> Solution:
            return replace(super().solve(**options), certified=False)

    monkeypatch.setattr(_triangle_program, "PreparedProgram", Uncertified)
    assert torch.equal(torch.stack(bound_problem(problem, "lp")), torch.stack(bound_problem(problem, "crown")))


def test_a_batch_is_taken_one_set_at_a_time() -> None:
    model = random_network(3, 6, 5, 2, seed=1)
    corners = torch.rand(2, 3, generator=torch.Generator().manual_seed(0))
    chain, rows = lower(model, (3,)).network, torch.tensor([[1.0, 2.0], [-1.0, 3.0]], dtype=torch.float64)
    problem = Problem.create(chain, ra.Box(corners, corners + 1), Linear(rows))
    together = bound_problem(problem, "lp")
    for index in range(2):
        alone = lp(problem.single(index))
        np.testing.assert_allclose([float(end[index]) for end in together], [float(alone.lower), float(alone.upper)])
    with pytest.raises(ra.OptionError, match=r"batch of 2 sets; take one at a time, problem.single\(i\)"):
        lp(problem)
    low, high = ra.output_bounds(model, ra.Box(corners, corners + 1), "lp")
    assert low.shape == high.shape == (2, 2)


def test_after_the_deadline_the_ends_are_those_of_intervals_and_before_it_programs_are_kept() -> None:
    problem = problem_of(random_network(3, 8, 6, 2, seed=3), ra.Box(-1.0, 1.0, shape=(3,)), Linear(torch.eye(2)))
    late = bound_problem(problem, "lp", deadline=Deadline.after(-1.0))
    assert torch.equal(torch.stack(late), torch.stack(bound_problem(problem, "interval")))
    early = bound_problem(problem, "lp", deadline=Deadline.after(1000.0))
    torch.testing.assert_close(torch.stack(early), torch.stack(bound_problem(problem, "lp")))
    assert bool((early[1] < late[1]).all())


def test_the_program_that_runs_is_told_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of(random_network(3, 8, 6, 2, seed=3), ra.Box(-1.0, 1.0, shape=(3,)), Linear(torch.eye(2)))
    crown, limits = bound_problem(problem, "crown"), []

    class Late(PreparedProgram):
        def solve(self, **options: Any) -> Solution:
            # The clock jumps once a program is solved.
            found, now = super().solve(**options), time.perf_counter()
            limits.append(options["time_limit"])
            monkeypatch.setattr(time, "perf_counter", lambda: now + 2000.0)
            return found

    monkeypatch.setattr(_triangle_program, "PreparedProgram", Late)
    low, high = bound_problem(problem, "lp", deadline=Deadline.after(1000.0))
    assert len(limits) == 1
    assert 0 < limits[0] <= 1000
    changed = [bool(new != old) for new, old in zip((*low, *high), (*crown[0], *crown[1]), strict=True)]
    assert sum(changed) == 1


@pytest.mark.parametrize("method", ["lp", "lp_tightened"])
def test_weights_that_overflow_give_infinite_bounds(method: str) -> None:
    model = random_network(2, 3, 3, 1, seed=0)
    with torch.no_grad():
        for module in model:
            if isinstance(module, nn.Linear):
                module.weight.mul_(1e200)
    low, high = bound_problem(problem_of(model, ra.Box(-1.0, 1.0, shape=(2,))), method)
    assert (float(low), float(high)) == (-math.inf, math.inf)
