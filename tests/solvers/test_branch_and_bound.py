"""Branch and bound: known optima with certified bounds, decisions that are never wrong, boxes that lose nothing."""

from fractions import Fraction
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from relu_attack import Box, L1Ball, L2Ball, OutputConstraints, Polytope, ReLUOptimizer, Status
from relu_attack.bounds._slopes import SlopeOptimizer
from relu_attack.domains._halfspaces import Halfspaces
from relu_attack.errors import OptionError
from relu_attack.network import lower
from relu_attack.solvers.branch_and_bound._decide import decide
from relu_attack.solvers.branch_and_bound._min_of_rows import MinOfRows
from relu_attack.solvers.branch_and_bound._node_bounds import bound_nodes
from relu_attack.solvers.branch_and_bound._node_queue import NodeQueue
from relu_attack.solvers.branch_and_bound._nodes import Nodes
from relu_attack.solvers.core._budget import Budget
from tests import exact
from tests.problems import PROBLEMS, KnownProblem, random_network

SQUARE = Box(torch.tensor([-1.0, -0.5], dtype=torch.float64), torch.tensor([0.75, 1.0], dtype=torch.float64))
NO_INTEGERS = torch.zeros(2, dtype=torch.bool)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_known_maxima_are_found_and_certified(problem: KnownProblem) -> None:
    result = ReLUOptimizer(problem.model, problem.domain, problem.objective).maximize(
        "branch_and_bound", iterations=300
    )
    assert float(result.value) == pytest.approx(problem.maximum, rel=1e-5, abs=1e-6)
    assert problem.maximum <= float(result.bound) + 1e-12 * abs(problem.maximum)
    assert result.certified


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), split=st.sampled_from(["inputs", "units"]))
def test_it_agrees_with_the_enumeration_of_all_patterns(seed: int, split: str) -> None:
    model = random_network(2, 5, 4, 1, seed=seed)
    result = ReLUOptimizer(model, SQUARE).maximize("branch_and_bound", iterations=200, split=split)
    truth = exact.maximum(exact.layers_of(model), SQUARE.lower, SQUARE.upper)
    assert result.status is Status.OPTIMAL
    assert Fraction(float(result.value)) <= truth + Fraction(1, 10**12)
    assert truth <= Fraction(float(result.bound))
    # What boxes are closed to leaves room below 1e-6 for the rounding of what comes after.
    assert float(result.relative_gap) <= 0.6e-6


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), shift=st.sampled_from([-1e-3, 1e-3]))
def test_a_threshold_just_above_the_maximum_is_refuted_and_one_just_below_is_met(seed: int, shift: float) -> None:
    model = random_network(2, 5, 4, 1, seed=seed)
    truth = float(exact.maximum(exact.layers_of(model), SQUARE.lower, SQUARE.upper))
    one = torch.ones(1, 1, dtype=torch.float64)
    threshold = truth + shift * max(abs(truth), 1e-3)
    decision = decide(lower(model, (2,)).network, SQUARE, one, -threshold * one[0], budget=Budget(iterations=300))
    assert decision.status is Status.OPTIMAL
    assert (decision.value >= 0) == (shift < 0)
    assert (decision.upper < 0) == (shift > 0)
    assert bool(SQUARE.contains(decision.x, tolerance=0.0))


