"""Auto: the best of its parts, on every kind of problem."""

import itertools
import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from relu_attack import Box, L2Ball, OutputConstraints, Polytope, ReLUOptimizer, Status
from relu_attack.solvers import METHODS
from relu_attack.solvers.ascent import ANNEALED_ASCENT, Ascent, GradientWalk, Walk
from relu_attack.solvers.auto import Auto, auto
from relu_attack.solvers.auto._closing import exact_methods
from relu_attack.solvers.auto._portfolio import Parts
from relu_attack.solvers.core._budget import Budget
from relu_attack.solvers.core._settings import Settings
from tests.problems import random_network

CUBE = Box(0.0, 1.0, shape=(3,))
BATCH = Box(
    torch.zeros(3, 3, dtype=torch.float64), torch.tensor([[1.0], [0.5], [2.0]], dtype=torch.float64).expand(3, 3)
)


def model() -> nn.Sequential:
    return random_network(3, 8, 6, 1, seed=5)


@pytest.mark.parametrize(
    "domain",
    [CUBE, Polytope(A=[[1.0, 1.0, 1.0]], b=[1.5], lower=0.0, upper=1.0), Box(0.0, 3.0, shape=(3,), integer=[0])],
)
def test_it_is_as_good_as_the_exact_program(domain: Any) -> None:
    optimizer = ReLUOptimizer(model(), domain)
    result, proven = optimizer.maximize(iterations=200, seed=0), optimizer.maximize("milp", iterations=50)
    assert float(result.value) == pytest.approx(float(proven.value), rel=1e-6)
    assert result.found_by[0] in ("annealing", "lp_walk", "milp")
    assert float(result.integrality) == 0.0
    assert float(result.violation) <= 1e-9


def test_with_a_time_limit_it_proves_what_it_found() -> None:
    optimizer = ReLUOptimizer(model(), CUBE)
    # It ends as soon as it is done.
    result = optimizer.maximize(time_limit=20.0, seed=0)
    assert result.status is Status.OPTIMAL
    assert float(result.value) == pytest.approx(float(optimizer.maximize("milp", iterations=50).value), rel=1e-6)


