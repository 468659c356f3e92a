"""Problems: sets and objectives are matched, values are those of the model."""

import pytest
import torch
from torch import Tensor

from relu_attack import Box, DomainError, Linear, Objective, ObjectiveError, Output
from relu_attack.network import lower
from relu_attack.problem import Problem
from tests.problems import random_network

MODEL = random_network(3, 5, 2, seed=0)


def make(sets: int | None, objective: Objective) -> Problem:
    size = (3,) if sets is None else (sets, 3)
    return Problem.create(lower(MODEL, (3,)).network, Box(torch.zeros(size), torch.ones(size)), objective)


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
