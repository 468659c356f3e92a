"""Problems: sets and objectives are matched, values are those of the model."""

import pytest
import torch
from torch import Tensor

from relu_attack import Box, DomainError, Linear, Objective, ObjectiveError, Output, OutputConstraints
from relu_attack.network import lower
from relu_attack.problem import Problem
from tests.problems import random_network

MODEL = random_network(3, 5, 2, seed=0)


def make(sets: int | None, objective: Objective, constraints: OutputConstraints | None = None) -> Problem:
    size = (3,) if sets is None else (sets, 3)
    domain = Box(torch.zeros(size), torch.ones(size))
    return Problem.create(lower(MODEL, (3,)).network, domain, objective, constraints)


@pytest.mark.parametrize(
    ("sets", "objective", "problems", "batched"),
    [
        (None, Output(1), 1, False),
        (None, Output([1]), 1, True),
        (None, Output([0, 1, 0]), 3, True),
        (1, Output(0), 1, True),
        (4, Output(0), 4, True),
        (4, Output([1]), 4, True),
        (3, Output([0, 1, 0]), 3, True),
    ],
)
def test_a_single_set_or_objective_is_shared(
    sets: int | None, objective: Objective, problems: int, batched: bool
) -> None:
    problem = make(sets, objective)
    assert (problem.problems, problem.batched) == (problems, batched)
    assert problem.objective.shape == (problems, 2)


@pytest.mark.parametrize(("sets", "index"), [(4, [0, 1]), (2, [0, 1, 0])])
def test_batches_of_different_sizes_are_refused(sets: int, index: list[int]) -> None:
    message = f"there are {len(index)} objectives for a batch of {sets} sets; give one, or one for each set"
    with pytest.raises(ObjectiveError, match=message):
        make(sets, Output(index))


def test_a_set_of_other_inputs_is_refused() -> None:
    with pytest.raises(DomainError, match="the domain has 2 inputs, but the model takes 3"):
        Problem.create(lower(MODEL, (3,)).network, Box(torch.zeros(2), torch.ones(2)), Output(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_value_is_the_objective_of_the_models_own_outputs(dtype: torch.dtype) -> None:
    rows = torch.tensor([[1.0, 2.0], [-3.0, 0.5]], dtype=torch.float64)
    points = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    with torch.no_grad():
        outputs: Tensor = MODEL(points.double())
    expected = torch.einsum("po,pno->pn", rows, outputs)
    value = make(None, Linear(rows)).value(points)
    assert value.dtype == torch.float64
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)


def test_negated_has_the_opposite_value_everywhere() -> None:
    problem = make(2, Output([0, 1]))
    points = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(problem.negated().value(points), -problem.value(points))


def test_constraints_of_other_outputs_are_refused() -> None:
    with pytest.raises(ObjectiveError, match="the output constraints have 3 columns, but the model has 2 outputs"):
        make(None, Output(0), OutputConstraints([1.0, 0.0, 0.0], 0.0))


def test_one_problem_of_a_batch_is_a_problem_of_its_own() -> None:
    boxes = Box(
        torch.zeros(2, 3, dtype=torch.float64), torch.tensor([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]], dtype=torch.float64)
    )
    constraints = OutputConstraints([1.0, -1.0], 0.5)
    batch = Problem.create(lower(MODEL, (3,)).network, boxes, Output([0, 1]), constraints)
    points = torch.rand(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values, violations = batch.evaluate(points)
    for index in range(2):
        alone = batch.single(index)
        assert (alone.problems, alone.batched, alone.domain.batch) == (1, False, None)
        assert alone.domain.bounding_box().upper.tolist() == [index + 1.0] * 3
        value, violation = alone.evaluate(points[index : index + 1])
        torch.testing.assert_close(value[0], values[index])
        torch.testing.assert_close(violation[0], violations[index])


def test_evaluation_measures_the_constraints_by_the_model_and_the_sense_does_not_change_them() -> None:
    constraints = OutputConstraints([[1.0, 2.0], [0.0, -1.0]], [0.0, 0.1])
    problem = make(None, Output([0, 1]), constraints)
    points = torch.rand(2, 6, 3, generator=torch.Generator().manual_seed(0))
    value, violation = problem.evaluate(points)
    with torch.no_grad():
        outputs: Tensor = MODEL(points.double())
    torch.testing.assert_close(value, torch.stack([outputs[0, :, 0], outputs[1, :, 1]]))
    torch.testing.assert_close(violation, constraints.violation(outputs))
    assert torch.equal(problem.negated().evaluate(points)[1], violation)
    assert make(None, Output([0, 1])).evaluate(points)[1].tolist() == [[0.0] * 6] * 2
