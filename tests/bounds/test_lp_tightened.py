"""Bounds by linear programs lie inside interval bounds, hold every run of the network, and keep their deadline."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import relu_attack as ra
from relu_attack._deadline import Deadline
from relu_attack.bounds import Bounds, bound_problem, bound_rows, crown, lp_tightened
from relu_attack.bounds._triangle_program import TriangleRelaxation
from relu_attack.encodings import encode
from relu_attack.network import lower
from relu_attack.objectives import Linear, Output
from relu_attack.problem import Problem
from relu_attack.programs import solve
from tests import exact
from tests.encodings.support import problem_of
from tests.laws.nests import Nest, nests
from tests.problems import PROBLEMS, KnownProblem, network, random_network

few = settings(max_examples=15, deadline=None, derandomize=True)
POLYHEDRAL = [problem for problem in PROBLEMS if not isinstance(problem.domain, ra.L2Ball)]


def interval_of(problem: Problem) -> Bounds:
    return bound_rows(problem.network, problem.domain, problem.objective, "interval")


def small_problem(seed: int = 3) -> Problem:
    return problem_of(random_network(3, 8, 6, 5, 1, seed=seed), ra.Box(-1.0, 1.0, shape=(3,)))


def assert_inside(inner: Bounds, outer: Bounds, *, tolerance: float = 0.0) -> None:
    pairs = [*zip(inner.layers, outer.layers, strict=True), ((inner.lower, inner.upper), (outer.lower, outer.upper))]
    for (low, high), (outer_low, outer_high) in pairs:
        assert bool((outer_low <= low + tolerance).all())
        assert bool((low <= high).all())
        assert bool((high <= outer_high + tolerance).all())


@pytest.mark.parametrize("known", POLYHEDRAL, ids=str)
def test_known_maxima_are_inside_and_so_are_interval_bounds_outside(known: KnownProblem) -> None:
    problem = problem_of(known.model, known.domain, known.objective)
    bounds = lp_tightened(problem)
    assert (bounds.method, bounds.sound) == ("lp_tightened", True)
    assert bounds.upper.shape == (1, 1)
    assert float(bounds.upper) >= known.maximum - 1e-12 * abs(known.maximum)
    assert_inside(bounds, interval_of(problem))


def test_two_hats_that_cannot_both_be_up_are_seen() -> None:
    # relu(x) + relu(-x) on [-1, 1]: the triangles add up to 1, the intervals to 2.
    model = network(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0]), ([[1.0]], [0.0]))
    bounds = lp_tightened(problem_of(model, ra.Box(-1.0, 1.0, shape=(1,))), only_unstable=False)
    low, high = bounds.layers[1]
    assert (float(low), float(high)) == pytest.approx((0.0, 1.0), abs=1e-9)
    assert float(bounds.upper) == pytest.approx(1.0, abs=1e-9)


@few
@given(nest=nests(longest=5), seed=st.integers(0, 999))
def test_no_run_of_any_model_leaves_its_ranges(nest: Nest, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    center = torch.randn(nest.shape, generator=generator, dtype=torch.float64)
    problem = problem_of(nest.model, ra.Box(center - 0.3, center + 0.3, shape=nest.shape))
    bounds = lp_tightened(problem)
    assert_inside(bounds, interval_of(problem))
    x = torch.cat([problem.domain.sample(20, generator=generator), problem.domain.corners(20, generator=generator)])
    evaluation = problem.network.forward(x)
    found = [*evaluation.preactivations, problem.value(x[None]).T]
    for (low, high), z in zip([*bounds.layers, (bounds.lower, bounds.upper)], found, strict=True):
        rounding = 1e-12 * (1 + float(torch.cat([low.abs(), high.abs()]).max()))
        assert bool(((low - rounding <= z) & (z <= high + rounding)).all())


@few
@given(seed=st.integers(0, 2**31 - 1), slope=st.sampled_from([0.0, 0.01, 0.3]), scale=st.integers(-4, 4))
def test_ranges_hold_in_exact_arithmetic(seed: int, slope: float, scale: int) -> None:
    """At the corners and at random points in fractions: a bound that holds up to rounding only is no bound."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential()
    for before, after in ((2, 4), (4, 4), (4, 1)):
        linear = nn.Linear(before, after, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.randn(after, before, generator=generator, dtype=torch.float64) * 10.0**scale)
            linear.bias.copy_(torch.randn(after, generator=generator, dtype=torch.float64))
        model.extend([linear, nn.ReLU() if slope == 0 else nn.LeakyReLU(slope)])
    model = model[:-1]
    problem = problem_of(model, ra.Box(-1.0, 1.0, shape=(2,)), Output(0))
    bounds = lp_tightened(problem, only_unstable=False)
    layers = exact.layers_of(model)
    for x in torch.cat([problem.domain.sample(4, generator=generator), problem.domain.corners(4, generator=generator)]):
        values = exact.fractions(x)
        ends = [*bounds.layers, (bounds.lower, bounds.upper)]
        for layer, (low, high) in zip(layers, ends, strict=True):
            z = layer.apply(values)
            for value, a, b in zip(z, low[0].tolist(), high[0].tolist(), strict=True):
                assert Fraction(a) <= value <= Fraction(b)
            values = layer.activate(z)


