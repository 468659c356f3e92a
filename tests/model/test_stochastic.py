"""The rounding of a forward pass, estimated: of the right size in every dtype, whatever the forward does."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.model import Model
from relu_attack.model._running import run_in_parts
from relu_attack.model._stochastic import largest_chain_rounding, largest_rounding
from relu_attack.network import lower
from tests.problems import random_network


class Reused(nn.Module):
    """Works in place on a part of its input, and on views."""

    def forward(self, x: Tensor) -> Tensor:
        x[:, :2] += 1.0
        x.view(-1).mul_(0.5)
        x[:, 2:].relu_()
        return torch.cat([x, x[:, ::2]], 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("rows", [1, 2, 20])
def test_it_is_above_the_rounding_and_within_its_order_of_magnitude(dtype: torch.dtype, depth: int, rows: int) -> None:
    found = torch.zeros(2, dtype=torch.float64)
    for seed in range(8):
        model = nn.Sequential(Reused(), random_network(6, *[32] * depth, 3, seed=seed))
        model = model.to(dtype).requires_grad_(False)
        x = torch.rand(rows, 4, generator=torch.Generator().manual_seed(seed)).to(dtype)
        answer = run_in_parts(model, x)
        error = (answer - run_in_parts(copy.deepcopy(model).double(), x.double())).abs().amax(0)
        rounding = largest_rounding(model, x, answer)
        assert bool((error <= rounding).all())
        found += torch.stack([error.mean(), rounding.mean()])
    assert float(found[1]) <= 3000 * float(found[0])


def test_double_precision_is_rounded_too() -> None:
    model = random_network(6, 32, 3, seed=0).requires_grad_(False)
    x = torch.rand(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    answer = run_in_parts(model, x)
    relative = largest_rounding(model, x, answer) / answer.abs().amax(0)
    assert float(relative.min()) > 1e-15
    assert float(relative.max()) < 1e-12


def test_passes_end_once_a_larger_estimate_makes_no_difference() -> None:
    runs: list[Tensor] = []
    model = random_network(6, 32, 3, seed=0, dtype=torch.float32).requires_grad_(False)
    model.register_forward_pre_hook(lambda _, inputs: runs.append(inputs[0]))
    x = torch.rand(3, 6, generator=torch.Generator().manual_seed(0))
    answer = run_in_parts(model, x)
    whole = largest_rounding(model, x, answer)
    passes = len(runs) - 1
    assert largest_rounding(model, x, answer, enough=0.01 * whole).ge(0.01 * whole).all()
    assert len(runs) - 1 - passes < passes
    assert torch.equal(largest_rounding(model, x, answer, enough=2 * whole), whole)


def test_the_chain_is_run_again_only_where_rounding_of_the_model_explains_too_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the rounding of the model explains the difference")

    monkeypatch.setattr("relu_attack.model._model.largest_chain_rounding", refuse)
    # Sums of many terms are off by more than what is rounding without an estimate of it.
    model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2, bias=False)).requires_grad_(False)
    torch.nn.init.ones_(model[2].weight)
    model[2].weight[:, ::2] *= -1e4
    model[2].weight[:, 1::2] *= 1e4
    torch.nn.init.ones_(model[0].weight)
    model[0].bias.copy_(torch.linspace(0, 1e-4, 64))
    x = torch.rand(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    own = Model.of(model, lower(model, (4,)).network)
    difference = (own.outputs(x) - own.network.values(x)).abs().amax(0)
    assert bool((difference > 64 * torch.finfo(torch.float32).eps * own.outputs(x).abs().amax(0)).any())
    own.checked_outputs(x, where="here")


def test_noise_is_not_taken_for_rounding() -> None:
    class Noise(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 1e-3 * torch.rand_like(x)

    x = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    answer = run_in_parts(Noise(), x)
    again = run_in_parts(Noise(), x)
    assert float((answer - again).abs().max()) > 5 * float(largest_rounding(Noise(), x, answer).max())


def test_constants_of_the_forward_are_left_as_they_are() -> None:
    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mask = torch.ones(3) + torch.zeros(3)
            return x * (mask == 1.0)

    x = torch.rand(4, 3, generator=torch.Generator().manual_seed(0))
    rounding = largest_rounding(Masked(), x, run_in_parts(Masked(), x))
    assert float(rounding.min()) > 0
    assert float(rounding.max()) < 1e-4


def test_other_threads_are_not_perturbed() -> None:
    model = random_network(4, 64, 64, 3, seed=0, dtype=torch.float32).requires_grad_(False)
    x = torch.rand(8, 4, generator=torch.Generator().manual_seed(0))
    expected, wrong = model(x), []
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            wrong.extend([] if torch.equal(model(x), expected) else [True])

    thread = threading.Thread(target=run)
    thread.start()
    answer = run_in_parts(model, x)
    for _ in range(5):
        largest_rounding(model, x, answer)
    stop.set()
    thread.join()
    assert not wrong


def test_what_cancels_in_the_folded_chain_is_its_rounding() -> None:
    # Hardtanh becomes high - relu(high - low - relu(z - low)); between weights of 1e16 its constants cancel.
    model = nn.Sequential(nn.Linear(1, 2), nn.Hardtanh(-1.0, 1.0), nn.Linear(2, 1)).double().requires_grad_(False)
    for parameter, values in zip(
        model.parameters(), ([[0.3], [0.7]], [0.1, -0.2], [[1e16, -1e16 - 2]], [0.5]), strict=True
    ):
        parameter.copy_(torch.tensor(values, dtype=torch.float64))
    network = lower(model, (1,)).network
    x = torch.linspace(0, 10, 20, dtype=torch.float64)[:, None]
    difference = (network.values(x) - model(x)).abs().amax()
    assert float(difference) > 0
    found = largest_chain_rounding(network, x, network.values(x), torch.finfo(torch.float64).eps)
    assert float(difference) <= float(found)
    ra.maximize(model, ra.Box(0.0, 10.0, shape=(1,)), method="ppga_lr", iterations=2)
