"""The parts of auto share the time by what they gain, and go on from what the others find."""

import math

import pytest
import torch

from relu_attack import Box, ReLUOptimizer
from relu_attack.problem import Problem
from relu_attack.solvers import METHODS, MILP
from relu_attack.solvers.ascent import ANNEALED_ASCENT, PPGALR, ScaledProblem, Walk
from relu_attack.solvers.auto import Auto
from relu_attack.solvers.auto._ascents import Ascents
from relu_attack.solvers.auto._portfolio import PARTS, Portfolio
from relu_attack.solvers.auto._programs import MixedIntegerPrograms
from relu_attack.solvers.auto._shares import Share, improved
from relu_attack.solvers.core import Budget, Incumbents, Settings
from tests.problems import random_network

TWO_BOXES = Box(torch.tensor([[0.0] * 4, [4.0] * 4]), torch.tensor([[1.0] * 4, [8.0] * 4]))


def settings_of(budget: Budget) -> Settings:
    return Settings(
        budget=budget, restarts=8, seed=0, x0=None, starts="random", bound="interval",
        progress=False, record_path=False, device=torch.device("cpu"), dtype=torch.float32,
    )  # fmt: skip


def problem_over(domain: Box) -> Problem:
    return ReLUOptimizer(random_network(domain.inputs, 8, 4, 1, seed=1), domain).problem


def made(problem: Problem) -> tuple[Incumbents, Ascents]:
    """Return incumbents and ascents after one turn of the first of two walks."""
    settings = settings_of(Budget(iterations=100))
    scaled = ScaledProblem.create(problem, restarts=8, device=torch.device("cpu"), dtype=torch.float32, normalized=True)
    ascents = Ascents(scaled, settings, {"annealing": ANNEALED_ASCENT, "ppga_lr": Walk.of(PPGALR())})
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="steps")
    ascents.advance("annealing", Budget(iterations=40))
    ascents.offer(incumbents)
    return incumbents, ascents


def test_a_part_without_gain_loses_half_of_its_weight_down_to_an_eighth_and_a_gain_restores_it() -> None:
    share, weights = Share(), []
    for gained in (False, False, False, False, True):
        share.record(2.0, gained=gained)
        weights.append(share.weight)
    assert weights == [0.5, 0.25, 0.125, 0.125, 1.0]
    assert (share.spent, share.due) == (10.0, 2 * (2 + 4 + 8 + 8 + 1))


def test_parts_that_gain_nothing_share_alike_and_one_that_gains_has_eight_times_as_much() -> None:
    gaining, idle, other = Share(), Share(), Share()
    turns = {"gaining": 0, "idle": 0, "other": 0}
    parts = {"gaining": gaining, "idle": idle, "other": other}
    for _ in range(1000):
        name = min(parts, key=lambda name: parts[name].due)
        parts[name].record(1.0, gained=name == "gaining")
        turns[name] += 1
    assert turns["gaining"] == pytest.approx(800, abs=10)
    assert turns["idle"] == turns["other"]
    assert idle.relative_to([other]) == 1.0


def test_a_part_earns_its_share_after_eight_turns_of_one_that_gains_and_earlier_where_none_does() -> None:
    def turns_before_the_first(*, gained: bool) -> int:
        leading, waiting, turns = Share(), Share.to_be_earned(2.0), 0
        while leading.due < waiting.due:
            leading.record(2.0, gained=gained)
            turns += 1
        return turns

    assert turns_before_the_first(gained=True) == 8
    assert turns_before_the_first(gained=False) == 3


def test_an_improvement_is_a_relative_one_and_a_first_point_is_one() -> None:
    nothing, low = torch.tensor([-math.inf, 1.0]), torch.tensor([2.0, 1.0])
    assert improved(nothing, low)
    assert not improved(low, low + 1e-7)
    assert not improved(nothing, nothing)
    assert improved(low, low + torch.tensor([0.0, 1e-4]))


def test_ends_are_in_the_coordinates_of_their_own_problem() -> None:
    problem = problem_over(TWO_BOXES)
    _, ascents = made(problem)
    for index in range(2):
        points, walkers = ascents.ends(index)
        assert bool(problem.domain.single(index).contains(points, tolerance=1e-5).all())
        assert set(walkers) <= set(range(8))
        values = problem.single(index).evaluate(points[None])[0][0]
        assert bool((values[:-1] >= values[1:] - 1e-4).all())


def test_a_walker_goes_on_from_a_better_point_and_keeps_its_own_if_that_is_better() -> None:
    problem = problem_over(TWO_BOXES)
    incumbents, ascents = made(problem)
    points, values = ascents.leading.best_of_walkers()
    best, worst = int(values[1].argmax()), int(values[1].argmin())
    ascents.adopt(1, [(worst, incumbents.x[1]), (best, ascents.ends(1)[0][-1])])
    after, risen = ascents.leading.best_of_walkers()
    assert float(risen[1, worst]) == pytest.approx(float(values[1].max()), rel=1e-5)
    assert torch.equal(after[1, best], points[1, best])
    assert torch.equal(after[0], points[0])


def test_programs_start_at_the_incumbent_where_all_walkers_have_just_restarted() -> None:
    problem = problem_over(Box(0.0, 1.0, shape=(4,)))
    incumbents, ascents = made(problem)
    ascents.restart_collapsed(1e9)
    before = incumbents.value.clone()
    MixedIntegerPrograms(incumbents, 0, Budget(time_limit=60.0), step_time=60.0).step(ascents)
    assert bool(incumbents.value >= before)


def test_mixed_integer_programs_find_the_maximum_from_the_center() -> None:
    problem = ReLUOptimizer(random_network(4, 8, 1, seed=1), Box(0.0, 1.0, shape=(4,))).problem
    incumbents, ascents = made(problem)
    ascents.restart_collapsed(1e9)
    incumbents = Incumbents(problem, settings_of(Budget(iterations=1)), incumbents.upper, unit="steps")
    incumbents.offer(0, problem.domain.center()[None], "center")
    # The first neighbourhood has room for all eight units.
    MixedIntegerPrograms(incumbents, 0, Budget(time_limit=60.0), step_time=60.0).step(ascents)
    exact = METHODS["milp"].solve(problem, MILP(), settings_of(Budget(time_limit=60.0)))
    assert float(incumbents.value) == pytest.approx(float(problem.evaluate(exact.candidates)[0].max()), rel=1e-6)
    assert incumbents.found_by == ["milp_walk"]


@pytest.mark.parametrize("limit", [None, 60.0])
def test_only_a_time_limit_gives_mixed_integer_programs_a_share(limit: float | None) -> None:
    problem = problem_over(Box(0.0, 1.0, shape=(4,)))
    settings = settings_of(Budget(iterations=1, time_limit=limit))
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="steps")
    search = Portfolio.create(incumbents, Auto(), settings, PARTS)
    assert search is not None
    search.run()
    assert ("milp_walk" in search.shares) == (limit is not None)


def test_the_best_value_of_the_leading_population_begins_anew_when_it_restarts() -> None:
    problem = problem_over(Box(0.0, 1.0, shape=(4,)))
    _, ascents = made(problem)
    reached = ascents.leading_values()
    assert bool(torch.isfinite(reached).all())
    ascents.advance("ppga_lr", Budget(iterations=20))
    assert torch.equal(ascents.leading_values(), reached)
    ascents.restart_collapsed(1e9)
    assert not bool(torch.isfinite(ascents.leading_values()).any())
    ascents.advance("annealing", Budget(iterations=20))
    assert improved(torch.tensor([-math.inf]), ascents.leading_values())
