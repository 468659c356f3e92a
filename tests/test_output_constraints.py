"""Output constraints: rows, limits, scales, how far outputs break them, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relu_attack import ObjectiveError, OutputConstraints

few = settings(max_examples=40, deadline=None, derandomize=True)
WHOLE = st.integers(-9, 9)


def test_one_row_may_be_given_as_a_vector_and_one_limit_is_for_every_row() -> None:
    one = OutputConstraints([1.0, 2.0], 3.0)
    assert (one.matrix.tolist(), one.upper.tolist(), one.rows) == ([[1.0, 2.0]], [3.0], 1)
    two = OutputConstraints(np.eye(2, dtype=np.float32), 0.25)
    assert (two.matrix.dtype, two.upper.tolist(), two.rows) == (torch.float64, [0.25, 0.25], 2)


def test_later_changes_of_what_was_given_change_nothing() -> None:
    matrix, upper = torch.ones(1, 2, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    constraints = OutputConstraints(matrix, upper)
    matrix.zero_(), upper.zero_()
    assert (constraints.matrix.tolist(), constraints.upper.tolist()) == ([[1.0, 1.0]], [1.0])


def test_the_scale_of_a_row_is_the_larger_of_its_norm_and_its_limit() -> None:
    constraints = OutputConstraints([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]], [-1.0, 20.0, 0.0])
    assert constraints.scale.tolist() == [5.0, 20.0, 1.0]


def test_the_violation_is_that_of_the_worst_row() -> None:
    constraints = OutputConstraints([[3.0, 4.0], [-1.0, 0.0]], [0.0, -2.0])
    outputs = torch.tensor([[2.0, -2.0], [2.0, 0.0], [0.0, 0.0]])
    assert constraints.violation(outputs).tolist() == pytest.approx([0.0, 6.0 / 5.0, 2.0 / 2.0])
    assert constraints.violation(outputs[None, :, None]).shape == (1, 3, 1)


@few
@given(st.lists(WHOLE, min_size=2, max_size=2), WHOLE, st.lists(WHOLE, min_size=2, max_size=2), st.sampled_from([2, 8]))
def test_outputs_break_a_row_or_a_multiple_of_it_exactly_where_they_are_beyond_its_limit(
    row: list[int], limit: int, outputs: list[int], factor: int
) -> None:
    point = torch.tensor(outputs, dtype=torch.float64)
    violation = float(OutputConstraints(row, limit).violation(point))
    multiple = float(OutputConstraints([factor * entry for entry in row], factor * limit).violation(point))
    assert (violation > 0) == (row[0] * outputs[0] + row[1] * outputs[1] > limit)
    assert multiple == pytest.approx(violation)


@pytest.mark.parametrize(
    ("matrix", "upper", "message"),
    [
        ([[[1.0]]], 0.0, r"A of the output constraints has shape \(1, 1, 1\); give \(rows, outputs\)"),
        (torch.zeros(0, 2), 0.0, r"A of the output constraints has shape \(0, 2\); give \(rows, outputs\)"),
        (1.0, 0.0, r"A of the output constraints has shape \(\); give \(rows, outputs\)"),
        (
            [[1.0], [2.0]],
            [1.0, 2.0, 3.0],
            r"b of the output constraints has shape \(3,\); give a number or one for .* 2",
        ),
        ([[1.0, float("nan")]], 0.0, r"A of the output constraints is not finite at index \(0, 1\)"),
        ([[1.0], [1.0]], [0.0, float("inf")], r"b of the output constraints is not finite at index \(?1"),
        ([1.0], float("nan"), r"b of the output constraints is not finite$"),
    ],
)
def test_what_is_malformed_is_refused(matrix: object, upper: object, message: str) -> None:
    with pytest.raises(ObjectiveError, match=message) as caught:
        OutputConstraints(matrix, upper)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
