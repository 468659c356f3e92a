"""Polytopes: what they refuse, degenerate sets, and values worked out by hand."""

from typing import Any

import pytest
import torch
from scipy import sparse

from relu_attack.domains import Polytope
from relu_attack.domains.polytope import _form as forms
from relu_attack.errors import DomainError

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"A": [[1.0, NAN]], "b": [1.0]}, r"A is not finite at index \(0, 1\)"),
        ({"A": [[1.0, 1.0]], "b": [INF]}, "b is not finite at index 0"),
        ({"A": [[1.0, 1.0]]}, "has A but no b"),
        ({"b_eq": [1.0], "lower": [0.0, 0.0]}, "has b_eq but no A_eq"),
        ({"A": [[1.0, 1.0]], "b": [1.0, 2.0]}, "b has shape .2,., but A has 1 rows"),
        ({"A": [1.0, 1.0], "b": [1.0]}, r"A has shape \(2,\), it must be \(rows, inputs\)"),
        ({"A": [[[1.0, 1.0]]], "b": [1.0]}, "a batch of polytopes has one matrix"),
        ({"A": [[1.0, 1.0]], "b": [1.0], "A_eq": [[1.0]], "b_eq": [1.0]}, "A_eq has shape .1, 1., .* 2 inputs"),
        ({"A": [[1.0, 1.0]], "b": [1.0], "lower": [0.0]}, "lower has shape"),
        ({"lower": [[[0.0, 0.0]]], "upper": 1.0}, "must be .inputs,., or .batch, inputs. for a batch"),
        ({"lower": 0.0, "upper": 1.0}, "or shape="),
        ({"lower": [0.0, NAN], "upper": 1.0}, "lower is nan at index 1"),
        ({"lower": [0.0, INF], "upper": 1.0}, "lower is inf at index 1"),
        ({"lower": [0.0, 2.0], "upper": 1.0}, r"empty: lower is above upper at index 1 \(2 > 1\)"),
        ({"A": [[1.0, 1.0], [0.0, 0.0]], "b": [1.0, -1.0]}, "A row 1 is all zeros, and 0 <= -1 is false"),
        ({"A_eq": [[0.0, 0.0]], "b_eq": [2.0]}, "A_eq row 0 is all zeros, and 0 = 2 is false"),
        ({"A": [[1.0, 0.0], [-1.0, -1.0]], "b": [9.0, -3.0], "lower": 0.0, "upper": 1.0}, "infeasible: A row 1 cannot"),
        ({"A_eq": [[1.0, 1.0]], "b_eq": [3.0], "lower": 0.0, "upper": 1.0}, "infeasible: A_eq row 0 cannot"),
        ({"A": [[1.0, 1.0]], "b": [1.0], "lower": [0.0, -INF], "upper": [1.0, INF]}, "input 1 has no limit below"),
        ({"lower": [0.0, 0.0], "upper": [1.0, INF]}, "unbounded: input 1 has no limit above"),
        ({"A_eq": [[1.0, -1.0]], "b_eq": [0.0], "lower": 0.0}, "input . has no limit above"),
        ({"A": [[1.0, 0.0]], "b": [1.0]}, "is unbounded: input"),
    ],
)  # fmt: skip
def test_a_malformed_empty_or_unbounded_polytope_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(DomainError, match=message):
        Polytope(**arguments)  # type: ignore[arg-type]


def test_points_of_a_wrong_shape_are_refused() -> None:
    with pytest.raises(DomainError, match="2 inputs, but the points have shape"):
        Polytope(lower=[0.0, 0.0], upper=1.0).project(torch.zeros(5, 3))


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_sparse_rows_of_scipy_are_taken_as_the_dense_ones(form: Any) -> None:
    dense = {"A": [[1.0, 0.0, 2.0]], "A_eq": [[0.0, 1.0, -1.0]]}
    sides = {"b": [1.5], "b_eq": [0.25], "lower": 0.0, "upper": 1.0}
    points = torch.linspace(-1, 2, 12, dtype=torch.float64).view(4, 3)
    thin = Polytope(**{name: form(rows) for name, rows in dense.items()}, **sides)  # type: ignore[arg-type]
    assert torch.equal(thin.project(points), Polytope(**dense, **sides).project(points))  # type: ignore[arg-type]


def test_rows_alone_may_bound_the_set() -> None:
    triangle = Polytope(A=[[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], b=[0.0, 0.0, 1.0])
    box = triangle.bounding_box()
    assert torch.allclose(box.lower, torch.zeros(2).double(), atol=1e-9)
    assert torch.allclose(box.upper, torch.ones(2).double(), atol=1e-9)
    assert torch.allclose(triangle.project(torch.tensor([[2.0, 2.0]])), torch.tensor([[0.5, 0.5]]).double())
    assert torch.allclose(triangle.maximizer(torch.tensor([2.0, 1.0])), torch.tensor([1.0, 0.0]).double())
    assert triangle.max_step(torch.tensor([0.25, 0.25]), torch.tensor([1.0, 1.0])) == pytest.approx(0.25)


def test_the_bounding_box_never_loses_a_point() -> None:
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    polytope = Polytope(rows, torch.ones(30))
    box, corners = polytope.bounding_box(), polytope.corners(50, generator=generator)
    assert (box.violation(corners) == 0).all()
    ends = polytope.maximizer(torch.eye(4))
    assert torch.allclose(ends.diagonal(), box.upper, atol=1e-9)


def test_opposed_rows_are_an_equation() -> None:
    flat = Polytope([[1.0, 1.0], [-1.0, -1.0]], [1.0, -1.0], lower=0.0, upper=1.0)
    projected = flat.project(torch.tensor([[3.0, 0.0], [0.3, 0.3]]))
    assert torch.allclose(projected, torch.tensor([[1.0, 0.0], [0.5, 0.5]]).double())
    assert (flat.violation(projected) <= 1e-15).all()
    assert flat.max_step(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 1.0])) == 0
    assert flat.max_step(torch.tensor([0.5, 0.5]), torch.tensor([1.0, -1.0])) == pytest.approx(0.5)


