"""Programs with known optima, and what each status means."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from relu_attack.errors import OptionError
from relu_attack.programs import PreparedProgram, Program, SolutionStatus, installed_solvers, solve
from tests.programs.examples import INFINITY, assert_checked, diet, hard, knapsack, random_program

LINEAR = ["HIGHS", "cvxpy:HIGHS", "CLARABEL"]
MIXED_INTEGER = ["HIGHS", "cvxpy:HIGHS"]


def needs_scip() -> None:
    if "SCIP" not in installed_solvers():
        pytest.skip("SCIP is not installed: pip install pyscipopt")


@pytest.mark.slow
@pytest.mark.parametrize("solver", LINEAR)
def test_a_linear_program_with_known_optimum_and_multipliers(solver: str) -> None:
    solution = solve(diet(), solver)
    assert solution.status is SolutionStatus.OPTIMAL
    assert (solution.certified, solution.solver) == (True, solver)
    assert_checked(diet(), solution)
    assert solution.x == pytest.approx([2, 6], abs=1e-6)
    assert solution.duals == pytest.approx([0, 1.5, 1], abs=1e-5)
    assert solution.value == pytest.approx(29, abs=1e-5)
    assert 29 <= solution.bound <= 29 + 1e-4


@pytest.mark.parametrize("solver", MIXED_INTEGER)
def test_a_mixed_integer_program_with_known_optimum(solver: str) -> None:
    solution = solve(knapsack(), solver)
    assert solution.status is SolutionStatus.OPTIMAL
    assert not solution.certified
    assert solution.duals is None
    assert solution.x is not None
    assert solution.x.tolist() == [0, 1, 1, 0]
    assert solution.value == 18
    assert solution.bound == pytest.approx(18, abs=1e-4)


@pytest.mark.parametrize("solver", LINEAR)
def test_multipliers_have_one_sign_convention(solver: str) -> None:
    # max x - y with x + y = 3, x - y >= -1, x <= 2 (a row): the equation and the last row are tight.
    program = Program(
        objective=[1, -1],
        matrix=[[1, 1], [1, -1], [1, 0]],
        row_lower=[3, -1, -INFINITY],
        row_upper=[3, INFINITY, 2],
        lower=-9,
        upper=9,
    )
    solution = solve(program, solver)
    assert solution.duals == pytest.approx([-1, 0, 2], abs=1e-5)
    reverse = solve(Program(**{**vars_of(program), "objective": [-1, 1]}), solver)
    assert reverse.duals == pytest.approx([0, -1, 0], abs=1e-5)


def vars_of(program: Program) -> dict[str, Any]:
    return {name: getattr(program, name) for name in Program.__dataclass_fields__}


def test_scip_through_cvxpy() -> None:
    needs_scip()
    linear = solve(diet(), "SCIP")
    assert (linear.status, linear.certified) == (SolutionStatus.OPTIMAL, True)
    assert linear.value == pytest.approx(29)
    mixed = solve(knapsack(), "SCIP", time_limit=10, options={"scip_params": {"limits/nodes": 1000}})
    assert (mixed.status, mixed.value) == (SolutionStatus.OPTIMAL, 18)
    program = hard(feasible_at_once=True)
    stopped = solve(program, "SCIP", time_limit=0.2, gap=0)
    assert stopped.status is SolutionStatus.TIME_LIMIT
    assert_checked(program, stopped)
    assert stopped.value < stopped.bound < INFINITY
    assert solve(hard(feasible_at_once=False), "SCIP", time_limit=0.2).status is SolutionStatus.TIME_LIMIT_EMPTY
    empty = Program(objective=[1], matrix=[[2]], row_lower=1, row_upper=1, lower=0, upper=3, integral=True)
    assert solve(empty, "SCIP").status is SolutionStatus.INFEASIBLE


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_random_linear_programs_agree_with_scipy(seed: int) -> None:
    program = random_program(seed)
    finite_high, finite_low = np.isfinite(program.row_upper), np.isfinite(program.row_lower)
    dense = program.matrix.toarray()
    A = np.vstack([dense[finite_high], -dense[finite_low]])
    b = np.concatenate([program.row_upper[finite_high], -program.row_lower[finite_low]])
    bounds = list(zip(program.lower, program.upper, strict=True))
    expected = -linprog(-program.objective, A_ub=A, b_ub=b, bounds=bounds).fun + program.constant
    solution = solve(program)
    assert solution.status is SolutionStatus.OPTIMAL
    assert_checked(program, solution)
    assert solution.value == pytest.approx(expected, abs=1e-6)
    assert solution.certified
    assert expected - 1e-6 <= solution.bound <= expected + 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_loose_multipliers_of_a_first_order_solver_still_bound(seed: int) -> None:
    program = random_program(seed)
    loose = solve(program, "SCS", options={"eps_abs": 1e-2, "eps_rel": 1e-2})
    tight = solve(program)
    assert loose.certified
    assert loose.bound >= tight.value - 1e-9
    assert_checked(program, loose)


@pytest.mark.parametrize("solver", LINEAR)
def test_infeasible_with_a_proof(solver: str) -> None:
    program = Program(
        objective=[1, 0], matrix=[[1, 1], [1, 1]], row_lower=[3, -INFINITY], row_upper=[INFINITY, 2], lower=0, upper=10
    )
    solution = solve(program, solver)
    assert solution.status is SolutionStatus.INFEASIBLE
    assert (solution.x, solution.value, solution.bound) == (None, -INFINITY, -INFINITY)
    assert solution.certified


@pytest.mark.parametrize("solver", MIXED_INTEGER)
def test_infeasible_in_whole_numbers_only_is_not_certified(solver: str) -> None:
    program = Program(objective=[1], matrix=[[2]], row_lower=1, row_upper=1, lower=0, upper=3, integral=True)
    solution = solve(program, solver)
    assert solution.status is SolutionStatus.INFEASIBLE
    assert not solution.certified


def test_a_mixed_integer_program_with_an_infeasible_relaxation_is_refuted_with_a_proof() -> None:
    program = Program(objective=[1, 1], matrix=[[1, 1]], row_lower=5, row_upper=6, lower=0, upper=1, integral=True)
    solution = solve(program)
    assert solution.status is SolutionStatus.INFEASIBLE
    assert solution.certified


@pytest.mark.parametrize("integral", [False, True])
@pytest.mark.parametrize("solver", MIXED_INTEGER)
def test_unbounded_and_infeasible_are_told_apart(solver: str, integral: bool) -> None:
    # Both have the direction (1, 1); the second has no point.
    fields = {"objective": [1, 1], "lower": 0, "upper": INFINITY, "integral": integral}
    unbounded = Program(matrix=[[1, -1]], row_lower=0, row_upper=0, **fields)
    solution = solve(unbounded, solver)
    assert solution.status is SolutionStatus.UNBOUNDED
    assert solution.bound == INFINITY
    empty = Program(matrix=[[1, -1], [1, -1]], row_lower=[0, 1], row_upper=[0, 1], **fields)
    assert solve(empty, solver).status is SolutionStatus.INFEASIBLE


@pytest.mark.parametrize("solver", MIXED_INTEGER)
def test_a_time_limit_with_an_incumbent(solver: str) -> None:
    program = hard(feasible_at_once=True)
    start = np.zeros(60)
    start[3] = 1
    solution = solve(program, solver, time_limit=0.05, warm_start=start, gap=0)
    assert solution.status is SolutionStatus.TIME_LIMIT
    assert_checked(program, solution)
    assert program.value(start) <= solution.value <= solution.bound < INFINITY


@pytest.mark.parametrize("solver", MIXED_INTEGER)
def test_a_time_limit_without_an_incumbent(solver: str) -> None:
    program = hard(feasible_at_once=False)
    solution = solve(program, solver, time_limit=0.05)
    assert solution.status is SolutionStatus.TIME_LIMIT_EMPTY
    assert (solution.x, solution.value) == (None, -INFINITY)
    # The bound holds: it has the constant and the sign of the program.
    assert program.constant < solution.bound <= program.objective.sum() + program.constant + 1e-6


def test_a_poor_warm_start_does_not_come_back_as_the_answer() -> None:
    # From (-1, 1, 0) HiGHS 1.16 returns that point, and beside it the bound of a better one that its presolve found.
    rows = np.array([[-0.62, -0.01, 0.0005], [0.06, 2.18, -0.28], [0.62, 0.01, -0.0005], [-0.06, -2.18, 0.28]])
    norms = np.linalg.norm(rows, axis=1)
    eye, offset = np.eye(3), np.array([3, 2, 1])
    target = offset - np.array([2.9397, 2.4809, 1.4941])
    program = Program(
        objective=[0, 0, 0, -1, -1, -1],
        matrix=np.block([[rows / norms[:, None], np.zeros((4, 3))], [-eye, eye], [eye, eye]]),
        row_lower=np.concatenate([np.full(4, -INFINITY), target, -target]),
        row_upper=np.concatenate([([-0.23, 6.45, 2.23, -4.45] - rows @ offset) / norms, np.full(6, INFINITY)]),
        lower=np.concatenate([-offset, np.zeros(3)]),
        upper=np.concatenate([3 - offset, np.full(3, INFINITY)]),
        integral=np.arange(6) < 3,
    )
    nearest = solve(program)
    assert nearest.status is SolutionStatus.OPTIMAL
    starts = 0
    for point in itertools.product(range(-3, 1), range(-2, 2), range(-1, 3)):
        start = np.concatenate([point, np.abs(point + target)])
        if program.violation(start) <= 1e-9:
            starts += 1
            solution = solve(program, warm_start=start)
            assert (solution.status, solution.value) == (SolutionStatus.OPTIMAL, pytest.approx(nearest.value))
    assert starts > 3


def test_rows_of_any_scale_are_held() -> None:
    # HiGHS is absolute: unscaled, it could break the small row by its whole size.
    program = Program(
        objective=[1, 1], matrix=[[1e-9, 0], [0, 1e6]], row_lower=-INFINITY, row_upper=[1e-9, 1e6], lower=0, upper=5
    )
    solution = solve(program)
    assert solution.status is SolutionStatus.OPTIMAL
    assert solution.value == pytest.approx(2)


def test_options_and_mistakes_are_named() -> None:
    assert {"HIGHS", "SCS", "CLARABEL"} <= set(installed_solvers())
    with pytest.raises(OptionError, match=r"solver is 'SIMPLEX'; it must be one of .*HIGHS"):
        solve(diet(), "SIMPLEX")
    with pytest.raises(OptionError, match=r"SCS does not support integer columns; use one of .*HIGHS"):
        solve(knapsack(), "SCS")
    with pytest.raises(OptionError, match="HiGHS has no option 'nonsense'"):
        solve(diet(), options={"nonsense": 1})
    with pytest.raises(OptionError, match="time_limit is 0"):
        solve(diet(), time_limit=0)
    with pytest.raises(OptionError, match="gap is nan"):
        solve(diet(), gap=math.nan)
    with pytest.raises(OptionError, match=r"warm_start has shape \(1,\)"):
        solve(diet(), warm_start=[1])
    with pytest.raises(OptionError, match="cannot change integral"):
        PreparedProgram(diet()).change(integral=True)


@pytest.mark.parametrize("size", [1e-200, 1e-14, 1e-11, 1e12, 1e200])
def test_objectives_of_any_size_have_their_optimum(size: float) -> None:
    program = knapsack()
    program = replace(program, objective=size * program.objective, constant=0.0)
    solution = solve(program)
    assert solution.status is SolutionStatus.OPTIMAL
    assert (solution.value / size, solution.bound / size) == pytest.approx((20.0, 20.0))
    relaxed = solve(replace(program, integral=np.zeros(4, dtype=bool)))
    assert relaxed.bound / size == pytest.approx(20.25)
