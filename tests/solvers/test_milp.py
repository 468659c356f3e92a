"""The exact mixed-integer program: known optima, bounds at any time, and what a lying solver cannot do."""

import math
import signal
from dataclasses import replace
from typing import Any

import pytest
import torch

from relu_attack import Box, DomainError, L2Ball, Linear, Output, Polytope
from relu_attack.bounds import lp_tightened
from relu_attack.bounds.milp_tightened import milp_tightened
from relu_attack.errors import OptionError
from relu_attack.network import lower
from relu_attack.output_constraints import OutputConstraints
from relu_attack.problem import Problem
from relu_attack.solvers import milp
from relu_attack.solvers.milp import MILPAnswer, MILPOptions, solve_milp
from tests.problems import PROBLEMS, KnownProblem, random_network

POLYHEDRAL = [known for known in PROBLEMS if not isinstance(known.domain, L2Ball)]


def problem_of(known: KnownProblem) -> Problem:
    return make_problem(known.model, known.domain, known.objective)


def make_problem(model: torch.nn.Module, domain: Any, objective: Any = Output(0), rows: Any = None) -> Problem:  # noqa: B008
    return Problem.create(lower(model, domain.shape).network, domain, objective, rows)


def hard_problem() -> Problem:
    """A network whose gap does not close in seconds."""
    model = random_network(10, 40, 40, 1, seed=1)
    return make_problem(model, Box(0.0, 1.0, shape=(10,)))


def assert_answers(problem: Problem, answer: MILPAnswer) -> None:
    """What holds of every answer with a point."""
    assert answer.x is not None
    x = answer.x[None].double()
    assert bool(problem.domain.contains(answer.x[None]).all())
    assert answer.value == float(problem.value(x[None]))
    assert answer.value <= answer.bound <= answer.certified_bound or answer.certified


@pytest.mark.parametrize("known", POLYHEDRAL, ids=str)
def test_the_known_maximum(known: KnownProblem) -> None:
    problem = problem_of(known)
    answer = solve_milp(problem, MILPOptions())
    assert_answers(problem, answer)
    assert answer.value == pytest.approx(known.maximum, rel=1e-6, abs=1e-6)
    assert answer.bound == pytest.approx(known.maximum, rel=1e-5, abs=1e-5)
    assert known.maximum <= answer.certified_bound + 1e-9 * abs(known.maximum)


def test_a_set_without_rows_is_refused() -> None:
    (known,) = (known for known in PROBLEMS if isinstance(known.domain, L2Ball))
    with pytest.raises(DomainError):
        solve_milp(problem_of(known), MILPOptions())


def test_a_start_is_never_lost_and_bounds_hold_when_the_time_is_over() -> None:
    problem = hard_problem()
    start = problem.domain.sample(200, generator=torch.Generator().manual_seed(0))
    values = problem.value(start[None])[0]
    answer = solve_milp(problem, MILPOptions(), start=start[values.argmax()], time_limit=1.0)
    assert_answers(problem, answer)
    assert float(values.max()) <= answer.value < answer.bound
    assert answer.bound <= answer.certified_bound < math.inf


def test_incumbents_are_told_and_get_better() -> None:
    known, seen = PROBLEMS[-1], list[float]()
    problem = problem_of(known)
    answer = solve_milp(problem, MILPOptions(), on_incumbent=lambda _, value: seen.append(value))
    assert seen == sorted(seen)
    assert seen[0] == float(problem.value(problem.domain.center()[None, None]))
    assert seen[0] < seen[-1] == answer.value


def test_polish_is_used_only_where_it_is_better() -> None:
    problem = problem_of(PROBLEMS[0])
    for point in (torch.tensor([-1.0]), torch.tensor([3.0])):
        answer = solve_milp(problem, MILPOptions(), start=torch.tensor([-2.0]), polish=lambda _x, _s, p=point: p)
        assert answer.value == 3.0


def test_ctrl_c_returns_the_incumbent() -> None:
    problem = hard_problem()

    def press() -> None:
        signal.raise_signal(signal.SIGINT)

    for share in (0.0, 0.9):  # in the exact program, and in those that tighten the ranges
        answer = solve_milp(problem, MILPOptions(tightening_share=share), time_limit=600.0, stop=press)
        assert answer.interrupted
        assert_answers(problem, answer)


def test_stop_returns_the_start() -> None:
    problem = hard_problem()
    answer = solve_milp(problem, MILPOptions(), start=problem.domain.center(), stop=lambda: True)
    assert answer.interrupted
    assert_answers(problem, answer)


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
    problem = constrained(limit)
    answer = solve_milp(problem, MILPOptions(), start=torch.tensor([3.0]))
    assert answer.value == pytest.approx(maximum, abs=1e-5)
    assert answer.x is not None
    assert float(2 * answer.x.clamp_min(0)) <= limit + 1e-5


def test_infeasible_output_constraints_are_infeasible_with_a_proof() -> None:
    answer = solve_milp(constrained(-0.5), MILPOptions(), start=torch.tensor([3.0]))
    assert answer.infeasible
    assert answer.certified
    assert (answer.x, answer.bound, answer.certified_bound) == (None, -math.inf, -math.inf)


def test_whole_inputs_are_whole() -> None:
    model = random_network(3, 6, 1, seed=4)
    problem = make_problem(model, Box(0.0, 3.0, shape=(3,), integer=[0, 1, 2]))
    answer = solve_milp(problem, MILPOptions())
    grid = torch.cartesian_prod(*[torch.arange(4, dtype=torch.float64)] * 3)
    assert answer.value == pytest.approx(float(problem.value(grid[None]).max()))
    assert answer.x is not None
    assert answer.x.round().equal(answer.x)


def test_a_bound_that_the_walk_beats_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = milp.solve

    def lying(*arguments: Any, **options: Any) -> Any:
        return replace(honest(*arguments, **options), bound=-1.0, x=None, certified=False)

    monkeypatch.setattr(milp, "solve", lying)
    problem = problem_of(PROBLEMS[0])
    answer = solve_milp(problem, MILPOptions(cut_rounds=0), start=torch.tensor([2.5]))
    assert answer.certified
    assert answer.bound == answer.certified_bound >= 3.0


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
            MILPOptions(**options)  # type: ignore[arg-type]


def test_a_polytope_with_equations() -> None:
    simplex = Polytope(A_eq=[[1.0, 1.0]], b_eq=[1.0], lower=0.0)
    problem = make_problem(random_network(2, 6, 1, seed=3), simplex, Linear([1.0]))
    answer = solve_milp(problem, MILPOptions())
    line = torch.linspace(0, 1, 2001, dtype=torch.float64)
    best = float(problem.value(torch.stack([line, 1 - line], 1)[None]).max())
    assert best - 1e-9 <= answer.value <= best + 1e-2
