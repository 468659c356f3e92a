"""Boxes: what they accept, what they refuse, and values worked out by hand."""

import numpy as np
import pytest
import torch

from relu_attack.domains import Box
from relu_attack.errors import DomainError


def test_numbers_need_a_shape_and_hold_for_every_input() -> None:
    box = Box(0.0, 1.0, shape=(2, 3))
    assert box.inputs == 6
    assert box.shape == (2, 3)
    assert box.batch is None
    with pytest.raises(DomainError, match="both numbers; give shape"):
        Box(0.0, 1.0)


def test_arrays_keep_their_precision() -> None:
    assert Box(np.zeros(2), np.ones(2)).dtype == torch.float64
    assert Box(np.zeros(2, dtype=np.float32), 1.0).dtype == torch.float32


def test_a_leading_dimension_is_a_batch_of_boxes() -> None:
    box = Box(torch.zeros(3, 2), torch.ones(3, 2))
    assert box.batch == 3
    assert box.lower.shape == (3, 1, 2)
    assert box.project(torch.full((3, 5, 2), 2.0)).shape == (3, 5, 2)
    assert box.to(dtype=torch.float64).lower.shape == (3, 1, 2)


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        ([0.0, 2.0], [1.0, 1.0], r"empty: lower is above upper at index 1 \(2 > 1\)"),
        ([[0.0, 0.0], [0.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]], r"above upper at index \(1, 1\)"),
        ([0.0, float("nan")], 1.0, "lower is not finite at index 1"),
        ([0.0, 0.0], [float("inf"), 1.0], "upper is not finite at index 0"),
        (np.zeros((0, 2)), np.ones((0, 2)), "batch of 0 sets"),
        (np.zeros(0), np.ones(0), "there are no inputs"),
        ([0.0, 0.0], [1.0, 1.0, 1.0], "must match"),
        (["a"], [1.0], "must be a tensor, an array or numbers"),
        (1j * np.ones(2), np.ones(2), "must be real"),
    ],
)
def test_a_malformed_box_is_refused(lower: object, upper: object, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        Box(lower, upper)  # type: ignore[arg-type]


def test_a_shape_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DomainError, match="neither one input"):
        Box(torch.zeros(4), torch.ones(4), shape=(3,))


def test_points_of_a_wrong_shape_are_refused() -> None:
    with pytest.raises(DomainError, match="2 inputs, but the points have shape"):
        Box(torch.zeros(2), torch.ones(2)).project(torch.zeros(5, 3))
    with pytest.raises(DomainError, match="batch of 3 sets, but the points"):
        Box(torch.zeros(3, 2), torch.ones(3, 2)).project(torch.zeros(4, 5, 2))


def test_violation_is_relative_to_the_larger_bound() -> None:
    box = Box(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 100.0]))
    assert box.violation(torch.tensor([[1.5, 0.0], [0.0, 101.0], [1.0, 100.0]])).tolist() == pytest.approx(
        [0.5, 0.01, 0]
    )


def test_max_step_reaches_the_first_wall() -> None:
    box = Box(torch.zeros(2), torch.tensor([1.0, 2.0]))
    point, direction = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 1.0])
    assert box.max_step(point, direction) == 0.5
    assert box.max_step(point, torch.zeros(2)) == torch.inf
    assert box.max_step(torch.tensor([-0.5, 0.5]), direction) == 0


def test_rows_of_a_box_are_its_bounds() -> None:
    rows = Box(torch.zeros(2), torch.ones(2)).linear_rows()
    assert rows is not None
    assert rows.A.shape == (0, 2)
    assert rows.upper.tolist() == [1, 1]
    batch = Box(torch.zeros(3, 2), torch.ones(3, 2))
    assert batch.linear_rows() is None
    with pytest.raises(DomainError, match="a batch of 3 sets"):
        batch.require_linear_rows()


def test_a_fixed_input_has_scale_one() -> None:
    box, scale, shift = Box(torch.tensor([0.0, 3.0]), torch.tensor([4.0, 3.0])).normalized()
    assert scale.tolist() == [4, 1]
    assert shift.tolist() == [0, 3]
    assert box.upper.tolist() == [1, 0]
