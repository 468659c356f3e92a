"""Annealed ascent: a schedule of steps that ends at the top of the better basin, and children between two parents."""

import math

import pytest
import torch
from torch import Tensor

from relu_attack import Box, Output
from relu_attack.network import lower
from relu_attack.problem import Problem
from relu_attack.solvers.ascent import (
    ANNEALED_ASCENT,
    PPGA,
    PPGALR,
    AnnealedStep,
    Ascent,
    Crossover,
    PatternPerturbation,
    ScaledProblem,
    Walk,
)
from tests.problems import network, random_network

WALKERS, INPUTS = 16, 4


def prepared(model: torch.nn.Module, box: Box, restarts: int = WALKERS) -> ScaledProblem:
    problem = Problem.create(lower(model, box.shape).network, box, Output(0))
    return ScaledProblem.create(
        problem, restarts=restarts, device=torch.device("cpu"), dtype=torch.float64, normalized=True
    )


def annealing(problem: ScaledProblem, starts: Tensor | None = None) -> Ascent:
    starts = problem.walked().sample(torch.Generator().manual_seed(1)) if starts is None else starts
    return ANNEALED_ASCENT.begin(problem, starts, torch.Generator().manual_seed(0))


def walk_on(walk: Ascent, steps: int) -> None:
    for step in range(1, steps + 1):
        walk.step()
        if step % walk.window == 0:
            walk.review()
    walk.update_incumbents()


def rule_of(walk: Ascent) -> AnnealedStep:
    """Return the step rule of an annealed ascent."""
    assert isinstance(walk._step_rule, AnnealedStep)
    return walk._step_rule


def wide() -> ScaledProblem:
    return prepared(random_network(INPUTS, 16, 1, seed=0), Box(0.0, 1.0, shape=(INPUTS,)))


def test_the_logarithm_of_the_steps_falls_with_the_square_of_the_time() -> None:
    walk = annealing(wide())
    steps = []
    for _ in range(21):
        steps.append(rule_of(walk)._steps[0].item())
        walk.step()
    fall = math.log(3e-3 / 3.0)
    assert [math.log(step / 3.0) for step in steps] == pytest.approx([fall * (t / 20) ** 2 for t in range(21)])


def test_excursions_grow_to_a_hundred_steps() -> None:
    walk, ends = annealing(wide()), []
    for step in range(1, 350):
        walk.step()
        before = rule_of(walk)._lengths.clone()
        if step % 10 == 0:
            walk.review()
            begun = rule_of(walk)._bends[0].item()
            if not ends or begun != ends[-1][1]:
                ends.append((step, begun))
        assert bool((rule_of(walk)._lengths >= before).all())
    steps = [step for step, _ in ends[1:]]
    assert steps == [20, 60, 140, 240, 340]


def test_long_first_steps_pass_over_a_narrow_top_that_stops_a_walk_of_short_ones() -> None:
    """A narrow hat of height 1 on the left, a wide one of height 3 on the right, and a slight slope below both."""
    corners, slopes = [-0.001, 0.05, 0.1, 0.3, 0.65, 1.0], [20.2, -40.0, 20.0, 60 / 7, -120 / 7, 60 / 7]
    hats = network(([[1.0]] * 6, [-corner for corner in corners]), ([slopes], [0.0]))
    problem = prepared(hats, Box(0.0, 1.0, shape=(1,)))
    starts = torch.linspace(0.01, 0.09, WALKERS, dtype=torch.float64)[:, None]
    short = PPGALR(step=0.01, longest_step=0.02)
    climbing = Walk.of(short).begin(problem, starts, torch.Generator().manual_seed(0))
    annealed = annealing(problem, starts)
    for walk in (climbing, annealed):
        for _ in range(20):
            walk.step()
    assert 0.9 <= float(climbing.best_of_walkers()[1].median()) <= 1.02
    assert float(annealed.best_of_walkers()[1].median()) == pytest.approx(3.13, abs=0.05)


def test_points_lie_in_the_set_and_a_seed_repeats_the_walk() -> None:
    problem = wide()
    one, other = annealing(problem), annealing(problem)
    walk_on(one, 250)
    walk_on(other, 250)
    assert torch.equal(one.incumbent_x, other.incumbent_x)
    points, values = one.best_of_walkers()
    assert bool(((points >= 0) & (points <= 1)).all())
    assert torch.allclose(values, problem.network.forward(points[0]).outputs[:, 0])


