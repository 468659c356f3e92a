"""A program as arrays: value, violation, and bounds by weak duality. No solver is asked here."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array

from relu_attack.errors import OptionError
from relu_attack.programs import Program

INFINITY = math.inf


def program(**fields: Any) -> Program:
    """max x + y + 1 with x + 2y <= 4, x - y = 1, 0 <= x <= 3 and y free: the top is (2, 1)."""
    known = {
        "objective": [1.0, 1.0],
        "matrix": [[1.0, 2.0], [1.0, -1.0]],
        "row_lower": [-INFINITY, 1.0],
        "row_upper": [4.0, 1.0],
        "lower": [0.0, -INFINITY],
        "upper": [3.0, INFINITY],
        "constant": 1.0,
    }
    return Program(**{**known, **fields})


def test_value_has_the_constant() -> None:
    assert program().value([2, 1]) == 4


def test_violation_is_relative_to_the_row() -> None:
    p = program()
    assert p.violation([2, 1]) == 0
    # x + 2y = 5 breaks the first row by 1, of scale max(norm sqrt(5), bound 4).
    assert p.violation([7 / 3, 4 / 3]) == pytest.approx(1 / 4)
    for factor in (1e-6, 1e6):
        scaled = program(matrix=[[factor, 2 * factor], [1, -1]], row_upper=[4 * factor, 1])
        assert scaled.violation([7 / 3, 4 / 3]) == pytest.approx(1 / 4)
    assert p.violation([4, 3]) > p.violation([3.5, 2.5]) > 0
    assert p.violation([math.nan, 0]) == INFINITY


def test_violation_of_a_bound_and_a_row_of_zeros() -> None:
    p = Program(objective=[1], matrix=[[0.0]], row_lower=-INFINITY, row_upper=0, lower=-1, upper=10)
    assert p.violation([10]) == 0
    assert p.violation([12]) == pytest.approx(0.2)
    assert p.violation([-1.5]) == pytest.approx(0.5)


def test_integrality_is_the_distance_of_the_whole_columns() -> None:
    p = program(integral=[True, False])
    assert p.is_mixed_integer
    assert p.integrality([1.25, 0.4]) == 0.25
    assert p.integrality([2, 0.4]) == 0


@pytest.mark.parametrize("form", [np.asarray, csr_array, coo_array])
def test_dense_and_sparse_matrices_are_the_same(form: Any) -> None:
    p = program(matrix=form(np.array([[1.0, 2.0], [1.0, -1.0]])))
    assert p.matrix.toarray().tolist() == [[1, 2], [1, -1]]
    assert (p.rows, p.columns) == (2, 2)


def test_a_program_does_not_change_with_the_arrays_it_came_from() -> None:
    objective = np.ones(2)
    p = program(objective=objective)
    objective[0] = 5
    assert p.objective.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objective": [[1.0]]}, r"objective of the program has shape \(1, 1\)"),
        ({"objective": [1.0]}, "matrix of the program has 2 columns, but the objective has 1"),
        ({"objective": [1.0, math.nan]}, "objective of the program is not finite"),
        ({"constant": INFINITY}, "objective of the program is not finite"),
        ({"matrix": [[1.0, 2.0], [1.0, math.nan]]}, r"matrix of the program is not finite at \(1, 1\)"),
        ({"matrix": [1.0, 2.0]}, r"matrix of the program has shape \(2,\)"),
        ({"row_lower": [0.0]}, r"row_lower of the program has shape \(1,\); give a number or one for each of 2"),
        ({"row_lower": [5.0, 1.0]}, r"row_lower of the program is above row_upper at index 0 \(5 > 4\)"),
        ({"lower": [0.0, math.nan]}, "lower of the program is nan at index 1"),
        ({"upper": [3.0, -INFINITY]}, "upper of the program is -inf at index 1; no bound is inf"),
        ({"lower": [4.0, 0.0]}, r"lower of the program is above upper at index 0 \(4 > 3\)"),
        ({"names": ["x"]}, "names of the program has 1 entries; give one for each of 2"),
    ],
)
def test_mistakes_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        program(**fields)


def test_a_point_or_multipliers_of_a_wrong_shape_are_named() -> None:
    with pytest.raises(OptionError, match="the program has 2 columns"):
        program().value([1])
    with pytest.raises(OptionError, match="one for each of 2 rows"):
        program().dual_bound([1])


def test_the_bound_of_the_dual_optimum_is_the_optimum() -> None:
    # (1, 1) = 2/3 (1, 2) + 1/3 (1, -1), and y is free: the rows bound it.
    assert 4 <= program().dual_bound([2 / 3, 1 / 3]) < 4 + 1e-12


def test_a_multiplier_on_an_infinite_side_counts_as_zero() -> None:
    p = Program(objective=[1], matrix=[[1]], row_lower=-INFINITY, row_upper=2, lower=0, upper=5)
    assert 5 <= p.dual_bound([-1.0]) < 5 + 1e-12
    assert 5 <= p.dual_bound([math.nan]) < 5 + 1e-12
    assert 2 <= p.dual_bound([1.0]) < 2 + 1e-12


def test_an_unbounded_program_has_no_finite_bound() -> None:
    p = Program(objective=[1], matrix=np.zeros((0, 1)), row_lower=0, row_upper=0, lower=0, upper=INFINITY)
    assert p.dual_bound([]) == INFINITY
    # Nothing is gained by the other direction.
    p = Program(objective=[-1], matrix=np.zeros((0, 1)), row_lower=0, row_upper=0, lower=0, upper=INFINITY)
    assert 0 <= p.dual_bound([]) < 1e-300


def test_rows_that_prove_infeasibility() -> None:
    # x + y >= 3 and x + y <= 2 in free variables: the difference of the rows says 0 >= 1.
    fields = {"objective": [0, 0], "matrix": [[1, 1], [1, 1]], "lower": 0, "upper": 10}
    p = Program(row_lower=[3, -INFINITY], row_upper=[INFINITY, 2], **fields)
    assert p.proves_infeasible([-1, 1])
    assert not p.proves_infeasible([1, -1])
    feasible = Program(row_lower=[2, -INFINITY], row_upper=[INFINITY, 2], **fields)
    assert not feasible.proves_infeasible([-1, 1])


NUMBERS = st.integers(-4, 4)
MULTIPLIERS = st.floats(-1e3, 1e3, allow_nan=False) | st.sampled_from([1e-17, -1e-17, 1 / 3, INFINITY, math.nan])


@st.composite
def programs_with_a_feasible_point(draw: st.DrawFn) -> tuple[Program, list[int]]:
    """Integer data around an integer point, so that the point is feasible exactly; many sides are infinite."""
    rows, columns = draw(st.integers(0, 4)), draw(st.integers(1, 4))
    matrix = np.array(draw(st.lists(NUMBERS, min_size=rows * columns, max_size=rows * columns)), dtype=float)
    matrix = matrix.reshape(rows, columns)
    x = draw(st.lists(NUMBERS, min_size=columns, max_size=columns))
    slack = st.sampled_from([0, 1, 3, INFINITY])

    def around(middle: Any, count: int, sign: int) -> Any:
        return middle + sign * np.array(draw(st.lists(slack, min_size=count, max_size=count)), dtype=float)

    activity, point = matrix @ x, np.array(x, dtype=float)
    return Program(
        objective=draw(st.lists(NUMBERS, min_size=columns, max_size=columns)),
        matrix=matrix,
        row_lower=around(activity, rows, -1),
        row_upper=around(activity, rows, 1),
        lower=around(point, columns, -1),
        upper=around(point, columns, 1),
        constant=draw(NUMBERS),
    ), x


@pytest.mark.slow
@given(case=programs_with_a_feasible_point(), data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_multipliers_bound_every_feasible_point(case: tuple[Program, list[int]], data: st.DataObject) -> None:
    p, x = case
    multipliers = data.draw(st.lists(MULTIPLIERS, min_size=p.rows, max_size=p.rows))
    assert p.violation(x) == 0
    bound = p.dual_bound(multipliers)
    exact = sum(Fraction(c) * v for c, v in zip(p.objective.tolist(), x, strict=True)) + Fraction(p.constant)
    assert bound == INFINITY or Fraction(bound) >= exact
    assert not p.proves_infeasible(multipliers)


@pytest.mark.slow
@given(
    data=st.lists(st.floats(-1e8, 1e8, allow_nan=False), min_size=12, max_size=12),
    multipliers=st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=2, max_size=2),
)
@example(data=[1e8, 1.0, -1e8, 0.1, 0.2, 0.3, 1e-8, 3.0, 1e8, 0.1, 0.7, 0.3], multipliers=[1 / 3, -0.1])
@settings(max_examples=200, deadline=None)
def test_the_bound_is_above_the_exact_one(data: list[float], multipliers: list[float]) -> None:
    objective, matrix, box = data[:3], [data[3:6], data[6:9]], [abs(v) for v in data[9:]]
    p = Program(
        objective=objective,
        matrix=matrix,
        row_lower=-1,
        row_upper=[1, 0.1],
        lower=-np.array(box),
        upper=box,
        constant=0.3,
    )
    y = [Fraction(v) for v in multipliers]
    exact = Fraction(0.3) + sum(v * Fraction(side if v > 0 else -1) for v, side in zip(y, (1, 0.1), strict=True))
    for j in range(3):
        reduced = Fraction(objective[j]) - sum(y[i] * Fraction(matrix[i][j]) for i in range(2))
        exact += abs(reduced) * Fraction(box[j])
    bound = p.dual_bound(multipliers)
    assert Fraction(bound) >= exact
    size = abs(p.objective) @ box + abs(np.array(multipliers)) @ (abs(np.array(matrix)) @ box + 1) + 1
    assert bound <= float(exact) + 1e-13 * size


@given(
    sides=st.lists(st.floats(-1e8, 1e8, allow_nan=False), min_size=3, max_size=3),
    multipliers=st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=3, max_size=3),
)
@example(sides=[0.1, 0.3, -0.7], multipliers=[1 / 3, 0.1, -0.3])
@example(sides=[0.1, -0.1, 0.7], multipliers=[0.3, 0.3, 0.1])
@settings(max_examples=100, deadline=None)
def test_the_price_of_the_rows_is_rounded_up(sides: list[float], multipliers: list[float]) -> None:
    p = Program(objective=[0], matrix=np.zeros((3, 1)), row_lower=sides, row_upper=sides, lower=0, upper=1)
    exact = sum(Fraction(y) * Fraction(side) for y, side in zip(multipliers, sides, strict=True))
    assert Fraction(p.dual_bound(multipliers)) >= exact


def test_products_that_underflow_prove_nothing() -> None:
    """x = -1e96 satisfies 1e-200 x <= -1e-105; the multiplier times the coefficient is 0 in float64."""
    program = Program(
        objective=[0.0], matrix=[[1e-200]], row_lower=-math.inf, row_upper=-1e-105, lower=-1e300, upper=1e300
    )
    assert program.violation([-1e96]) == 0.0
    for multiplier in (1e-200, 1e-100, 1.0, 1e200):
        assert not program.proves_infeasible([multiplier])


def test_a_proof_of_infeasibility_does_not_depend_on_the_size_of_its_multipliers() -> None:
    program = Program(objective=[1.0], matrix=[[1.0]], row_lower=-math.inf, row_upper=-1.0, lower=0.0, upper=2.0)
    assert all(program.proves_infeasible([size]) for size in (1e-300, 1.0, 1e300))
