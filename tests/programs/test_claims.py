"""Solvers that are wrong, or that report more than they prove."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from relu_attack.programs import Program, SolutionStatus, SolverReport, solve
from tests.programs.examples import INFINITY, diet, knapsack


def forged_solver(report: SolverReport) -> Any:
    def forged(
        program: Program,
        *,
        time_limit: float | None,
        warm_start: np.ndarray | None,
        gap: float,
        options: Mapping[str, Any],
    ) -> SolverReport:
        return report

    return forged


OPTIMUM, DUALS = np.array([2.0, 6.0]), np.array([0.0, 1.5, 1.0])


def test_an_honest_stub_is_believed() -> None:
    solution = solve(diet(), forged_solver(SolverReport(status=SolutionStatus.OPTIMAL, x=OPTIMUM, duals=DUALS)))
    assert (solution.status, solution.value, solution.solver) == (SolutionStatus.OPTIMAL, 29, "forged")


def test_a_feasible_warm_start_is_never_lost_and_an_infeasible_one_is_no_answer() -> None:
    program = knapsack()
    assert solve(program, warm_start=[0, 1, 1, 0]).value == 18
    forged = forged_solver(SolverReport(status=SolutionStatus.TIME_LIMIT))
    assert solve(program, forged, warm_start=[1, 0, 0, 0]).value == 8
    assert solve(program, forged, warm_start=[1, 1, 1, 1]).status is SolutionStatus.TIME_LIMIT_EMPTY
    assert solve(program, forged, warm_start=[0.5, 0, 0, 0]).status is SolutionStatus.TIME_LIMIT_EMPTY


@pytest.mark.parametrize("x", [[4.0, 6.0], [2.0, 6.1], [-0.1, 6.0], [math.nan, 6.0], [2.0]])
def test_a_point_that_breaks_the_program_is_no_answer(x: list[float]) -> None:
    solution = solve(diet(), forged_solver(SolverReport(status=SolutionStatus.OPTIMAL, x=np.array(x), duals=DUALS)))
    assert (solution.status, solution.x, solution.value) == (SolutionStatus.NUMERICAL, None, -INFINITY)
    assert solution.bound == pytest.approx(29)


def test_a_poor_point_is_not_optimal() -> None:
    report = SolverReport(status=SolutionStatus.OPTIMAL, x=np.array([2.0, 5.9]), duals=DUALS, bound=28.5)
    solution = solve(diet(), forged_solver(report))
    assert solution.status is SolutionStatus.NUMERICAL
    assert solution.value == pytest.approx(28.5)
    assert solution.bound == pytest.approx(29)


@pytest.mark.parametrize("duals", [-DUALS, 2 * DUALS, DUALS[:2], DUALS * math.nan, None])
def test_wrong_multipliers_do_not_lower_the_bound(duals: np.ndarray | None) -> None:
    report = SolverReport(status=SolutionStatus.OPTIMAL, x=OPTIMUM, duals=duals, bound=29)
    solution = solve(diet(), forged_solver(report))
    assert solution.status is SolutionStatus.NUMERICAL
    assert solution.value == 29
    assert solution.bound >= 29.5


def test_a_bound_that_a_feasible_point_beats_is_refused() -> None:
    report = SolverReport(status=SolutionStatus.OPTIMAL, x=np.array([0.0, 1.0, 1.0, 0.0]), bound=-18)
    solution = solve(knapsack(), forged_solver(report))
    assert (solution.status, solution.value) == (SolutionStatus.NUMERICAL, 18)
    assert solution.certified
    assert solution.bound == pytest.approx(32)  # everything packed: what needs no solver


def test_a_bound_above_what_is_proved_is_replaced() -> None:
    report = SolverReport(status=SolutionStatus.TIME_LIMIT, x=np.array([0.0, 1.0, 1.0, 0.0]), bound=1e9)
    solution = solve(knapsack(), forged_solver(report))
    assert (solution.status, solution.certified) == (SolutionStatus.TIME_LIMIT, True)
    assert solution.bound == pytest.approx(32)


def test_false_claims_of_infeasible_and_unbounded_are_refuted() -> None:
    infeasible = forged_solver(SolverReport(status=SolutionStatus.INFEASIBLE, ray=DUALS))
    assert not solve(diet(), infeasible).certified
    solution = solve(diet(), infeasible, warm_start=[1, 1])
    assert (solution.status, solution.value) == (SolutionStatus.NUMERICAL, 1)
    unbounded = solve(diet(), forged_solver(SolverReport(status=SolutionStatus.UNBOUNDED)))
    assert unbounded.status is SolutionStatus.NUMERICAL


def test_a_column_without_any_bound_has_an_estimate_for_a_bound() -> None:
    # max x - z with x <= y + 0.1, y <= z: no row bounds a column alone, but their sum bounds the objective.
    program = Program(
        objective=[1, 0, -1],
        matrix=[[1, -1, 0], [0, 1, -1]],
        row_lower=-INFINITY,
        row_upper=[0.1, 0],
        lower=-INFINITY,
        upper=INFINITY,
    )
    solution = solve(program)
    assert (solution.status, solution.certified) == (SolutionStatus.OPTIMAL, False)
    assert solution.bound == pytest.approx(0.1)
