"""Programs that are solved again and again after changes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from relu_attack.errors import OptionError
from relu_attack.programs import PreparedProgram, Program, SolutionStatus, solve
from tests.programs.examples import INFINITY, assert_checked, dense_program, diet, knapsack, random_program


def iterations(prepared: PreparedProgram) -> int:
    return int(prepared._highs.getInfo().simplex_iteration_count)


@pytest.mark.parametrize("seed", range(5))
def test_a_warm_solve_answers_as_a_cold_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = random_program(seed)
    prepared = PreparedProgram(first)
    prepared.solve()
    inside = prepared.solve().x
    assert inside is not None
    for _ in range(4):
        matrix = first.matrix.toarray()
        changes: list[dict[str, Any]] = [
            {"objective": rng.normal(size=first.columns), "constant": 2.0},
            {"lower": inside - 0.3, "upper": inside + rng.uniform(0, 1, size=first.columns)},
            {"row_upper": prepared.program.matrix @ inside + 1, "row_lower": prepared.program.matrix @ inside - 1},
            {"matrix": -matrix, "row_lower": -matrix @ inside - 0.5, "row_upper": INFINITY},
        ]
        prepared.change(**changes[int(rng.integers(4))])
        warm, cold = prepared.solve(), solve(prepared.program)
        assert warm.status is cold.status is SolutionStatus.OPTIMAL
        assert_checked(prepared.program, warm)
        assert warm.value == pytest.approx(cold.value, abs=1e-7)
        assert warm.bound == pytest.approx(cold.bound, abs=1e-7)


def test_a_warm_solve_starts_from_the_last_basis() -> None:
    program = dense_program()
    prepared = PreparedProgram(program)
    prepared.solve()
    cold = iterations(prepared)
    row_upper = np.ones(program.rows)
    row_upper[0] = 1.01
    prepared.change(row_upper=row_upper)
    prepared.solve()
    assert iterations(prepared) < cold / 4
    matrix = program.matrix.toarray()
    matrix[0] *= 1.01
    prepared.change(matrix=matrix)
    prepared.solve()
    assert iterations(prepared) < cold / 4


def test_the_time_limit_is_one_of_each_solve() -> None:
    prepared = PreparedProgram(dense_program(rows=120))
    first = prepared.solve()
    for _ in range(21):
        prepared.change(objective=-prepared.program.objective)
        prepared.solve()
    prepared.change(objective=-prepared.program.objective)
    # All of them together took longer than the limit of the last one, which is back at the first program.
    assert prepared.solve(time_limit=prepared._highs.getRunTime() / 2).value == pytest.approx(first.value)


@pytest.mark.parametrize("integral", [False, True])
def test_a_prepared_program_keeps_its_objective_when_it_was_unbounded(integral: bool) -> None:
    program = Program(
        objective=[1, 1], matrix=[[1, -1]], row_lower=0, row_upper=0, lower=0, upper=INFINITY, integral=integral
    )
    prepared = PreparedProgram(program)
    assert prepared.solve().status is SolutionStatus.UNBOUNDED
    prepared.change(upper=3)
    assert prepared.solve().value == pytest.approx(6)


def test_a_prepared_program_goes_on_after_infeasible_unbounded_and_time_limits() -> None:
    prepared = PreparedProgram(diet())
    prepared.change(row_upper=[-1, 12, 18])
    assert prepared.solve().status is SolutionStatus.INFEASIBLE
    prepared.change(row_upper=[INFINITY, 12, INFINITY])
    assert prepared.solve().status is SolutionStatus.UNBOUNDED
    prepared.change(row_upper=[4, 12, 18])
    for _ in range(3):
        assert prepared.solve(time_limit=5).value == pytest.approx(29)


def test_a_prepared_mixed_integer_program_takes_new_bounds() -> None:
    prepared = PreparedProgram(knapsack())
    assert prepared.solve().value == 18
    prepared.change(upper=[1, 0, 1, 1])
    assert prepared.solve(warm_start=[1, 0, 1, 0]).value == 15


def test_rows_that_are_added_hold_in_the_next_solve() -> None:
    """The same as a program that had them from the beginning; rows of very different sizes, as they are scaled."""
    whole = dense_program(rows=120)
    first = replace(whole, matrix=whole.matrix[:60], row_lower=whole.row_lower[:60], row_upper=whole.row_upper[:60])
    prepared = PreparedProgram(first)
    before = prepared.solve()
    prepared.add_rows(whole.matrix[60:].toarray(), whole.row_lower[60:], whole.row_upper[60:])
    after, expected = prepared.solve(), solve(whole)
    assert prepared.program.rows == whole.rows
    assert after.value == pytest.approx(expected.value, rel=1e-9)
    assert after.value <= before.value + 1e-9
    prepared.add_rows(1e6 * whole.objective[None], -np.inf, 1e6 * (after.value - 1.0 - whole.constant))
    assert prepared.solve().value == pytest.approx(after.value - 1.0, rel=1e-9)


def test_rows_that_a_program_refuses_are_not_added() -> None:
    prepared = PreparedProgram(diet())
    before = prepared.solve().value
    with pytest.raises(OptionError):
        prepared.add_rows(np.full((1, prepared.program.columns), np.nan), -np.inf, 1.0)
    assert prepared.solve().value == pytest.approx(before)


def test_coefficients_that_highs_refuses_are_numerical_trouble_with_a_bound_that_holds() -> None:
    """x <= 1 beside 1e16 y <= 1e16: the box alone bounds x + y by 4; the rows count again once they are others."""
    rows = np.array([[1.0, 0.0], [0.0, 1e16]])
    sides = {"row_lower": -np.inf, "row_upper": np.array([1.0, 1e16])}
    prepared = PreparedProgram(Program(objective=[1, 1], matrix=rows, lower=0, upper=2, **sides))
    solution = prepared.solve()
    assert solution.status is SolutionStatus.NUMERICAL
    assert 4.0 <= solution.bound <= 4.0 + 1e-12
    prepared.change(matrix=np.eye(2), row_upper=np.ones(2))
    assert prepared.solve().value == pytest.approx(2.0)
    prepared.add_rows([[1e16, 0.0]], -np.inf, 1.0)
    assert prepared.solve().status is SolutionStatus.NUMERICAL


def test_rows_that_are_added_stay_when_the_program_changes() -> None:
    """Added before and between changes, the rows are those of the program that is solved and shown."""
    whole = dense_program(rows=90)
    first = replace(whole, matrix=whole.matrix[:30], row_lower=whole.row_lower[:30], row_upper=whole.row_upper[:30])
    prepared = PreparedProgram(first)
    for part in (slice(30, 60), slice(60, 90)):
        prepared.add_rows(whole.matrix[part].toarray(), whole.row_lower[part], whole.row_upper[part])
        prepared.change(objective=-prepared.program.objective)
        prepared.solve()
    assert prepared.program.rows == 90
    assert (prepared.program.matrix != whole.matrix).nnz == 0
    assert prepared.solve().value == pytest.approx(solve(whole).value, rel=1e-9)
