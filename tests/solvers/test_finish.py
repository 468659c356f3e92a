"""Closing steps end at the tops next to the best points; they serve where linear programs do not."""

import pytest
import torch
from torch import nn

import relu_attack as ra
from relu_attack.problem import Problem
from relu_attack.solvers.ascent import PPGALR, AdaptiveStep, Ascent, RandomRestart, ScaledProblem, starting_points
from relu_attack.solvers.auto import Auto
from relu_attack.solvers.auto._finish import FINISH, Finish
from relu_attack.solvers.auto._portfolio import PARTS, Portfolio
from relu_attack.solvers.core import Budget, Incumbents, Settings

TARGET = torch.linspace(-0.2, 0.2, 10, dtype=torch.float64)


def settings_of(budget: Budget) -> Settings:
    return Settings(
        budget=budget, restarts=8, seed=0, x0=None, starts="random", bound="interval",
        progress=False, record_path=False, device=torch.device("cpu"), dtype=torch.float32,
    )  # fmt: skip


def distances() -> nn.Sequential:
    """``-|x - target|_1``, with its top of 0 where 10 boundaries of regions meet."""
    first, last = nn.Linear(10, 20), nn.Linear(20, 1, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.cat([torch.eye(10), -torch.eye(10)]))
        first.bias.copy_(torch.cat([-TARGET, TARGET]))
        last.weight.fill_(-1.0)
    return nn.Sequential(first, nn.ReLU(), last)


def problem_over(domain: ra.Domain) -> Problem:
    return ra.ReLUOptimizer(distances(), domain).problem


@pytest.mark.parametrize(
    "domain",
    [
        ra.L2Ball(torch.zeros(10, dtype=torch.float64), 1.0),
        ra.L2Ball(torch.zeros(2, 10, dtype=torch.float64), torch.tensor([1.0, 2.0]), clip=(-0.5, 0.5)),
    ],
    ids=["one", "batch"],
)
def test_a_finish_reaches_the_top_next_to_the_incumbent(domain: ra.Domain) -> None:
    problem = problem_over(domain)
    settings = settings_of(Budget(iterations=100))
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="steps")
    scaled = ScaledProblem.create(problem, restarts=8, device=torch.device("cpu"), dtype=torch.float32, normalized=True)
    near = TARGET + 2e-3 * torch.randn(10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = near.expand(problem.problems, 3, 10)
    incumbents.offer_each(found, "annealing")
    assert float(incumbents.value.max()) < -1e-2
    finish = Finish(scaled, incumbents, Budget(time_limit=60.0), 0)
    finish.search(found, seconds=1.0)
    finish.search(found, seconds=1e-9)
    assert float(incumbents.value.min()) > -1e-4
    assert set(incumbents.found_by) == {FINISH}
    assert bool(problem.domain.contains(incumbents.x[:, None] if domain.batch else incumbents.x).all())


@pytest.mark.parametrize(
    ("domain", "limits", "finishes"),
    [
        (ra.L2Ball(torch.zeros(10), 1.0), Budget(time_limit=0.2), True),
        (ra.L2Ball(torch.zeros(10), 1.0), Budget(iterations=10), False),
        (ra.Box(-1.0, 1.0, shape=(10,)), Budget(time_limit=0.2), False),
        (ra.Box(-1.0, 1.0, shape=(10,), integer=[0]), Budget(time_limit=0.2), False),
        (ra.L1Ball(torch.zeros(10), 1.0), Budget(time_limit=0.2), False),
    ],
)
def test_sets_without_linear_programs_have_a_finish_where_time_is_limited(
    domain: ra.Domain, limits: Budget, finishes: bool
) -> None:
    problem, settings = problem_over(domain), settings_of(limits)
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="steps")
    portfolio = Portfolio.create(incumbents, Auto(exact_units=0, exact_dimension=0), settings, PARTS)
    assert portfolio is not None
    portfolio.run()
    assert (FINISH in portfolio.shares) == finishes


def test_ppga_lr_ends_excursions_on_a_ball_with_shorter_steps_than_on_a_box() -> None:
    shortest = []
    for domain in (ra.Box(-1.0, 1.0, shape=(10,)), ra.L2Ball(torch.zeros(10), 1.0)):
        problem, generator = problem_over(domain), torch.Generator().manual_seed(0)
        scaled = ScaledProblem.create(
            problem, restarts=2, device=torch.device("cpu"), dtype=torch.float32, normalized=True
        )
        starts = starting_points(scaled, kind="random", x0=None, generator=generator, seed=0)
        for options in (PPGALR(), PPGALR(shortest_step=1e-3), PPGALR(step=1e-5)):
            rule = AdaptiveStep(options)
            Ascent(scaled, starts.clone(), rule, RandomRestart(), generator, window=10)
            shortest.append(rule._shortest)
    assert shortest == [2e-3, 1e-3, 1e-5, 5e-5, 1e-3, 1e-5]
