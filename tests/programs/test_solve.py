"""Programs with known optima, statuses, and solvers that are wrong."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from relu_attack.errors import OptionError
from relu_attack.programs import Claim, PreparedProgram, Program, Solution, SolutionStatus, installed_solvers, solve

INFINITY = math.inf
LINEAR = ["HIGHS", "cvxpy:HIGHS", "CLARABEL"]
MIXED_INTEGER = ["HIGHS", "cvxpy:HIGHS"]


def diet() -> Program:
    """max 3x + 5y - 7 with x <= 4, 2y <= 12, 3x + 2y <= 18, x, y >= 0 (Hillier, Lieberman): 29 at (2, 6)."""
    return Program(
        objective=[3, 5],
        matrix=[[1, 0], [0, 2], [3, 2]],
        row_lower=-INFINITY,
        row_upper=[4, 12, 18],
        lower=0,
        upper=INFINITY,
        constant=-7,
    )


def knapsack() -> Program:
    """max 10a + 13b + 7c + 4d - 2 with 3a + 4b + 2c + 2d <= 6, binary: b and c, 18; the relaxation has 18.25."""
    return Program(
        objective=[10, 13, 7, 4],
        matrix=[[3, 4, 2, 2]],
        row_lower=-INFINITY,
        row_upper=6,
        lower=0,
        upper=1,
        integral=True,
        constant=-2,
    )


def hard(*, feasible_at_once: bool) -> Program:
    """Market split: 60 binaries in 6 equations with slack; with slack 0 no feasible point is in easy reach."""
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 100, size=(6, 60)).astype(float)
    half = np.floor(weights.sum(1) / 2)
    low = np.full(6, -INFINITY) if feasible_at_once else half
    return Program(
        objective=weights.sum(0) + rng.uniform(size=60),
        matrix=weights,
        row_lower=low,
        row_upper=half,
        lower=0,
        upper=1,
        integral=True,
        constant=1000.0,
    )


def needs_scip() -> None:
    if "SCIP" not in installed_solvers():
        pytest.skip("SCIP is not installed: pip install pyscipopt")


def random_program(seed: int) -> Program:
    rng = np.random.default_rng(seed)
    rows, columns = int(rng.integers(1, 7)), int(rng.integers(1, 7))
    matrix = rng.normal(size=(rows, columns)) * (rng.random((rows, columns)) < 0.7)
    inside = rng.uniform(-1, 1, size=columns)
    activity = matrix @ inside
    low = activity - rng.choice([0.0, 0.5, INFINITY], size=rows)
    high = activity + rng.choice([0.0, 0.5, INFINITY], size=rows)
    return Program(
        objective=rng.normal(size=columns),
        matrix=matrix,
        row_lower=low,
        row_upper=high,
        lower=-2 * np.ones(columns),
        upper=np.full(columns, 3.0),
        constant=float(rng.normal()),
    )


def assert_checked(program: Program, solution: Solution) -> None:
    """What holds of every solution, whatever the solver did."""
    if solution.x is not None:
        assert program.violation(solution.x) <= 1e-6
        assert program.integrality(solution.x) == 0
        assert ((program.lower <= solution.x) & (solution.x <= program.upper)).all()
        assert solution.value == program.value(solution.x)
    else:
        assert solution.value == -INFINITY


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


def test_a_feasible_warm_start_is_never_lost_and_an_infeasible_one_is_no_answer() -> None:
    program = knapsack()
    assert solve(program, warm_start=[0, 1, 1, 0]).value == 18
    forged = forged_solver(Claim(status=SolutionStatus.TIME_LIMIT))
    assert solve(program, forged, warm_start=[1, 0, 0, 0]).value == 8
    assert solve(program, forged, warm_start=[1, 1, 1, 1]).status is SolutionStatus.TIME_LIMIT_EMPTY
    assert solve(program, forged, warm_start=[0.5, 0, 0, 0]).status is SolutionStatus.TIME_LIMIT_EMPTY


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


def forged_solver(claim: Claim) -> Any:
    def forged(
        program: Program,
        *,
        time_limit: float | None,
        warm_start: np.ndarray | None,
        gap: float,
        options: Mapping[str, Any],
    ) -> Claim:
        return claim

    return forged


OPTIMUM, DUALS = np.array([2.0, 6.0]), np.array([0.0, 1.5, 1.0])


def test_an_honest_stub_is_believed() -> None:
    solution = solve(diet(), forged_solver(Claim(status=SolutionStatus.OPTIMAL, x=OPTIMUM, duals=DUALS)))
    assert (solution.status, solution.value, solution.solver) == (SolutionStatus.OPTIMAL, 29, "forged")


@pytest.mark.parametrize("x", [[4.0, 6.0], [2.0, 6.1], [-0.1, 6.0], [math.nan, 6.0], [2.0]])
def test_a_point_that_breaks_the_program_is_no_answer(x: list[float]) -> None:
    solution = solve(diet(), forged_solver(Claim(status=SolutionStatus.OPTIMAL, x=np.array(x), duals=DUALS)))
    assert (solution.status, solution.x, solution.value) == (SolutionStatus.NUMERICAL, None, -INFINITY)
    assert solution.bound == pytest.approx(29)


def test_a_poor_point_is_not_optimal() -> None:
    claim = Claim(status=SolutionStatus.OPTIMAL, x=np.array([2.0, 5.9]), duals=DUALS, bound=28.5)
    solution = solve(diet(), forged_solver(claim))
    assert solution.status is SolutionStatus.NUMERICAL
    assert solution.value == pytest.approx(28.5)
    assert solution.bound == pytest.approx(29)


@pytest.mark.parametrize("duals", [-DUALS, 2 * DUALS, DUALS[:2], DUALS * math.nan, None])
def test_wrong_multipliers_do_not_lower_the_bound(duals: np.ndarray | None) -> None:
    claim = Claim(status=SolutionStatus.OPTIMAL, x=OPTIMUM, duals=duals, bound=29)
    solution = solve(diet(), forged_solver(claim))
    assert solution.status is SolutionStatus.NUMERICAL
    assert solution.value == 29
    assert solution.bound >= 29.5


def test_a_bound_that_a_feasible_point_beats_is_refused() -> None:
    claim = Claim(status=SolutionStatus.OPTIMAL, x=np.array([0.0, 1.0, 1.0, 0.0]), bound=-18)
    solution = solve(knapsack(), forged_solver(claim))
    assert (solution.status, solution.value) == (SolutionStatus.NUMERICAL, 18)
    assert solution.certified
    assert solution.bound == pytest.approx(32)  # everything packed: what needs no solver


def test_a_bound_above_what_is_proved_is_replaced() -> None:
    claim = Claim(status=SolutionStatus.TIME_LIMIT, x=np.array([0.0, 1.0, 1.0, 0.0]), bound=1e9)
    solution = solve(knapsack(), forged_solver(claim))
    assert (solution.status, solution.certified) == (SolutionStatus.TIME_LIMIT, True)
    assert solution.bound == pytest.approx(32)


def test_false_claims_of_infeasible_and_unbounded_are_refuted() -> None:
    infeasible = forged_solver(Claim(status=SolutionStatus.INFEASIBLE, ray=DUALS))
    assert not solve(diet(), infeasible).certified
    solution = solve(diet(), infeasible, warm_start=[1, 1])
    assert (solution.status, solution.value) == (SolutionStatus.NUMERICAL, 1)
    unbounded = solve(diet(), forged_solver(Claim(status=SolutionStatus.UNBOUNDED)))
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


def dense_program(rows: int = 30) -> Program:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(rows, rows + 10))
    objective = rng.normal(size=rows + 10)
    return Program(objective=objective, matrix=matrix, row_lower=-INFINITY, row_upper=1, lower=0, upper=1)


def iterations(prepared: PreparedProgram) -> int:
    return int(prepared._highs.getInfo().simplex_iteration_count)


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
    with pytest.raises(OptionError, match=r"SCS cannot hold columns to whole numbers; use one of .*HIGHS"):
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