@pytest.mark.parametrize("limit", [1.0, 10.0, 400.0])
def test_a_small_problem_is_closed_at_once_whatever_the_time_limit(
    limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = ReLUOptimizer(random_network(3, 16, 2, seed=0), CUBE).problem
    # Every look at the clock takes a tenth of a millisecond.
    readings = itertools.count(0.0, 1e-4)
    monkeypatch.setattr(time, "perf_counter", lambda: next(readings))
    answer = METHODS["auto"].solve(problem, Auto(), settings_of(Budget(time_limit=limit, began=0.0)))
    assert bool(answer.certified)
    value = float(problem.evaluate(answer.candidates)[0])
    assert value <= float(answer.upper) <= value + 1e-6 * abs(value)
    assert answer.iterations <= 200  # those of the first turn


def test_each_problem_of_a_batch_has_its_own_answer() -> None:
    result = ReLUOptimizer(model(), BATCH).maximize(iterations=200, seed=0)
    assert result.x.shape == (3, 3)
    assert len(result.found_by) == 3
    for index in range(3):
        alone = ReLUOptimizer(model(), Box(BATCH.lower[index, 0], BATCH.upper[index, 0])).maximize(
            "milp", iterations=50
        )
        assert float(result.value[index]) == pytest.approx(float(alone.value), rel=1e-6)


def test_without_a_time_limit_a_slow_machine_finds_the_same_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = ReLUOptimizer(model(), CUBE)
    swift = optimizer.maximize(iterations=30)
    readings = itertools.count(time.perf_counter(), 100.0)
    monkeypatch.setattr(time, "perf_counter", lambda: next(readings))
    assert torch.equal(optimizer.maximize(iterations=30).bound, swift.bound)


def settings_of(budget: Budget) -> Settings:
    return Settings(
        budget=budget, restarts=8, seed=0, x0=None, starts="random", bound="interval",
        progress=False, record_path=False, device=torch.device("cpu"), dtype=torch.float32,
    )  # fmt: skip


class Moved:
    """A local search that moves each point by a length."""

    def __init__(self, length: float) -> None:
        self._length = length

    def climb(self, x: Tensor) -> Tensor:
        return x + self._length


@pytest.mark.parametrize(
    ("domain", "iterations", "renewed"),
    [
        (Box(0.0, 1.0, shape=(20,)), 2000, True),
        (Box(0.0, 1.0, shape=(20,)), 200, False),  # the budget is spent once they agree
        (L2Ball(torch.full((20,), 0.5), 2.0), 1000, False),  # no program climbs to the top that they agree on
    ],
)
def test_walkers_that_agree_begin_anew_while_it_pays(
    domain: Any, iterations: int, renewed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewals, restart_all = list[Tensor](), Ascent.restart_all

    def counting(ascent: Ascent, problems: Tensor) -> None:
        renewals.append(problems)
        restart_all(ascent, problems)

    monkeypatch.setattr(Ascent, "restart_all", counting)
    problem = ReLUOptimizer(random_network(20, 20, 1, seed=5), domain).problem
    settings = settings_of(Budget(iterations=iterations))
    parts = Parts(walks={"annealing": ANNEALED_ASCENT}, climber=lambda problem, left: Moved(0.0), exact={})
    auto(problem, Auto(), settings, parts=parts)
    assert bool(renewals) == renewed


def test_a_problem_that_a_climb_closes_is_left_alone() -> None:
    problem = ReLUOptimizer(nn.Sequential(nn.Flatten()), Box(0.0, 3.0, shape=(1,), integer=[0])).problem
    settings = replace(settings_of(Budget(time_limit=100.0, iterations=5)), starts="center")
    standing = Walk.of(GradientWalk(learning_rate=1e-30))
    parts = Parts(walks={"gradient_walk": standing}, climber=lambda problem, left: Moved(3.0), exact={})
    answer = auto(problem, Auto(), settings, parts=parts)
    assert answer.found_by == ("lp_walk",)


def test_a_set_without_linear_rows_is_left_to_the_walks() -> None:
    result = ReLUOptimizer(model(), L2Ball(torch.full((3,), 0.5), 0.4)).maximize(iterations=200)
    assert result.found_by == ("annealing",)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_a_thousand_choices_is_found(seed: int) -> None:
    model = random_network(20, 40, 40, 1, seed=seed)
    choices = torch.cartesian_prod(*[torch.arange(4)] * 5)
    with torch.no_grad():
        best = float(model(torch.eye(4, dtype=torch.float64)[choices].reshape(-1, 20)).max())
    groups = [list(range(first, first + 4)) for first in range(0, 20, 4)]
    domain = Box(0.0, 1.0, shape=(20,), one_hot=groups)
    result = ReLUOptimizer(model, domain).maximize(iterations=20, seed=0)
    assert float(result.value) == pytest.approx(best, rel=1e-9)


def test_minimizing_finds_the_minimum() -> None:
    optimizer = ReLUOptimizer(model(), CUBE)
    result, proven = optimizer.minimize(iterations=200), optimizer.minimize("milp", iterations=50)
    assert float(result.value) == pytest.approx(float(proven.value), rel=1e-6)
    assert result.bound <= result.value


@pytest.mark.parametrize("method", METHODS)
def test_a_fixed_input_and_a_model_without_layers_are_taken_by_every_method(method: str) -> None:
    fixed = Box(torch.tensor([0.0, 0.25, 0.0]), torch.tensor([1.0, 0.25, 1.0]))
    result = ReLUOptimizer(model(), fixed).maximize(method, iterations=20)
    assert float(result.x[1]) == 0.25
    assert result.value <= result.bound
    linear = nn.Sequential(nn.Identity(), nn.Flatten())
    assert float(ReLUOptimizer(linear, fixed).maximize(method, iterations=20).value) == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_output_constraints_are_met_or_the_answer_says_so(method: str) -> None:
    two = random_network(3, 8, 2, seed=5)
    free = float(ReLUOptimizer(two, CUBE).maximize("milp", iterations=50).value)
    with torch.no_grad():
        middle = float(two(torch.full((1, 3), 0.5, dtype=torch.float64))[0, 0])
    limit = (free + middle) / 2
    reachable = OutputConstraints([[1.0, 0.0]], [limit])
    result = ReLUOptimizer(two, CUBE, output_constraints=reachable).maximize(method, iterations=30)
    assert middle - 1e-6 <= float(result.value) <= limit + 1e-5
    assert result.value <= result.bound
    never = OutputConstraints([[1.0, 0.0]], [-1e3])
    result = ReLUOptimizer(two, CUBE, output_constraints=never).maximize(method, iterations=10)
    assert result.status in (Status.INFEASIBLE, Status.NOT_FOUND)
    if method in ("milp", "branch_and_bound"):
        assert result.status is Status.INFEASIBLE


def test_it_is_never_worse_than_the_walk_that_is_its_part() -> None:
    optimizer = ReLUOptimizer(random_network(6, 20, 20, 1, seed=1), Box(0.0, 1.0, shape=(6,)))
    auto = float(optimizer.maximize(iterations=200, seed=0).value)
    part = float(optimizer.maximize("ppga_lr", iterations=200, seed=0).value)
    assert auto >= part - 1e-9


def test_a_convolutional_network_is_climbed_as_well() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 6),
        nn.ReLU(),
        nn.Linear(6, 1),
    ).double()
    optimizer = ReLUOptimizer(model, Box(0.0, 1.0, shape=(1, 4, 4)))
    result, proven = optimizer.maximize(iterations=500, seed=0), optimizer.maximize("milp", iterations=500)
    assert proven.status is Status.OPTIMAL
    assert float(result.value) == pytest.approx(float(proven.value), rel=1e-6)
    assert result.x.shape == (1, 4, 4)


