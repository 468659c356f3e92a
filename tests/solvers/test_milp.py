"""The exact mixed-integer program: known optima, bounds at any time, and what a lying solver cannot do."""

import importlib
import math
import signal
from dataclasses import replace
from typing import Any

import pytest
import torch

from relu_attack import Box, DomainError, L2Ball, Linear, Output, Polytope
from relu_attack.bounds import bound_problem, lp_tightened
from relu_attack.bounds._milp_tightened import milp_tightened
from relu_attack.errors import OptionError
from relu_attack.network import lower
from relu_attack.output_constraints import OutputConstraints
from relu_attack.problem import Problem
from relu_attack.result import Result, Status
from relu_attack.solvers.core._budget import Budget
from relu_attack.solvers.core._check import check_result
from relu_attack.solvers.core._settings import Settings
from relu_attack.solvers.milp._method import MILP, milp
from tests.problems import PROBLEMS, KnownProblem, random_network

DEFAULTS = MILP()
POLYHEDRAL = [known for known in PROBLEMS if not isinstance(known.domain, L2Ball)]


def named(name: str) -> KnownProblem:
    return next(known for known in PROBLEMS if known.name == name)


def problem_of(known: KnownProblem) -> Problem:
    return make_problem(known.model, known.domain, known.objective)


def make_problem(model: torch.nn.Module, domain: Any, objective: Any = Output(0), rows: Any = None) -> Problem:  # noqa: B008
    return Problem.create(lower(model, domain.shape).network, domain, objective, rows)


def hard_problem() -> Problem:
    """A network whose gap does not close in seconds."""
    model = random_network(10, 40, 40, 1, seed=1)
    return make_problem(model, Box(0.0, 1.0, shape=(10,)))


def run(
    problem: Problem,
    options: MILP = DEFAULTS,
    *,
    time_limit: float = 600.0,
    **parts: Any,
) -> Result:
    settings = Settings(
        budget=Budget(time_limit=time_limit),
        restarts=1,
        seed=0,
        x0=None,
        starts="mixed",
        bound="interval",
        progress=False,
        record_path=False,
        device=torch.device("cpu"),
        dtype=torch.float64,
    )
    # Without a walk, which would take its share of the time, and without a local search at the end, unless given.
    alone: dict[str, Any] = {"walk": None, "polish": None}
    return check_result(problem, "milp", settings, milp(problem, options, settings, **(alone | parts)))


def from_point(*point: float) -> Any:
    return lambda _problem, _settings: torch.tensor(point)


def assert_checked(problem: Problem, result: Result) -> None:
    """What holds of every result with a feasible point."""
    assert bool(problem.domain.contains(result.x.view(1, -1)).all())
    assert result.value == problem.value(result.x.view(1, 1, -1)).item()
    assert result.value <= result.bound


@pytest.mark.parametrize("known", POLYHEDRAL, ids=str)
def test_the_known_maximum(known: KnownProblem) -> None:
    problem = problem_of(known)
    result = run(problem)
    assert_checked(problem, result)
    assert float(result.value) == pytest.approx(known.maximum, rel=1e-6, abs=1e-6)
    assert float(result.bound) == pytest.approx(known.maximum, rel=1e-5, abs=1e-5)
    if bool(result.certified):
        assert known.maximum <= float(result.bound) + 1e-12 * abs(known.maximum)


def test_a_batch_of_problems() -> None:
    known = named("random network 5")
    lower, upper = known.domain.lower, known.domain.upper
    batch = make_problem(known.model, Box(torch.stack([lower, lower]), torch.stack([upper, 0.5 * upper])))
    result = run(batch)
    assert float(result.value[0]) == pytest.approx(known.maximum, rel=1e-6)
    assert float(result.value[1]) < float(result.value[0])
    assert (result.bound - result.value).max() < 1e-5


def test_a_set_without_rows_is_refused() -> None:
    (known,) = (known for known in PROBLEMS if isinstance(known.domain, L2Ball))
    with pytest.raises(DomainError):
        run(problem_of(known))


def test_the_walk_is_never_lost_and_bounds_hold_when_the_time_is_over() -> None:
    problem = hard_problem()
    points = problem.domain.sample(200, generator=torch.Generator().manual_seed(0))
    values = problem.value(points[None])[0]
    result = run(problem, time_limit=1.0, walk=from_point(*points[values.argmax()].tolist()))
    assert_checked(problem, result)
    assert result.status is Status.TIME_LIMIT
    assert float(values.max()) <= float(result.value) < float(result.bound)
    # However little of the programs was done, the bound is no worse than that of intervals.
    assert float(result.bound) <= float(bound_problem(problem, "interval")[1])


def test_the_walk_has_its_part_of_the_time() -> None:
    seen = list[Settings]()

    def walk(problem: Problem, settings: Settings) -> torch.Tensor:
        seen.append(settings)
        return problem.domain.center()

    run(problem_of(PROBLEMS[0]), MILP(walk_share=0.1), time_limit=60.0, walk=walk)
    assert 0 < seen[0].budget.left() <= 6.0


def test_incumbents_are_written_down_and_get_better() -> None:
    problem = problem_of(named("random network 5"))
    result = run(problem)
    values = result.trace.values[:, 0]
    assert bool((values.diff() >= 0).all())
    assert values[0] == problem.value(problem.domain.center()[None, None]).item()
    assert values[0] < values[-1] == result.value
    assert result.found_by == ("milp",)


