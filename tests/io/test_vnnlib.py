"""A property that is read says what its text says, to the rounding of decimals, which goes to the safe side."""

import gzip
import math
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from relu_attack.errors import FileFormatError
from relu_attack.io import Case, Polyhedron, Property, parse_vnnlib, read_vnnlib
from tests.io.formulas import DECIMAL, DYADIC, INPUTS, OUTPUTS, Drawn, properties

HEAD = "(declare-const X_0 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)\n"
BOX = "(assert (>= X_0 0.0)) (assert (<= X_0 1.0))\n"


def row(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def within(rows: Polyhedron | None, values: list[float]) -> bool:
    """Whether values satisfy the rows with the limits for proofs, by rational arithmetic."""
    if rows is None:
        return True
    sums = [sum(Fraction(a) * Fraction(v) for a, v in zip(line, values, strict=True)) for line in rows.matrix.tolist()]
    return all(total <= Fraction(limit) for total, limit in zip(sums, rows.upper.tolist(), strict=True))


def outward(case: Case, x: list[float], y: list[float]) -> bool:
    inside = bool(((row(x) >= case.outer_lower) & (row(x) <= case.outer_upper)).all())
    return inside and within(case.input_rows, x) and any(within(clause, y) for clause in case.clauses)


def read(drawn: Drawn) -> Property:
    """Read what is drawn; a property that says itself that no input is left has no cases."""
    try:
        return parse_vnnlib(drawn.text)
    except FileFormatError as error:
        assert "no input is left" in str(error)  # noqa: PT017
        return Property(len(INPUTS), len(OUTPUTS), ())


@pytest.mark.slow
@given(drawn=properties(numbers=DYADIC))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_satisfaction_is_that_of_the_text_where_numbers_are_exact(drawn: Drawn) -> None:
    found = read(drawn)
    assert (found.inputs, found.outputs) == (len(INPUTS), len(OUTPUTS))
    for x, y in drawn.points:
        assert found.violated_by(row(x), row(y)) == drawn.violated_by(x, y)


@pytest.mark.slow
@given(drawn=properties(numbers=DECIMAL))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_decimals_are_rounded_to_the_safe_side(drawn: Drawn) -> None:
    """Witnesses violate the decimal property, and what violates it is never outside of what a proof looks at."""
    found = read(drawn)
    for x, y in drawn.points:
        expected = drawn.violated_by(x, y)
        if expected:
            assert any(outward(case, x, y) for case in found.cases)
        if not expected and not any(case.snapped for case in found.cases):
            assert not found.violated_by(row(x), row(y))


def test_decimal_bounds_are_kept_from_both_sides() -> None:
    found = parse_vnnlib(f"{HEAD}(assert (>= X_0 0.1)) (assert (<= X_0 0.3)) (assert (>= Y_0 0.7))")
    (case,) = found.cases
    assert Fraction(case.outer_lower.item()) < Fraction("0.1") < Fraction(case.lower.item())
    assert Fraction(case.upper.item()) < Fraction("0.3") < Fraction(case.outer_upper.item())
    (clause,) = case.clauses
    assert torch.equal(clause.matrix, row([-1.0, 0.0])[None])
    assert Fraction(clause.inner_upper.item()) < Fraction("-0.7") < Fraction(clause.upper.item())
    assert case.snapped == ()
    assert found.violated_by(row([0.2]), row([math.nextafter(0.7, 1), 0.0]))
    assert not found.violated_by(row([0.2]), row([0.7, 0.0]))  # the float64 0.7 is less than the decimal


def test_range_without_a_float_becomes_the_nearest_one() -> None:
    (case,) = parse_vnnlib(f"{HEAD}(assert (and (<= X_0 0.1) (>= X_0 0.1)))").cases
    assert case.snapped == (0,)
    assert case.lower.item() == case.upper.item() == 0.1
    assert case.outer_lower.item() < Fraction("0.1") < case.outer_upper.item()
    assert case.contains(row([0.1]))
    (exact,) = parse_vnnlib(f"{HEAD}(assert (and (<= X_0 0.5) (>= X_0 0.5)))").cases
    assert exact.snapped == ()


def test_set_without_clauses_on_outputs_is_violated_by_all_of_it() -> None:
    found = parse_vnnlib(HEAD + BOX)
    (case,) = found.cases
    assert [clause.rows for clause in case.clauses] == [0]
    assert case.clauses[0].matrix.shape == (0, 2)
    assert found.violated_by(row([0.5]), row([1e9, -1e9]))
    assert not found.violated_by(row([1.5]), row([0.0, 0.0]))


@pytest.mark.parametrize("nothing", ["(or)", "(<= 1.0 0.0)", "(>= Y_0 (+ Y_0 1.0))", "(and (<= Y_0 1) (or))"])
def test_property_that_nothing_violates_has_no_cases(nothing: str) -> None:
    found = parse_vnnlib(f"{HEAD}{BOX}(assert {nothing})")
    assert found.cases == ()
    assert not found.violated_by(row([0.5]), row([0.0, 0.0]))


def test_disjuncts_with_the_same_box_are_one_case() -> None:
    disjuncts = [
        "(and (>= X_0 0.0) (<= X_0 1.0) (>= Y_0 1.0))",
        "(and (>= X_0 2.0) (<= X_0 3.0) (>= Y_0 2.0))",
        "(and (<= X_0 1.00) (<= X_0 5) (>= X_0 0) (<= Y_1 3.0) (>= Y_0 Y_1))",
    ]
    found = parse_vnnlib(f"{HEAD}(assert (or {' '.join(disjuncts)}))")
    assert [(case.lower.item(), case.upper.item()) for case in found.cases] == [(0.0, 1.0), (2.0, 3.0)]
    assert [[clause.rows for clause in case.clauses] for case in found.cases] == [[1, 2], [1]]
    first = found.cases[0].clauses[1].constraints()
    assert torch.equal(first.matrix, torch.tensor([[0.0, 1.0], [-1.0, 1.0]], dtype=torch.float64))
    assert torch.equal(first.upper, row([3.0, 0.0]))


def test_boxes_times_clauses_are_not_multiplied_out() -> None:
    boxes = " ".join(f"(and (>= X_0 {2 * index}) (<= X_0 {2 * index + 1}))" for index in range(300))
    clauses = " ".join(f"(>= Y_0 {index})" for index in range(1000))
    found = parse_vnnlib(f"{HEAD}(assert (or {boxes})) (assert (or {clauses}))", limit=2000)
    assert len(found.cases) == 300
    assert {len(case.clauses) for case in found.cases} == {1000}
    assert len({id(case.clauses) for case in found.cases}) == 1


def test_case_without_input_is_left_out_beside_others() -> None:
    found = parse_vnnlib(f"{HEAD}{BOX}(assert (or (>= X_0 2.0) (<= X_0 0.5)))")
    (case,) = found.cases
    assert case.upper.item() == 0.5


def test_inputs_compared_with_each_other_are_rows() -> None:
    text = (
        "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
        "(assert (and (>= X_0 0) (<= X_0 1) (>= X_1 0) (<= X_1 1)))"
        "(assert (<= (+ (* 0.1 X_0) (* 0.3 X_1)) 0.2)) (assert (<= Y_0 0))"
    )
    (case,) = parse_vnnlib(text).cases
    assert case.input_rows is not None
    assert torch.equal(case.input_rows.matrix, row([1.0, 3.0])[None])  # 0.1 and 0.3 are no float64; 1 and 3 are
    assert torch.equal(case.input_rows.upper, row([2.0]))
    assert case.contains(row([0.5, 0.5]))
    assert not case.contains(row([1.0, 0.5]))


@pytest.mark.parametrize("operator", ["and", "or", "and-or", "-"])
def test_depth_has_no_limit(operator: str) -> None:
    depth = 10_000
    if operator == "-":
        inner = f"(>= Y_0 {'(- ' * depth}1.0{')' * depth})"
    elif operator == "and-or":
        inner = "(and (or " * (depth // 2) + "(>= Y_0 1.0)" + "))" * (depth // 2)
    else:
        inner = f"({operator} (>= Y_0 1.0) " * depth + "(>= Y_0 1.0)" + ")" * depth
    (case,) = parse_vnnlib(f"{HEAD}{BOX}(assert {inner})").cases
    assert len(case.clauses) == (depth + 1 if operator == "or" else 1)
    assert case.clauses[-1].upper[-1].item() == -1.0


def test_compressed_file_is_the_same_property(tmp_path: Path) -> None:
    text = f"{HEAD}{BOX}(assert (<= Y_0 Y_1)) ; fin de la propriété"
    for name, content in (("p.vnnlib", text.encode("latin-1")), ("p.vnnlib.gz", gzip.compress(text.encode()))):
        (tmp_path / name).write_bytes(content)
        (case,) = read_vnnlib(tmp_path / name).cases
        assert torch.equal(case.clauses[0].matrix, row([1.0, -1.0])[None])
