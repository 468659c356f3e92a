"""Optima of exactly 0, to which no gap is relative: they are closed, whatever the objective's own size is."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from relu_attack import Box, Linear, Result, Status, maximize, minimize
from relu_attack.network import lower
from relu_attack.problem import Problem

Search = Callable[..., Result]


def network(*layers: Sequence[Sequence[float]], last: nn.Module | None = None) -> nn.Sequential:
    """Return a network in float64 without biases."""
    modules: list[nn.Module] = []
    for rows in layers:
        weight = torch.tensor(rows, dtype=torch.float64)
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
        linear.weight = nn.Parameter(weight)
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*(modules if last is not None else modules[:-1]))


def random_rows(rows: int, columns: int, seed: int) -> list[list[float]]:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).tolist()


ZEROS: dict[str, tuple[nn.Sequential, Search, float, float, float]] = {
    "-relu(x)": (network([[1.0]], [[-1.0]]), maximize, -1.0, 1.0, 1e-6),
    "|x|": (network([[1.0], [-1.0]], [[1.0, 1.0]]), minimize, -1.0, 2.0, 1e6),
    "relu last": (network(random_rows(8, 3, 0), random_rows(2, 8, 1), last=nn.ReLU()), minimize, -1.0, 1.0, 1.0),
    "-sum relu(Wx)": (network(random_rows(6, 3, 2), [[-1.0] * 6]), maximize, -1.0, 1.5, 1e-3),
}


# Branch and bound walks for a share of a time limit first.
LIMITS: dict[str, dict[str, Any]] = {
    "auto": {"time_limit": 30.0},
    "branch_and_bound": {"iterations": 300},
    "milp": {"time_limit": 30.0},
}


@pytest.mark.parametrize("method", LIMITS)
@pytest.mark.parametrize(("model", "search", "low", "high", "size"), ZEROS.values(), ids=ZEROS.keys())
def test_an_optimum_of_zero_is_proven(
    model: nn.Sequential, search: Search, low: float, high: float, size: float, method: str
) -> None:
    inputs, outputs = model[0].in_features, model[2].out_features
    weight = torch.zeros(outputs, dtype=torch.float64)
    weight[0] = size
    result = search(model, Box(low, high, shape=(inputs,)), Linear(weight), method=method, **LIMITS[method])
    assert result.status is Status.OPTIMAL
    assert float(result.value) == pytest.approx(0.0, abs=1e-8 * size)
    assert float(result.relative_gap) <= 1e-6


def test_the_scale_is_that_of_the_terms_also_where_all_of_them_are_switched_off() -> None:
    """relu(-100 - x) is 0 on [0, 1], and its preactivation at most 101."""
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(-1.0)
        model[0].bias.fill_(-100.0)
    problem = Problem.create(lower(model, (1,)).network, Box(0.0, 1.0, shape=(1,)), Linear(torch.tensor([-2.0])))
    assert 200.0 <= float(problem.scale) <= 202.0


def test_the_scale_of_a_batch_is_that_of_each_problem() -> None:
    model = network([[1.0], [-1.0]], [[1.0, 1.0], [3.0, 0.0]])
    chain = lower(model, (1,)).network
    boxes = Box(torch.tensor([[-1.0], [0.0]]), torch.tensor([[1.0], [8.0]]))

    def scale(weight: Tensor, box: Box) -> Tensor:
        return Problem.create(chain, box, Linear(weight)).scale

    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    alone = [float(scale(weights[index], boxes.single(index))) for index in range(2)]
    assert scale(weights, boxes).tolist() == alone
    shared = [float(scale(weights[index], boxes.single(1))) for index in range(2)]
    assert scale(weights, boxes.single(1)).tolist() == shared