def test_polish_is_used_only_where_it_is_better() -> None:
    problem = problem_of(PROBLEMS[0])
    # The corner is found by the walk at once; a poor polish does not lose it, nor its bound.
    assert run(problem, walk=from_point(3.0), polish=lambda *_: torch.tensor([-1.0])).value == 3.0
    constant = make_problem(random_network(10, 40, 40, 1, seed=1), Box(0.0, 1.0, shape=(10,)))
    better = constant.domain.sample(300, generator=torch.Generator().manual_seed(1))
    best = better[constant.value(better[None])[0].argmax()]
    result = run(constant, MILP(tightening_share=0.0), time_limit=0.5, polish=lambda *_: best)
    assert float(result.value) >= constant.value(best[None, None]).item()


def test_ctrl_c_returns_the_incumbent() -> None:
    problem = hard_problem()

    def press() -> None:
        signal.raise_signal(signal.SIGINT)

    for share in (0.0, 0.9):  # in the exact program, and in those that tighten the ranges
        result = run(problem, MILP(tightening_share=share), stop=press)
        assert result.status is Status.INTERRUPTED
        assert_checked(problem, result)


def test_stop_ends_the_search() -> None:
    problem = hard_problem()
    result = run(problem, stop=lambda: True)
    assert result.status is Status.INTERRUPTED
    assert_checked(problem, result)


def constrained(limit: float) -> Problem:
    """max f_0 with f_1 <= limit, where f_0 = |x|, f_1 = x + |x| on [-2, 3]."""
    model = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        model[2].weight.copy_(torch.tensor([[1.0, 1.0], [2.0, 0.0]]))
        model[0].bias.zero_()
        model[2].bias.zero_()
    return make_problem(model, Box(-2.0, 3.0, shape=(1,)), Output(0), OutputConstraints([[0.0, 1.0]], [limit]))


@pytest.mark.parametrize(("limit", "maximum"), [(0.0, 2.0), (5.0, 2.5), (7.0, 3.0)])
def test_output_constraints_hold(limit: float, maximum: float) -> None:
    result = run(constrained(limit), walk=from_point(3.0))
    assert float(result.value) == pytest.approx(maximum, abs=1e-5)
    assert float(result.output_violation) <= 1e-6
    assert float(2 * result.x.clamp_min(0)) <= limit + 1e-5


def test_infeasible_output_constraints_are_infeasible_with_a_proof() -> None:
    result = run(constrained(-0.5), walk=from_point(3.0))
    assert result.status is Status.INFEASIBLE
    assert bool(result.certified)
    assert float(result.bound) == -math.inf


def test_whole_inputs_are_whole() -> None:
    model = random_network(3, 6, 1, seed=4)
    problem = make_problem(model, Box(0.0, 3.0, shape=(3,), integer=[0, 1, 2]))
    result = run(problem)
    grid = torch.cartesian_prod(*[torch.arange(4, dtype=torch.float64)] * 3)
    assert float(result.value) == pytest.approx(float(problem.value(grid[None]).max()))
    assert result.x.round().equal(result.x)


def test_a_bound_that_the_walk_beats_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("relu_attack.solvers.milp._method")
    honest = module.solve

    def lying(*arguments: Any, **options: Any) -> Any:
        return replace(honest(*arguments, **options), bound=-1.0, x=None, certified=False)

    monkeypatch.setattr(module, "solve", lying)
    known = named("random network 0")
    result = run(problem_of(known), MILP(cut_rounds=0))
    assert bool(result.certified)
    assert float(result.bound) >= known.maximum


def test_branching_narrows_ranges_and_keeps_what_happens() -> None:
    problem = make_problem(random_network(3, 8, 8, 1, seed=2), Box(-1.0, 1.0, shape=(3,)))
    wide = [(lower[0], upper[0]) for lower, upper in lp_tightened(problem).layers]
    tight = milp_tightened(problem, wide)
    points = problem.domain.sample(4000, generator=torch.Generator().manual_seed(0))
    for (low, high), (wide_low, wide_high), z in zip(
        tight, wide, problem.network.forward(points.double()).preactivations, strict=True
    ):
        assert bool((wide_low <= low).all() and (high <= wide_high).all())
        assert bool((low <= z.amin(0)).all() and (z.amax(0) <= high).all())
    gain = (wide[1][1] - wide[1][0]).sum() / (tight[1][1] - tight[1][0]).sum()
    assert gain > 1.02


def test_options_are_checked() -> None:
    for options, message in (
        ({"gap": -1.0}, "gap must be at least 0, got -1.0"),
        ({"tightening_share": 1.0}, r"tightening_share must be in \[0, 1\), got 1.0"),
        ({"cut_share": -0.1}, "cut_share"),
        ({"unit_time_limit": 0.0}, "unit_time_limit must be above 0 seconds"),
        ({"cut_rounds": 1.5}, "cut_rounds must be a whole number"),
    ):
        with pytest.raises(OptionError, match=message):
            MILP(**options)  # type: ignore[arg-type]


def test_a_polytope_with_equations() -> None:
    simplex = Polytope(A_eq=[[1.0, 1.0]], b_eq=[1.0], lower=0.0)
    problem = make_problem(random_network(2, 6, 1, seed=3), simplex, Linear([1.0]))
    result = run(problem)
    line = torch.linspace(0, 1, 2001, dtype=torch.float64)
    best = float(problem.value(torch.stack([line, 1 - line], 1)[None]).max())
    assert best - 1e-9 <= float(result.value) <= best + 1e-2