BOTH = ("branch_and_bound", "milp")


@pytest.mark.parametrize(
    ("domain", "hidden", "limits", "names"),
    [
        (CUBE, (8, 6), {}, BOTH),
        (CUBE, (8, 6), {"units": 5}, BOTH[:1]),
        (CUBE, (40, 40), {}, BOTH),
        (Polytope(A=[[1.0, 1.0, 1.0]], b=[1.5], lower=0.0, upper=1.0), (40, 40), {}, BOTH),
        (Box(0.0, 3.0, shape=(3,), integer=[0]), (40, 40), {}, BOTH),
        (L2Ball(torch.full((3,), 0.5), 0.4), (8, 6), {}, BOTH[:1]),
        (Box(0.0, 1.0, shape=(20,)), (25, 25), {}, BOTH),
        (Box(0.0, 1.0, shape=(20,)), (50, 50), {}, BOTH[1:]),
        (Box(0.0, 1.0, shape=(40,)), (50, 50), {}, ()),
    ],
)
def test_the_exact_methods_are_those_that_fit(
    domain: Any, hidden: tuple[int, ...], limits: dict[str, int], names: tuple[str, ...]
) -> None:
    problem = ReLUOptimizer(random_network(domain.inputs, *hidden, 1, seed=5), domain).problem
    assert exact_methods(problem, **{"units": 250, "dimension": 30, **limits}) == names


@pytest.mark.parametrize("domain", [CUBE, Box(0.0, 1.0, shape=(14,)), L2Ball(torch.full((3,), 0.5), 0.4)])
def test_its_bound_is_certified_and_tighter_than_that_of_intervals(domain: Any) -> None:
    optimizer = ReLUOptimizer(random_network(domain.inputs, 20, 20, 1, seed=5), domain)
    result = optimizer.maximize(iterations=50)
    assert result.value <= result.bound
    assert float(result.bound) < 0.9 * float(optimizer.bounds("interval")[1])
    assert bool(result.certified)