def test_boxes_draw_the_conclusions_of_one_hot_groups_and_lose_no_choice() -> None:
    groups = [[0, 1, 2], [3, 4]]
    choices = torch.tensor([[*a, *b] for a in torch.eye(3).tolist() for b in torch.eye(2).tolist()]).double()
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        ends = torch.randint(0, 2, (2, 5), generator=generator).double()
        before = Nodes.root(ends.amin(0), ends.amax(0))
        after = before.choose(groups)
        inside = ((choices >= before.lower) & (choices <= before.upper)).all(1)
        if len(after) == 0:
            assert not bool(inside.any())
            continue
        kept = ((choices >= after.lower) & (choices <= after.upper)).all(1)
        assert torch.equal(inside, kept)
        # A box of one choice is a point.
        assert bool((after.lower == after.upper).all()) == (int(kept.sum()) == 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_choice_among_many_categories_is_proven_best(seed: int) -> None:
    groups = [list(range(first, first + 4)) for first in (0, 4, 8)]
    model = random_network(12, 10, 10, 1, seed=seed)
    every = torch.eye(4, dtype=torch.float64)
    choices = torch.cartesian_prod(*[torch.arange(4)] * 3)
    with torch.no_grad():
        best = float(model(every[choices].reshape(-1, 12)).max())
    domain = Box(0.0, 1.0, shape=(12,), one_hot=groups)
    result = ReLUOptimizer(model, domain).maximize("branch_and_bound", iterations=100)
    assert result.status is Status.OPTIMAL
    assert float(result.value) == pytest.approx(best, rel=1e-9)
    assert best <= float(result.bound) + 1e-12


def test_all_rows_must_reach_zero_at_one_point() -> None:
    """|x| >= 1/2 and |x| <= 1/4 each happen on [-1, 1], never together."""
    model = random_network(1, 2, 1, seed=0)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model[2].weight.fill_(1.0)
        model[0].bias.zero_()
        model[2].bias.zero_()
    chain, line = lower(model, (1,)).network, Box(-1.0, 1.0, shape=(1,))
    matrix, offset = torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([-0.5, 0.25]).double()
    both = decide(chain, line, matrix, offset, budget=Budget(iterations=50))
    assert both.upper < 0
    for row in range(2):
        alone = decide(chain, line, matrix[row : row + 1], offset[row : row + 1], budget=Budget(iterations=50))
        assert alone.value >= 0


@pytest.mark.parametrize("units", [False, True])
def test_halves_are_nowhere_looser_than_what_they_were_split_from(units: bool) -> None:
    chain = lower(random_network(2, 8, 8, 1, seed=3), (2,)).network
    one = torch.ones(1, 1, dtype=torch.float64)
    bounded = partial(
        bound_nodes,
        chain,
        MinOfRows(one, 0 * one[0]),
        Halfspaces.of(SQUARE),
        period=2,
        units=units,
        optimizer=SlopeOptimizer(iterations=1),
    )
    boxes = bounded(Nodes.root(SQUARE.lower, SQUARE.upper))
    for _ in range(6):
        halves = boxes.split(NO_INTEGERS)
        below = bounded(Nodes.join(halves))
        for parent, child in zip([*boxes.ranges, *boxes.ranges], [*below.ranges, *below.ranges], strict=True):
            for half in (slice(0, len(boxes)), slice(len(boxes), None)):
                assert bool((child[0][half] >= parent[0]).all())
                assert bool((child[1][half] <= parent[1]).all())
        assert bool((below.bound <= boxes.bound.repeat(2)).all())
        assert torch.equal(torch.minimum(halves[0].lower, halves[1].lower), boxes.lower)
        assert torch.equal(torch.maximum(halves[0].upper, halves[1].upper), boxes.upper)
        boxes = below


def test_the_queue_gives_the_largest_bounds_and_loses_none() -> None:
    queue, bounds = NodeQueue(), torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    zeros = torch.zeros(40, 2, dtype=torch.float64)
    every = Nodes(zeros, zeros + 1, bounds, zeros, (), None, torch.full((40,), -1), torch.zeros(40, dtype=torch.int64))
    for start in range(0, 40, 10):
        queue.add(every.select(slice(start, start + 10)))
    taken: list[float] = []
    while queue.count:
        largest = queue.bound
        part = queue.take(7)
        assert float(part.bound.max()) == largest
        taken += part.bound.tolist()
    assert sorted(taken) == sorted(bounds.tolist())
    assert queue.bound == -torch.inf


def test_whole_inputs_are_split_between_whole_numbers() -> None:
    model = random_network(2, 6, 1, seed=4).requires_grad_(False)
    domain = Box(-2.5, 3.5, shape=(2,), integer=[0, 1])
    result = ReLUOptimizer(model, domain).maximize("branch_and_bound", iterations=100)
    points = torch.cartesian_prod(torch.arange(-2.0, 4.0), torch.arange(-2.0, 4.0)).double()
    assert float(result.value) == pytest.approx(float(model(points).max()), abs=1e-12)
    assert result.status is Status.OPTIMAL
    assert float(result.integrality) == 0.0


def test_over_a_polytope_the_gap_closes() -> None:
    model = random_network(2, 6, 1, seed=4)
    polytope = Polytope(A=[[1.0, 1.0]], b=[0.3], lower=-1.0, upper=1.0)
    optimizer = ReLUOptimizer(model, polytope)
    result = optimizer.maximize("branch_and_bound", iterations=300)
    proven = optimizer.maximize("milp", iterations=50)
    assert result.status is Status.OPTIMAL
    assert float(result.value) == pytest.approx(float(proven.value), rel=1e-6)
    assert float(result.bound) >= float(proven.value) - 1e-9
    assert float(result.violation) <= 1e-9


@pytest.mark.parametrize("split", ["inputs", "units"])
def test_under_output_constraints_it_proves_what_the_exact_program_finds(split: str) -> None:
    model = random_network(2, 8, 2, seed=5).requires_grad_(False)
    free = ReLUOptimizer(model, SQUARE).maximize("milp", iterations=50)
    there = model(free.x[None])[0]
    # The best point is cut off, by the other output and then by the objective's own row.
    for row, limit in (([0.0, 1.0], float(there[1]) - 0.05), ([1.0, 0.0], float(there[0]) - 0.05)):
        optimizer = ReLUOptimizer(model, SQUARE, output_constraints=OutputConstraints([row], [limit]))
        result = optimizer.maximize("branch_and_bound", iterations=300, split=split)
        proven = optimizer.maximize("milp", iterations=50)
        assert proven.status is Status.OPTIMAL
        assert float(result.bound) >= float(proven.value) - 1e-5
        assert float(result.bound) == pytest.approx(float(proven.value), abs=1e-3)
        assert float(result.value) == pytest.approx(float(proven.value), abs=1e-3)
        assert result.certified


@pytest.mark.parametrize("split", ["inputs", "units"])
def test_that_no_input_satisfies_the_constraints_is_proven(split: str) -> None:
    """|x| >= 1/2 and |x| <= 1/4 each happen on [-1, 1], never together."""
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).double().requires_grad_(False)
    for layer, weight in ((model[0], [[1.0], [-1.0]]), (model[2], [[1.0, 1.0]])):
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.zero_()
    constraints = OutputConstraints([[-1.0], [1.0]], [-0.5, 0.25])
    optimizer = ReLUOptimizer(model, Box(-1.0, 1.0, shape=(1,)), output_constraints=constraints)
    result = optimizer.maximize("branch_and_bound", iterations=50, split=split)
    assert result.status is Status.INFEASIBLE


def test_a_split_that_there_is_not_is_named() -> None:
    with pytest.raises(OptionError, match="split is 'neurons'; it must be one of auto, inputs, units"):
        ReLUOptimizer(random_network(2, 4, 1, seed=0), SQUARE).maximize("branch_and_bound", split="neurons")


@pytest.mark.parametrize("ball", [L1Ball, L2Ball])
def test_over_a_ball_the_bound_comes_down_to_the_value(ball: type[L1Ball | L2Ball]) -> None:
    model = random_network(2, 6, 1, seed=4).requires_grad_(False)
    domain = ball(torch.zeros(2, dtype=torch.float64), 1.0)
    result = ReLUOptimizer(model, domain).maximize("branch_and_bound", iterations=300)
    points = domain.sample(5000, generator=torch.Generator().manual_seed(0))
    assert float(model(points).max()) <= float(result.value) + 1e-6
    assert float(result.value) <= float(result.bound) <= float(result.value) + 0.05 * abs(float(result.value))
    assert float(result.violation) == 0.0