def test_walkers_that_are_put_somewhere_go_on_from_there() -> None:
    problem = wide()
    walk = annealing(problem)
    walk_on(walk, 100)
    chosen = torch.zeros(WALKERS, dtype=torch.bool)
    chosen[3] = True
    target = torch.full((WALKERS, INPUTS), 0.25, dtype=torch.float64)
    before = walk.x.clone()
    walk.restart(chosen, target)
    assert torch.equal(walk.x[3], target[3])
    assert torch.equal(walk.x[4:], before[4:])


def test_the_smoothed_gradient_leads_to_higher_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = prepared(random_network(30, 60, 60, 1, seed=0), Box(0.0, 1.0, shape=(30,)), restarts=64)
    smooth, rough = annealing(problem), annealing(problem)
    monkeypatch.setattr(rough._step_rule, "smoothing", lambda: None)
    for walk in (smooth, rough):
        for _ in range(20):
            walk.step()
    assert float(smooth.best_of_walkers()[1].mean()) > 1.005 * float(rough.best_of_walkers()[1].mean())


def test_walkers_agree_once_more_than_half_of_them_are_around_the_best() -> None:
    boxes = Box(torch.zeros(3, 2), torch.tensor([[1.0, 1.0], [2.0, 2.0], [1.0, 1.0]]))
    slope = network(([[1.0, 1.0]], [0.0]), ([[1.0]], [0.0]))
    problem = prepared(slope, boxes, restarts=5)
    high, low, spread = (torch.tensor([part], dtype=torch.float64) for part in ([0.9, 0.9], [0.1, 0.1], [0.89, 0.91]))
    crowds = [[high, spread, spread, low, low], [high, spread, low, low, low], [low, low, low, low, high]]
    starts = torch.cat([point for crowd in crowds for point in crowd])
    walk = annealing(problem, problem.from_user(problem.to_user(problem.by_problem(starts))).flatten(0, 1))
    walk.step()
    assert walk.collapsed(0.05).tolist() == [True, False, False]
    alone = prepared(slope, Box(0.0, 1.0, shape=(2,)), restarts=1)
    walk = annealing(alone)
    walk.step()
    assert walk.collapsed(0.05).tolist() == [False]


def test_walkers_that_begin_anew_begin_as_at_first_and_keep_the_incumbent() -> None:
    boxes = Box(torch.zeros(2, INPUTS), torch.ones(2, INPUTS))
    problem = prepared(random_network(INPUTS, 16, 1, seed=0), boxes)
    walk = annealing(problem)
    walk_on(walk, 200)
    values, x = walk.incumbent_value.clone(), walk.x.clone()
    walk.restart_all(torch.tensor([False, True]))
    assert torch.equal(walk.incumbent_value, values)
    assert torch.equal(walk.x[:WALKERS], x[:WALKERS])
    assert walk.x[WALKERS:].std(0).min() > 0.1
    assert bool((rule_of(walk)._steps[WALKERS:] == 3.0).all())
    assert bool((rule_of(walk)._steps[:WALKERS] < 3.0).all())
    assert bool(torch.isinf(walk.best_of_walkers()[1][1]).all())


def test_children_lie_between_their_parents_of_one_problem_and_every_second_walker_has_none() -> None:
    model = random_network(2, 4, 1, seed=0)
    boxes = Box(torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [2.0, 2.0]]))
    problem = prepared(model, boxes, restarts=8)
    sender, alone = Crossover(PPGA()), PatternPerturbation(PPGA())
    for policy in (sender, alone):
        policy.begin(problem, problem.walked(), torch.Generator().manual_seed(0))
    # The best points of each problem lie on a line of its own: x = y in the first, y = 1/2 in the second.
    along = torch.linspace(0.1, 0.9, 8, dtype=torch.float64)
    points = torch.cat([torch.stack([along, along], 1), torch.stack([along, torch.full_like(along, 0.5)], 1)])
    values = torch.arange(16.0, dtype=torch.float64)
    starts = sender.next_starts(torch.ones(16, dtype=torch.bool), points, values)
    assert torch.equal(starts[1::2], alone.next_starts(torch.ones(16, dtype=torch.bool), points, values)[1::2])
    on_first = torch.isclose(starts[:8, 0], starts[:8, 1])
    on_second = torch.isclose(starts[8:, 1], torch.full((8,), 0.5, dtype=torch.float64))
    assert bool(on_first[::2].any())
    assert bool(on_second[::2].any())
    assert bool((starts[:8][on_first] >= 0.1 - 1e-12).all())
    assert bool((starts[:8][on_first] <= 0.9 + 1e-12).all())
    assert bool(torch.isfinite(starts).all())
