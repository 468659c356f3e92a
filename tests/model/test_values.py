"""Values are forward passes of the user's own model, for every method, dtype and caller."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.network import dense_chain
from relu_attack.problem import Problem
from relu_attack.solvers import METHODS
from tests.model import modules
from tests.problems import random_network

BOX = ra.Box(0.0, 1.0, shape=(4,))
ONE_PROGRAM = {"lp_walk", "milp_walk"}


def own(model: nn.Module, x: Tensor, dtype: torch.dtype) -> Tensor:
    with torch.no_grad():
        return model(x.to(dtype)).double()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_value_is_the_models_own_number(method: str, dtype: torch.dtype) -> None:
    model = random_network(4, 8, 8, 3, seed=3).to(dtype)
    limit: dict[str, Any] = {"iterations": 3} if method in ONE_PROGRAM else {"time_limit": 0.2}
    for ask in (ra.maximize, ra.minimize):
        result = ask(model, BOX, ra.Linear([1.0, -2.0, 0.5]), method=method, **limit)
        outputs = own(model, result.x[None], dtype)[0]
        assert float(result.value) == float((outputs * torch.tensor([1.0, -2.0, 0.5])).sum())
        assert bool(result.value <= result.bound) if ask is ra.maximize else bool(result.value >= result.bound)


def test_batched_problems_sets_of_float64_and_output_constraints() -> None:
    model = random_network(4, 8, 3, seed=1, dtype=torch.float32)
    boxes = ra.Box(torch.zeros(3, 4).double(), torch.tensor([[0.3], [0.7], [1.1]]).double().expand(3, 4))
    rows = ra.OutputConstraints([[0.0, 1.0, 0.0]], [1e3])
    result = ra.maximize(model, boxes, output_constraints=rows, method="ppga_lr", iterations=20)
    assert torch.equal(result.value, own(model, result.x, torch.float32)[:, 0])
    assert result.x.dtype == torch.float64
    assert bool((result.value <= result.bound).all())


@pytest.mark.slow
def test_an_optimum_is_one_in_real_arithmetic_whatever_the_forward_pass_rounds() -> None:
    model = random_network(3, 8, 2, seed=5).half()
    result = ra.maximize(model, ra.Box(-1.0, 1.0, shape=(3,)), method="branch_and_bound", time_limit=20.0)
    assert result.status is ra.Status.OPTIMAL
    assert float(result.value) == float(own(model, result.x[None], torch.float16)[0, 0])
    exact = own(copy.deepcopy(model).double(), result.x[None], torch.float64)[0, 0]
    assert float(result.value) != float(exact)
    assert float(result.bound) >= float(exact)


def test_a_chain_alone_is_its_own_model() -> None:
    network = dense_chain(
        [torch.eye(4).double(), torch.ones(1, 4).double()], [torch.zeros(4).double(), torch.zeros(1).double()]
    )
    problem = Problem.create(network, BOX, ra.Output(0))
    points = torch.rand(1, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(problem.own_value(points), problem.value(points[:, None])[:, 0])


def test_a_model_that_is_another_one_at_the_answer_is_an_error_that_names_the_point() -> None:
    class Uncopied(nn.Sequential):
        def __deepcopy__(self, memo: object) -> nn.Module:
            raise TypeError("holds a lock")

    model = Uncopied(*random_network(4, 8, 3, seed=0, dtype=torch.float32))
    optimizer = ra.ReLUOptimizer(model, BOX)
    expected = optimizer.maximize("ppga_lr", iterations=5)
    assert float(expected.value) == float(own(model, expected.x[None], torch.float32)[0, 0])
    with torch.no_grad():
        model[0].weight += 0.01
    at = r"away from its chain at the best input found: output 0 is .*, not .*, at the input \("
    with pytest.raises(ra.ModelError, match=at + ".*were its weights changed"):
        optimizer.maximize("ppga_lr", iterations=5)


def test_a_proof_is_none_where_the_search_for_a_witness_meets_another_model() -> None:
    class OnOneSide(nn.Module):
        """Grows where the chain is largest, which no random point and no corner of the set is near."""

        def forward(self, x: Any) -> Any:
            peak = (x - 0.3).abs().sum(1, keepdim=True) if isinstance(x, Tensor) else None
            return x if peak is None else torch.where(peak < 0.02, x + 1.0, x)

    # f(x) = -sum |x - 0.3|, largest at 0.3.
    first, last = nn.Linear(3, 6), nn.Linear(6, 1)
    with torch.no_grad():
        first.weight.copy_(torch.cat([torch.eye(3), -torch.eye(3)]))
        first.bias.copy_(torch.tensor([-0.3] * 3 + [0.3] * 3))
        last.weight.fill_(-1.0)
        last.bias.zero_()
    model = nn.Sequential(OnOneSide(), first, nn.ReLU(), last)
    box = ra.Box(0.0, 1.0, shape=(3,))
    with pytest.raises(ra.ModelError, match="away from its chain where the search for a witness ended"):
        ra.verify(model, box, ra.Specification.require([1.0], -0.01), time_limit=5.0)
    with pytest.raises(ra.ModelError, match="away from its chain at the best input found"):
        ra.maximize(model, box, method="milp", time_limit=5.0)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("method", ["steepest_ascent", "ppga_lr"])
def test_worst_cases_of_a_model_that_works_in_place_lie_in_their_sets(norm: str, method: str) -> None:
    x = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    net = random_network(4, 8, 3, seed=0, dtype=torch.float32)
    models = [nn.Sequential(first, net) for first in (modules.OutOfPlace(), modules.InPlace())]
    label = own(models[0], x.clone(), torch.float32).argmax(1)
    found = [
        ra.worst_case(model, x, label, 0.1, norm=norm, method=method, stop_at_success=False, certify=True)
        for model in models
    ]
    assert torch.equal(found[0].x, found[1].x)
    assert torch.equal(found[0].margin, found[1].margin)
    p = {"linf": torch.inf, "l2": 2, "l1": 1}[norm]
    assert float(torch.linalg.vector_norm(found[1].x - x, p, 1).max()) <= 0.1 + 1e-6
    assert float(found[1].x.min()) >= 0
    assert float(found[1].x.max()) <= 1
    scored = [ra.WorstCaseWithScores.of(model, x, label, worst) for model, worst in zip(models, found, strict=True)]
    assert torch.equal(scored[0].worst_scores, scored[1].worst_scores)


def test_a_kept_model_that_works_in_place_leaves_its_input_as_it_was() -> None:
    x = torch.rand(2, 4)
    before = x.clone()
    ra.robustness.CachedModel(nn.Sequential(modules.InPlace(), nn.Linear(4, 2)))(x)
    assert torch.equal(x, before)


def test_a_model_within_autocast_is_run_in_its_own_dtype() -> None:
    model = random_network(4, 8, 3, seed=0, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = ra.maximize(model, BOX, method="ppga_lr", iterations=5)
    assert float(result.value) == float(own(model, result.x[None], torch.float32)[0, 0])