@pytest.mark.parametrize("seed", range(2))
def test_the_exact_range_of_a_unit_is_inside(seed: int) -> None:
    model = random_network(2, 5, 4, 3, 1, seed=seed)
    bounds = lp_tightened(problem_of(model, ra.Box(-1.0, 1.0, shape=(2,))), only_unstable=False)
    low, high = bounds.layers[2]
    intervals = interval_of(problem_of(model, ra.Box(-1.0, 1.0, shape=(2,)))).layers[2]
    corner = torch.ones(2, dtype=torch.float64)
    for unit in range(3):
        row = torch.eye(3, dtype=torch.float64)[unit]
        ends = [
            sign * float(exact.maximum(exact.layers_of(model[:5], sign * row), -corner, corner)) for sign in (-1, 1)
        ]
        assert float(low[0, unit]) <= ends[0] + 1e-12
        assert float(high[0, unit]) >= ends[1] - 1e-12
        assert float(high[0, unit] - low[0, unit]) < 0.9 * float(intervals[1][0, unit] - intervals[0][0, unit])


def test_over_a_polytope_the_first_layer_is_exact_too() -> None:
    model = network(([[1.0, 1.0], [1.0, -1.0]], [-0.25, 0.0]), ([[1.0, 1.0]], [0.0]))
    simplex = ra.Polytope(A=[[1.0, 1.0]], b=[1.0], lower=0.0, upper=1.0, shape=(2,))
    bounds = lp_tightened(problem_of(model, simplex))
    low, high = bounds.layers[0]
    torch.testing.assert_close(low[0], torch.tensor([-0.25, -1.0]).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(high[0], torch.tensor([0.75, 1.0]).double(), rtol=0, atol=1e-6)


def test_a_one_hot_group_tightens_the_first_layer() -> None:
    domain = ra.Box(0.0, 1.0, shape=(3,), one_hot=[[0, 1, 2]])
    bounds = lp_tightened(problem_of(network(([[1.0, -1.0, 2.0]], [-0.5]), ([[1.0]], [0.0])), domain))
    (low, high) = bounds.layers[0]
    assert (float(low), float(high)) == pytest.approx((-1.5, 1.5), abs=1e-9)


def test_tightened_ranges_make_the_relaxation_tighter_and_keep_the_maximum() -> None:
    problem = small_problem()
    wide, tight = ([(low[0], high[0]) for low, high in of(problem).layers] for of in (interval_of, lp_tightened))
    top = [solve(encode(problem, ranges).program).value for ranges in (wide, tight)]
    bound = [solve(encode(problem, ranges, relaxed=True).program).bound for ranges in (wide, tight)]
    assert top[0] == pytest.approx(top[1], rel=1e-6)
    assert bound[1] < bound[0] - 0.1 * (bound[0] - top[0])
    assert float(lp_tightened(problem).upper) == pytest.approx(bound[1], rel=1e-9)


def test_all_units_are_tightened_on_request() -> None:
    problem = small_problem()
    some, every = lp_tightened(problem), lp_tightened(problem, only_unstable=False)
    assert_inside(every, some, tolerance=1e-9)
    stable = (some.layers[1][0] >= 0) | (some.layers[1][1] <= 0)
    assert bool(stable.any())
    assert bool((every.layers[1][1] - every.layers[1][0] < some.layers[1][1] - some.layers[1][0])[stable].any())


def test_after_the_deadline_the_bounds_are_those_of_intervals() -> None:
    problem = small_problem()
    past, interval = Deadline.after(-1.0), interval_of(problem)
    substituted = crown(problem.network, problem.domain, problem.objective, deadline=past)
    for late in (lp_tightened(problem, deadline=past), substituted):
        assert torch.equal(late.upper, interval.upper)
        for ours, theirs in zip(late.layers, interval.layers, strict=True):
            assert torch.equal(torch.stack(ours), torch.stack(theirs))


def test_where_no_program_has_time_the_bounds_are_those_of_crown(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = small_problem()
    known = crown(problem.network, problem.domain, problem.objective)
    monkeypatch.setattr(TriangleRelaxation, "tighten", lambda _rows, known, *_arguments, **_options: known)
    assert_inside(lp_tightened(problem), known)


def test_a_batch_is_taken_one_set_at_a_time() -> None:
    model = random_network(3, 6, 5, 2, seed=1)
    corners = torch.rand(2, 3, generator=torch.Generator().manual_seed(0))
    chain, rows = lower(model, (3,)).network, torch.tensor([[1.0, 2.0], [-1.0, 3.0]], dtype=torch.float64)
    problem = Problem.create(chain, ra.Box(corners, corners + 1), Linear(rows))
    together = bound_problem(problem, "lp_tightened")
    for index in range(2):
        alone = lp_tightened(problem.single(index))
        assert float(together[0][index]) == pytest.approx(float(alone.lower), rel=1e-9)
        assert float(together[1][index]) == pytest.approx(float(alone.upper), rel=1e-9)
    with pytest.raises(ra.OptionError, match=r"batch of 2 sets; take one at a time, problem.single\(i\)"):
        lp_tightened(problem)
    low, high = ra.output_bounds(model, ra.Box(corners, corners + 1), "lp_tightened")
    assert low.shape == high.shape == (2, 2)


def test_programs_over_a_ball_without_rows_see_its_box_and_keep_what_crown_knows_of_the_ball() -> None:
    model, ball = random_network(2, 3, 1, seed=0), ra.L2Ball(torch.zeros(2, dtype=torch.float64), 1.0)
    lower, upper = ra.output_bounds(model, ball, "lp_tightened")
    for known in (ra.output_bounds(model, ball, "crown"), ra.output_bounds(model, ball.bounding_box(), "lp_tightened")):
        assert bool((known[0] <= lower).all())
        assert bool((upper <= known[1]).all())
    points = ball.sample(500, generator=torch.Generator().manual_seed(0))
    values = model(points.to(next(model.parameters()).dtype)).detach()
    assert float(lower) <= float(values.min()) <= float(values.max()) <= float(upper)
