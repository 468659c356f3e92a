"""Specifications: what violates them exactly, the boundary, both and either, labels, and what is refused."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_attack import ObjectiveError, OutputConstraints, Specification
from relu_attack.specification import Clause

few = settings(max_examples=60, deadline=None, derandomize=True)
WHOLE = st.integers(-3, 3)
ROW = st.tuples(WHOLE, WHOLE)
ROWS = st.lists(st.tuples(ROW, WHOLE), min_size=1, max_size=3)
POINT = st.tuples(WHOLE, WHOLE)


def outputs(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def constraints(rows: list[tuple[tuple[int, int], int]]) -> OutputConstraints:
    return OutputConstraints([[float(a) for a in row] for row, _ in rows], [float(limit) for _, limit in rows])


def holds(rows: list[tuple[tuple[int, int], int]], y: tuple[int, int]) -> bool:
    return all(a * y[0] + b * y[1] <= limit for (a, b), limit in rows)


@few
@given(ROWS, ROWS, POINT)
def test_the_three_ways_to_say_it(
    rows: list[tuple[tuple[int, int], int]], others: list[tuple[tuple[int, int], int]], y: tuple[int, int]
) -> None:
    point = outputs(*y)
    first, second = constraints(rows), constraints(others)
    required = Specification.require(first.matrix, first.upper)
    assert required.violated_by(point) == (not holds(rows, y))
    assert Specification.unsafe(first, second).violated_by(point) == (holds(rows, y) or holds(others, y))
    forbidden = Specification.unsafe(second)
    assert (required & forbidden).violated_by(point) == (not holds(rows, y) or holds(others, y))
    assert (required | forbidden).violated_by(point) == (not holds(rows, y) and holds(others, y))


@pytest.mark.parametrize("limit", [0.3, -1e300, 5e-324])
def test_what_is_required_allows_its_boundary_and_what_is_unsafe_includes_it(limit: float) -> None:
    at, above = outputs(limit), torch.nextafter(outputs(limit), outputs(torch.inf))
    required, unsafe = Specification.require([1.0], limit), Specification.unsafe(OutputConstraints([-1.0], -limit))
    assert (required.violated_by(at), required.violated_by(above)) == (False, True)
    assert (unsafe.violated_by(at), unsafe.violated_by(torch.nextafter(at, -above.new_ones(1) * torch.inf))) == (
        True,
        False,
    )


def test_sums_are_not_rounded() -> None:
    # In float64 1e16 + 1 - 1e16 is 0; as a number it is 1.
    specification = Specification.require([1.0, 1.0, 1.0], 0.5)
    y = outputs(1e16, 1.0, -1e16)
    assert float(y[0] + y[1] + y[2]) == 0
    assert sum(map(Fraction, y.tolist())) == 1
    assert specification.violated_by(y)


def test_only_rows_near_their_limit_are_summed_in_rational_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(10_000, 3, dtype=torch.float64, generator=generator)
    y = torch.randn(3, dtype=torch.float64, generator=generator)
    made: list[float] = []

    def count(value: float = 0.0) -> Fraction:
        made.append(value)
        return Fraction(value)

    monkeypatch.setattr("relu_attack.specification.Fraction", count)
    assert Clause(matrix, matrix @ y + 1e-12, torch.zeros(10_000, dtype=torch.bool)).holds(y)
    broken = matrix @ y + 1e-12
    broken[7_000] -= 3e-12
    assert not Clause(matrix, broken, torch.zeros(10_000, dtype=torch.bool)).holds(y)
    assert len(made) < 100


@few
@given(st.integers(0, 10_000), st.booleans())
def test_rows_at_their_limit_to_a_rounding_are_decided_as_rational_numbers_are(seed: int, strict: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(20, 4, dtype=torch.float64, generator=generator) * 10.0 ** (seed % 300 - 150)
    y = torch.randn(4, dtype=torch.float64, generator=generator)
    values = [sum(Fraction(a) * Fraction(b) for a, b in zip(row, y.tolist(), strict=True)) for row in matrix.tolist()]
    limits = torch.tensor([float(value) for value in values], dtype=torch.float64)  # to nearest: above or below
    for row, value, limit in zip(matrix, values, limits, strict=True):
        held = value < float(limit) or (value == float(limit) and not strict)
        assert Clause(row[None], limit[None], torch.tensor([strict])).holds(y) == held


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_numbers_that_are_not_finite_are_no_violation_that_could_be_shown(value: float) -> None:
    assert not Specification.require([1.0, 0.0], 0.0).violated_by(outputs(value, 1.0))


@pytest.mark.parametrize(
    ("scores", "violated"), [((1.0, 3.0, 2.0), False), ((1.0, 3.0, 3.0), True), ((4.0, 3.0, 2.0), True)]
)
def test_a_label_must_be_ahead_of_every_other(scores: tuple[float, ...], violated: bool) -> None:
    assert Specification.label(1, outputs=3).violated_by(outputs(*scores)) == violated


def test_depth_is_that_of_the_shallowest_row() -> None:
    (clause,) = Specification.unsafe(OutputConstraints([[1.0, 0.0], [0.0, 2.0]], [3.0, 1.0])).clauses
    assert clause.depth(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist() == [1.0, -1.0]


@pytest.mark.parametrize(
    ("bound", "strict", "plain"), [(-1e-300, True, True), (0.0, True, False), (1e-300, False, False)]
)
def test_a_bound_of_zero_excludes_what_needs_more_than_zero(bound: float, strict: bool, plain: bool) -> None:
    (required,) = Specification.require([1.0], 0.0).clauses
    (unsafe,) = Specification.unsafe(OutputConstraints([1.0], 0.0)).clauses
    assert (required.excluded_by(bound), unsafe.excluded_by(bound)) == (strict, plain)
    assert not required.excluded_by(torch.nan)
    assert not required.joined(unsafe).excluded_by(0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Specification.unsafe(), "a specification needs at least one clause"),
        (
            lambda: Specification.unsafe(OutputConstraints([1.0], 0.0), OutputConstraints([1.0, 0.0], 0.0)),
            r"on \[1, 2\] outputs; the numbers must match",
        ),
        (
            lambda: Specification.require([1.0], 0.0) | Specification.require([1.0, 0.0], 0.0),
            "on 1 and on 2 outputs cannot be joined",
        ),
        (lambda: Specification.require([torch.nan], 0.0), "not finite"),
        (lambda: Specification.label(3, outputs=3), "label is 3 of 3 outputs"),
        (lambda: Specification.label(0, outputs=1), "label is 0 of 1 outputs"),
    ],
)
def test_what_is_refused(make: object, message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        make()  # type: ignore[operator]
