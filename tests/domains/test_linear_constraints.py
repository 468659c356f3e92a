"""Linear rows of sets: how they are given, also as scipy gives them, and what is refused."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import Bounds, LinearConstraint
from scipy.sparse import csr_array

import relu_attack as ra
from relu_attack.errors import DomainError

A = [[1.0, 2.0, 0.0], [1.0, -1.0, 0.0], [0.0, 1.0, 1.0]]
LB, UB = [-math.inf, 0.0, -0.5], [3.0, 0.0, 1.5]


def test_rows_with_two_sides_are_two_inequalities_and_equal_sides_an_equation() -> None:
    rows = ra.LinearConstraints(A, LB, UB, lower=[0.0, 0.0, -math.inf])
    matrix, limit, equation = rows.one_sided
    assert matrix.tolist() == [[1, 2, 0], [0, 1, 1], [0, -1, -1], [1, -1, 0]]
    assert limit.tolist() == [3, 1.5, 0.5, 0]
    assert equation.tolist() == [False, False, False, True]
    assert rows.upper.tolist() == [math.inf] * 3
    assert repr(rows) == "LinearConstraints(inputs=3, inequalities=2, equations=1)"


@pytest.mark.parametrize(
    "given",
    [
        (ra.LinearConstraints(A, LB, UB, lower=0.0, upper=[1.0, 2.0, 3.0]),),
        (LinearConstraint(A, LB, UB), Bounds([0, 0, 0], [1, 2, 3])),
        ([LinearConstraint(csr_array(np.array(A)), LB, UB), Bounds([0, 0, 0], [1, 2, 3])],),
        ([LinearConstraint(A[0], -np.inf, 3.0), LinearConstraint(A[1:], LB[1:], UB[1:])], Bounds(0, [1, 2, 3])),
    ],
)
def test_a_polytope_takes_constraints_of_any_kind(given: tuple[object, ...]) -> None:
    polytope = ra.Polytope(*given)  # type: ignore[arg-type]
    same = ra.Polytope(
        [A[0], A[2], [0, -1, -1]], [3.0, 1.5, 0.5], [A[1]], [0.0], lower=0.0, upper=torch.tensor([1.0, 2.0, 3.0])
    )
    assert torch.equal(polytope.bounding_box().upper, same.bounding_box().upper)
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(polytope.project(points), same.project(points), atol=1e-9)
    assert repr(polytope) == "Polytope(inputs=3, inequalities=3, equations=1, shape=(3,), dtype=float64)"


def test_bounds_beside_constraints_hold_as_well() -> None:
    polytope = ra.Polytope(ra.LinearConstraints([[1.0, 1.0]], ub=1.5, lower=0.0, upper=1.0), upper=[0.5, 2.0])
    assert polytope.bounding_box().upper.tolist() == [0.5, 1.0]


def test_the_rows_of_a_set_make_the_same_set_again() -> None:
    for domain in (
        ra.Box(0.0, 1.0, shape=(3,), one_hot=[[0, 1]]),
        ra.Polytope(A, [3.0, 0.5, 1.0], lower=0.0, upper=1.0),
    ):
        rows = domain.linear_rows()
        assert rows is not None
        again = ra.Polytope(rows)
        for x in domain.sample(10, generator=torch.Generator().manual_seed(0)):
            inside = bool(((rows.A @ x <= rows.ub) & (rows.A @ x >= rows.lb)).all())
            assert bool(again.contains(x)) or not inside


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ra.LinearConstraints([1.0, 2.0]), r"A has shape \(2,\); it must be \(rows, columns\)"),
        (lambda: ra.LinearConstraints([[math.nan]]), "A is not finite at index"),
        (lambda: ra.LinearConstraints(A, [0.0, 1.0]), r"lb has shape \(2,\); give a number or one for each row \(3\)"),
        (lambda: ra.LinearConstraints(A, 1.0, 0.0), r"lb is above ub at row 0 \(1 > 0\)"),
        (lambda: ra.LinearConstraints(A, ub=math.nan), "ub is nan at index 0"),
        (lambda: ra.LinearConstraints(A, lb=math.inf), "lb is inf at index 0"),
        (lambda: ra.LinearConstraints(A, lower=2.0, upper=[1, 2, 3]), r"lower is above upper at column 0 \(2 > 1\)"),
        (lambda: ra.LinearConstraints(A, auxiliary=4), "auxiliary is 4; A has 3 columns"),
        (lambda: ra.LinearConstraints.of(3.0), "float holds no linear constraints; give LinearConstraints"),
        (lambda: ra.Polytope(ra.LinearConstraints(A), [1.0]), "bring their sides, beside b; give either of them"),
        (
            lambda: ra.Polytope([LinearConstraint(A, LB, UB), ra.LinearConstraints([[1.0, 1.0]])]),  # type: ignore[arg-type]
            "constraint 1 has 2 inputs, but another one has 3",
        ),
        (
            lambda: ra.Polytope(ra.LinearConstraints([[0.0], [1.0]], [-1.0, -1.0], [-0.5, 1.0])),
            "Polytope is infeasible: constraint row 0 is all zeros, and 0 <= -0.5 is false",
        ),
        (
            lambda: ra.Polytope(
                [LinearConstraint([[1.0, 1.0]], 3.0, 4.0), Bounds([0, 0], [1, 1])]  # type: ignore[arg-type]
            ),
            "Polytope is empty|infeasible",
        ),
        (
            lambda: ra.Polytope(ra.L1Ball(torch.zeros(2), 1.0).require_linear_rows()),
            "Polytope constraint has auxiliary variables",
        ),
    ],
)
def test_each_mistake_is_told(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DomainError, match=message):
        make()


def test_read_only_arrays_are_read_without_a_warning() -> None:
    ends = np.broadcast_to(1.0, (3,))
    assert ra.Box(-ends, ends).upper.tolist() == [1, 1, 1]
