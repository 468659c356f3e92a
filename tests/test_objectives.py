"""Objectives: their rows, and what they refuse."""

import pytest
import torch

from relu_attack import Linear, Margin, Objective, ObjectiveError, Output


@pytest.mark.parametrize(
    ("objective", "expected", "batched"),
    [
        (Output(1), [[0, 1, 0]], False),
        (Output([2, 0]), [[0, 0, 1], [1, 0, 0]], True),
        (Output(torch.tensor(0)), [[1, 0, 0]], False),
        (Output(torch.tensor([1, 2], dtype=torch.uint8)), [[0, 1, 0], [0, 0, 1]], True),
        (Linear([1.0, -2.0, 0.5]), [[1, -2, 0.5]], False),
        (Linear([[1, 2, 3], [4, 5, 6]]), [[1, 2, 3], [4, 5, 6]], True),
        (Linear(torch.tensor([1.0, 0.0, 2.0], dtype=torch.bfloat16, requires_grad=True)), [[1, 0, 2]], False),
        (Margin(target=0, label=2), [[1, 0, -1]], False),
        (Margin(target=[0, 1], label=2), [[1, 0, -1], [0, 1, -1]], True),
        (Margin(target=1, label=torch.tensor([0, 2])), [[-1, 1, 0], [0, 1, -1]], True),
        (Margin(target=[0], label=[1]), [[1, -1, 0]], True),
    ],
)
def test_an_objective_is_rows_over_the_outputs(
    objective: Objective, expected: list[list[float]], batched: bool
) -> None:
    rows, is_batch = objective.rows(3)
    assert torch.equal(rows, torch.tensor(expected, dtype=torch.float64))
    assert rows.dtype == torch.float64
    assert not rows.requires_grad
    assert is_batch is batched


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (Output(3), "Output index 3 is out of range; the model has 3 outputs, 0 to 2"),
        (Output(-1), "Output index -1 is out of range"),
        (Output([0, 7]), "Output index 7 is out of range"),
        (Output(1.0), "Output index must be an integer or a 1-D batch of integers, got 1.0"),
        (Output(True), "Output index must be an integer or a 1-D batch of integers, got True"),
        (Output("0"), "Output index must be an integer or a 1-D batch of integers, got '0'"),
        (Output([[0]]), "Output index must be an integer or a 1-D batch"),
        (Output([]), "Output index is a batch of 0 objectives; at least one is needed"),
        (
            Linear([1.0, 2.0]),
            r"Linear coefficients have shape \(2,\), but the model has 3 outputs; give shape \(3,\) or",
        ),
        (Linear(1.0), r"Linear coefficients have shape \(\)"),
        (Linear(torch.zeros(1, 1, 3)), r"Linear coefficients have shape \(1, 1, 3\)"),
        (Linear(torch.zeros(0, 3)), "Linear coefficients are a batch of 0 objectives; at least one is needed"),
        (Linear([0.0, float("nan"), 0.0]), "Linear coefficients are not finite at index 1"),
        (Linear([[0.0] * 3, [0.0, 0.0, float("inf")]]), r"Linear coefficients are not finite at index \(1, 2\)"),
        (Linear("abc"), "Linear coefficients must be a tensor, an array or numbers"),
        (Linear([1j, 0, 0]), "Linear coefficients must be real"),
        (Margin(1, 1), "Margin target and label are the same class; they must differ"),
        (Margin([0, 1, 2], [1, 1, 0]), "Margin target and label are the same class"),
        (Margin([0, 1], [2, 2, 2]), "Margin has 2 targets but 3 labels; the numbers must match"),
        (Margin(3, 0), "Margin target 3 is out of range"),
        (Margin(0, -2), "Margin label -2 is out of range"),
        (Margin([], 1), "Margin target is a batch of 0 objectives"),
    ],
)
def test_what_does_not_fit_is_named(objective: Objective, message: str) -> None:
    with pytest.raises(ObjectiveError, match=message):
        objective.rows(3)


def test_rows_are_a_copy_that_the_caller_cannot_move() -> None:
    coefficients = torch.tensor([1.0, 2.0], dtype=torch.float64)
    rows, _ = Linear(coefficients).rows(2)
    coefficients.zero_()
    assert rows.tolist() == [[1.0, 2.0]]