def test_a_single_point_is_a_polytope() -> None:
    point = Polytope(A_eq=[[1.0, 1.0], [1.0, -1.0], [2.0, 0.0]], b_eq=[3.0, 1.0, 4.0])
    expected = torch.tensor([2.0, 1.0]).double()
    assert torch.allclose(point.project(torch.randn(4, 2)), expected, atol=1e-12)
    assert torch.allclose(point.sample(3), expected, atol=1e-12)
    assert torch.allclose(point.maximizer(torch.ones(2)), expected, atol=1e-12)
    assert point.normalized()[1].tolist() == [1, 1]


def test_fixed_inputs_keep_their_value_exactly() -> None:
    age = Polytope(A=[[1.0, 1.0, 1.0]], b=[29.0], lower=[0.0, 0.0, 28.0], upper=[5.0, 5.0, 28.0])
    points = torch.cat([age.project(10 * torch.randn(20, 3)), age.sample(20), age.corners(5)])
    assert (points[:, 2] == 28).all()
    assert (age.violation(points) <= 1e-12).all()


def test_dependent_rows_and_a_vertex_of_many_rows_are_no_trouble() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    rows = torch.cat([rows, rows, 2 * rows])
    # all rows pass through (1, 1, 1)
    cone = Polytope(rows * torch.sign(rows.sum(1, keepdim=True)), (rows.sum(1)).abs(), lower=-9.0, upper=9.0)
    points = 5 * torch.randn(200, 3, generator=generator, dtype=torch.float64)
    nearest = cone.project(points)
    assert (cone.violation(nearest) <= 1e-12).all()
    best = cone.maximizer(points - nearest)
    assert ((points - nearest) * (best - nearest)).sum(-1).max() <= 1e-8


def test_a_copy_in_float32_walks_and_the_way_back_is_exact() -> None:
    exact = Polytope([[1.0, 1.0, 1.0]], [1.0], lower=0.1, upper=1.0, shape=(1, 3))
    copy = exact.to(dtype=torch.float32)
    assert copy.shape == (1, 3)
    assert copy.project(torch.randn(7, 3)).dtype == torch.float32
    assert copy.contains(copy.project(torch.randn(7, 3))).all()
    assert copy.bounding_box().dtype == torch.float32
    assert torch.equal(copy.to(dtype=torch.float64).bounding_box().lower, exact.bounding_box().lower)


def test_the_rows_are_given_back_as_they_came() -> None:
    rows = Polytope([[2.0, 2.0]], [3.0], [[1.0, -1.0]], [0.0], lower=0.0, upper=1.0).linear_rows()
    assert rows.A.tolist() == [[2, 2], [1, -1]]
    assert rows.lb.tolist() == [-torch.inf, 0]
    assert rows.ub.tolist() == [3, 0]
    assert rows.lower.tolist() == [0, 0]


def test_samples_spread_over_the_set() -> None:
    simplex = Polytope(A_eq=torch.ones(1, 3), b_eq=[1.0], lower=0.0)
    points = simplex.sample(2000, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(points.mean(0), torch.full((3,), 1 / 3).double(), atol=0.03)
    assert (points.amax(0) > 0.8).all()
    assert (points.std(0) > 0.15).all()


def test_a_middle_with_room_needs_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(6, 4, dtype=torch.float64, generator=generator)
    b = A.sum(1) / 2 + 0.1 * torch.linalg.vector_norm(A, dim=1)
    programs: list[object] = []
    solve = forms.solve_linear_program

    def count(*arguments: Any, **options: Any) -> Any:
        programs.append(arguments)
        return solve(*arguments, **options)

    monkeypatch.setattr(forms, "solve_linear_program", count)
    roomy = Polytope(A, b, lower=0.0, upper=1.0)
    assert programs == []
    torch.testing.assert_close(roomy._interior, torch.full((4,), 0.5, dtype=torch.float64))
    Polytope(A, b - 0.15 * torch.linalg.vector_norm(A, dim=1), lower=0.0, upper=1.0)
    assert len(programs) > 0


def test_nearest_points_are_exact_where_many_rows_meet() -> None:
    for seed in (7, 14, 18, 20):
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randn(6, 4, generator=generator, dtype=torch.float64)
        inside = torch.randn(4, generator=generator, dtype=torch.float64)
        room = torch.tensor([0.0, 0.1, 1.0]).double()[torch.randint(3, (6,), generator=generator)]
        width = torch.tensor([0.0, 0.2, 2.0]).double()[torch.randint(3, (2, 4), generator=generator)]
        cone = Polytope(rows, rows @ inside + room, lower=inside - width[0], upper=inside + width[1])
        points = 2 * torch.randn(6, 4, generator=generator, dtype=torch.float64)
        away = points - cone.project(points)
        # A point is nearest exactly if none of the set is ahead of it.
        assert float((away * (cone.maximizer(away) - cone.project(points))).sum(-1).max()) <= 1e-8
