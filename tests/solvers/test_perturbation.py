"""Perturbation: near the best point, farther after each fall back, and elsewhere for duplicates."""

import torch
from torch import Tensor

from relu_attack import Box, Output
from relu_attack.network import lower
from relu_attack.problem import Problem
from relu_attack.solvers.ascent import PPGA, GaussianPerturbation, ScaledProblem
from tests.problems import random_network

ALL = torch.ones(3, dtype=torch.bool)


def prepared() -> ScaledProblem:
    """Return three walkers in the unit box, which is itself in walking coordinates."""
    model = random_network(4, 3, 1, seed=0)
    problem = Problem.create(lower(model, (4,)).network, Box(0.0, 1.0, shape=(4,)), Output(0))
    return ScaledProblem.create(problem, restarts=3, device=torch.device("cpu"), dtype=torch.float64, normalized=True)


def perturbation(*, radius: float, growth: float = 1.5) -> GaussianPerturbation:
    options = PPGA(radius=radius, radius_growth=growth)
    policy = GaussianPerturbation(options)
    problem = prepared()
    policy.begin(problem, problem.walked(), torch.Generator().manual_seed(0))
    return policy


def distinct_points() -> Tensor:
    return torch.tensor([[0.3] * 4, [0.5] * 4, [0.7] * 4], dtype=torch.float64)


def values(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def test_walkers_go_on_near_their_own_best() -> None:
    moves = perturbation(radius=1e-3).next_starts(ALL, distinct_points(), values(1, 2, 3)) - distinct_points()
    assert float(moves.abs().max()) < 1e-2
    assert float(moves.norm(dim=1).min()) > 1e-4


def test_a_walker_whose_excursion_was_worse_goes_back_to_its_best() -> None:
    sender, points = perturbation(radius=1e-3), distinct_points()
    sender.next_starts(ALL, points, values(1, 2, 3))
    starts = sender.next_starts(ALL, 1 - points, values(1.5, 1, 1))
    expected = torch.stack([1 - points[0], points[1], points[2]])
    assert float((starts - expected).abs().max()) < 1e-2
    assert torch.equal(sender.best_value, values(1.5, 2, 3))


def test_the_radius_grows_after_a_fall_back_and_is_reset_by_a_gain() -> None:
    """The same noise three times: a walker that falls back moves farther by the growth each time."""
    points, lengths = distinct_points(), []
    for later in ((1.0, 1.0), (2.0, 3.0), (1.0, 2.0)):
        sender = perturbation(radius=1e-3, growth=1.5)
        for best in (1.0, *later):
            starts = sender.next_starts(ALL, points, values(best, 12, 13))
        lengths.append(float((starts - points)[0].norm()))
    fell_twice, gained_twice, fell_then_gained = lengths
    assert abs(fell_twice / gained_twice - 1.5**2) < 1e-6
    assert abs(fell_then_gained / gained_twice - 1) < 1e-6


def test_the_radius_does_not_outgrow_the_set() -> None:
    sender = perturbation(radius=0.5, growth=1e6)
    for _ in range(3):
        starts = sender.next_starts(ALL, distinct_points(), values(1, 2, 3))
    assert bool(torch.isfinite(starts).all())
    assert bool(((starts >= 0) & (starts <= 1)).all())
    # With a radius of 1e6 widths every coordinate would be at an edge.
    assert bool(((starts > 0) & (starts < 1)).any())


def test_walkers_that_did_not_end_keep_their_state() -> None:
    sender, points = perturbation(radius=1e-3), distinct_points()
    sender.next_starts(ALL, points, values(1, 2, 3))
    sender.next_starts(torch.tensor([True, False, False]), 1 - points, values(9, 9.5, 99))
    assert torch.equal(sender.best_value, values(9, 2, 3))
    assert torch.equal(sender.best_x, torch.stack([1 - points[0], points[1], points[2]]))


def test_of_two_walkers_in_the_same_maximum_one_begins_elsewhere() -> None:
    sender, points = perturbation(radius=1e-3), distinct_points()
    points[2] = points[0]
    starts = sender.next_starts(ALL, points, values(5, 2, 5))
    near = (starts - points).norm(dim=1) < 1e-2
    assert near[1]
    assert near[[0, 2]].sum() == 1
    # Its old maximum is forgotten, so that what it finds next counts.
    assert torch.isinf(sender.best_value).tolist() == [not bool(keep) for keep in near]


def test_the_same_value_elsewhere_is_not_a_duplicate() -> None:
    points = distinct_points()
    starts = perturbation(radius=1e-3).next_starts(ALL, points, values(5, 5, 5))
    assert float((starts - points).norm(dim=1).max()) < 1e-2
