"""Perturbed patterns: walkers leave along other gradients of the network, in the set, and learn from the better."""

import torch
from torch import Tensor

from relu_attack import Box, Output
from relu_attack.network import dense_chain, lower
from relu_attack.problem import Problem
from relu_attack.solvers.ascent import PPGA, GaussianPerturbation, PatternPerturbation, ScaledProblem
from tests.problems import random_network

WALKERS, INPUTS = 64, 100
ALL = torch.ones(WALKERS, dtype=torch.bool)


def prepared(problem: Problem, restarts: int = WALKERS) -> ScaledProblem:
    return ScaledProblem.create(
        problem, restarts=restarts, device=torch.device("cpu"), dtype=torch.float64, normalized=False
    )


def wide() -> ScaledProblem:
    model = random_network(INPUTS, 16, 1, seed=0)
    return prepared(Problem.create(lower(model, (INPUTS,)).network, Box(0.0, 1.0, shape=(INPUTS,)), Output(0)))


def perturbation(kind: type[GaussianPerturbation], problem: ScaledProblem) -> GaussianPerturbation:
    policy = kind(PPGA())
    policy.begin(problem, problem.walked(), torch.Generator().manual_seed(0))
    return policy


def points(problem: ScaledProblem) -> Tensor:
    return problem.walked().sample(torch.Generator().manual_seed(1))


def test_every_start_lies_in_the_set() -> None:
    problem = wide()
    starts = perturbation(PatternPerturbation, problem).next_starts(ALL, points(problem), torch.arange(64.0).double())
    assert bool(((starts >= 0) & (starts <= 1)).all())


def test_with_many_inputs_it_changes_more_of_the_pattern_than_noise_on_the_inputs() -> None:
    problem = wide()
    x, values = points(problem), torch.arange(64.0).double()
    before = problem.network.forward(x).pattern[0]
    flipped = {
        kind: float(
            (problem.network.forward(perturbation(kind, problem).next_starts(ALL, x, values)).pattern[0] != before)
            .double()
            .mean()
        )
        for kind in (GaussianPerturbation, PatternPerturbation)
    }
    assert flipped[PatternPerturbation] > 1.5 * flipped[GaussianPerturbation]


def test_from_one_point_walkers_leave_in_different_directions() -> None:
    problem = wide()
    sender, x = perturbation(PatternPerturbation, problem), points(problem)[:1].expand(WALKERS, -1)
    assert isinstance(sender, PatternPerturbation)
    directions = (sender._towards_other_patterns(x) - x).sign()
    assert len(directions.unique(dim=0)) > WALKERS / 2


def test_the_better_of_two_walkers_of_the_same_problem_is_taken() -> None:
    """Problem 0 has one good walker: most of its walkers may draw it, none of the problem's neighbours may."""
    network = lower(random_network(2, 4, 1, seed=0), (2,)).network
    boxes = Box(torch.zeros(2, 2), torch.tensor([[1.0, 1.0], [2.0, 2.0]]))
    sender = perturbation(PatternPerturbation, prepared(Problem.create(network, boxes, Output(0)), 8))
    assert isinstance(sender, PatternPerturbation)
    sender.best_x = torch.arange(32.0, dtype=torch.float64).view(16, 2)
    sender.best_value = torch.tensor([9.0] + [0.0] * 15, dtype=torch.float64)
    taken = sender._better_of_two()
    changed = (taken != sender.best_x).any(1)
    assert bool(changed[1:8].any())
    assert torch.equal(taken[changed], sender.best_x[:1].expand(int(changed.sum()), 2))
    assert not bool(changed[8:].any())


def test_where_no_pattern_has_a_gradient_a_walker_begins_at_its_point_or_near_it() -> None:
    one = torch.ones(1, INPUTS, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    flat = dense_chain([one, torch.zeros(1, 1, dtype=torch.float64)], [zero, zero])
    problem = prepared(Problem.create(flat, Box(0.0, 1.0, shape=(INPUTS,)), Output(0)))
    starts = perturbation(PatternPerturbation, problem).next_starts(ALL, points(problem), torch.arange(64.0).double())
    assert bool(torch.isfinite(starts).all())


def test_a_seed_repeats_it() -> None:
    problem = wide()
    one, other = (
        perturbation(PatternPerturbation, problem).next_starts(ALL, points(problem), torch.arange(64.0).double())
        for _ in range(2)
    )
    assert torch.equal(one, other)
