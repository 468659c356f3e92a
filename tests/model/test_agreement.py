"""A model whose own forward pass is not the chain that was made of it is refused by name, wherever it is used."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from tests.model import modules
from tests.problems import random_network

BOX = ra.Box(0.0, 1.0, shape=(4,))
AWAY = r"own forward pass is .* away from its chain in the set: output \d is .*, not .*, at the input \("
TWICE = "own forward pass is .* away from its earlier output "
DRAWS = "own forward pass draws random numbers, from the generator of "


def followed(first: nn.Module) -> nn.Sequential:
    """Return a network that begins with a module."""
    return nn.Sequential(first, random_network(4, 8, 3, seed=0, dtype=torch.float32)).eval()


def answers(model: nn.Module) -> Iterator[Callable[[], object]]:
    """Ask for everything that a model is asked for."""
    x, label = torch.full((2, 4), 0.5), torch.tensor([0, 1])
    yield lambda: ra.ReLUOptimizer(model, BOX)
    yield lambda: ra.output_bounds(model, BOX)
    yield lambda: ra.maximize(model, BOX, method="ppga_lr", iterations=2)
    yield lambda: ra.verify(model, BOX, ra.Specification.require([1.0, 0.0, 0.0], 1e6))
    yield lambda: ra.worst_case(model, x, label, 0.5, certify=True)
    yield lambda: ra.robust_accuracy(model, [(x, label)], 0.5, progress=False)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (modules.OnTensors(), r"^model\[0\] \(OnTensors\): the model's " + AWAY),
        (nn.Sequential(nn.Identity(), modules.Nested()), r"^model\[0\]\[1\]\.inner \(OnTensorsToo\): .* " + AWAY),
        (modules.OnCorners(), r"^model\[0\] \(OnCorners\): .* " + AWAY),
        (modules.Hidden(), r"^model\[0\].inner \(Identity\) is entered 1 times by .* forward pass but 0 times when"),
        (modules.Skipped(), r"^model\[0\].inner \(Identity\) is entered 0 times by .* forward pass but 1 times when"),
        (modules.Noise(0.5), DRAWS + "torch"),
        (modules.Noise(0.005), DRAWS + "torch"),
        (modules.Noise(1e-9), DRAWS + "torch"),
        (modules.NumpyNoise(), DRAWS + "numpy"),
        (modules.PythonNoise(), DRAWS + "random"),
        (modules.AlwaysDropout(), DRAWS + "torch"),
        (modules.OwnNoise(), "away from"),
        (modules.Counting(), r"own forward pass changes its 0\.count, so that its answers may change"),
        (modules.Drifting(), "away from"),
        (modules.OfTheBatch(), "away from"),
        (modules.Called(), r"^model\[0\] \(Called\) has a __call__ of its own, .* do in forward what it does"),
    ],
)
def test_what_is_not_the_chain_is_refused_by_name_by_every_call(first: nn.Module, message: str) -> None:
    model = followed(first)
    for ask in answers(model):
        with pytest.raises(ra.ModelError, match=message) as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_a_module_in_training_mode_within_a_model_in_evaluation_mode_is_refused() -> None:
    model = followed(nn.Sequential(nn.Dropout(0.1)))
    model[0].train()
    with pytest.raises(ra.ModelError, match=r"model\[0\]\[0\] \(Dropout\) is in training mode"):
        ra.maximize(model, BOX)


def test_an_unused_module_with_a_call_of_its_own_is_refused_too() -> None:
    model = followed(nn.Identity())
    model[0].unused = modules.Called()
    with pytest.raises(ra.ModelError, match=r"^model\[0\]\.unused \(Called\) has a __call__ of its own"):
        ra.ReLUOptimizer(model, BOX)


def test_hooks_of_all_modules_are_refused() -> None:
    def double(module: nn.Module, inputs: object, output: Tensor) -> Tensor | None:
        return 2 * output if isinstance(module, nn.ReLU) else None

    handle = torch.nn.modules.module.register_module_forward_hook(double)
    try:
        with pytest.raises(ra.ModelError, match="a forward hook of all modules is registered"):
            ra.ReLUOptimizer(followed(nn.Identity()), BOX)
    finally:
        handle.remove()
    ra.ReLUOptimizer(followed(nn.Identity()), BOX)


@pytest.mark.parametrize(
    "first", [modules.OutOfPlace(), modules.InPlace(), modules.Reused(), modules.RestsInTraining(), nn.Dropout(0.5)]
)
def test_what_is_the_chain_is_served(first: nn.Module) -> None:
    model = followed(first)
    result = ra.maximize(model, BOX, method="ppga_lr", iterations=5)
    with torch.no_grad():
        assert float(result.value) == float(model(result.x[None].float())[0, 0])
    assert result.value <= result.bound


def test_functions_are_no_modules_that_are_missed() -> None:
    model = followed(modules.Functional())
    assert float(ra.maximize(model, BOX, method="ppga_lr", iterations=2).gap) >= 0


def test_a_model_may_be_lowered_while_others_run_in_other_threads() -> None:
    model, other = followed(modules.Functional()), followed(modules.OutOfPlace())
    expected, stop, wrong = other(torch.ones(2, 4)), threading.Event(), []

    def run() -> None:
        while not stop.is_set():
            wrong.extend([] if torch.equal(other(torch.ones(2, 4)), expected) else [True])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for _ in range(5):
            ra.ReLUOptimizer(model, BOX)
    finally:
        stop.set()
        thread.join()
    assert not wrong


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 30.0])
def test_rounding_is_no_difference_in_deep_networks_of_every_dtype(dtype: torch.dtype, scale: float) -> None:
    for seed in range(5):
        model = random_network(6, *[32] * 6, 3, seed=seed)
        with torch.no_grad():
            for layer in model:
                if isinstance(layer, nn.Linear):
                    layer.weight /= layer.in_features**0.5
            model[0].weight *= scale
        model = model.to(dtype).requires_grad_(False)
        result = ra.maximize(model, ra.Box(-1.0, 1.0, shape=(6,)), method="ppga_lr", iterations=5, restarts=2)
        assert float(result.value) == float(model(result.x[None].to(dtype))[0, 0])
        assert result.gap >= 0


@pytest.mark.parametrize("place", range(0, 13, 2))
def test_a_difference_of_a_thousandth_in_any_layer_is_seen(place: int) -> None:
    class Off(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 1.001 if isinstance(x, Tensor) else x

    model = random_network(6, *[32] * 6, 3, seed=1, dtype=torch.float32)
    ra.ReLUOptimizer(model, ra.Box(-1.0, 1.0, shape=(6,)))
    model.insert(place, Off())
    with pytest.raises(ra.ModelError, match="away from its chain"):
        ra.ReLUOptimizer(model, ra.Box(-1.0, 1.0, shape=(6,)))


@pytest.mark.parametrize(("dtype", "difference"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_what_cancels_within_the_model_is_rounding(dtype: torch.dtype, difference: float) -> None:
    first, second = nn.Linear(4, 8, dtype=dtype), nn.Linear(8, 3, dtype=dtype)
    with torch.no_grad():
        first.weight[4:] = first.weight[:4]
        first.bias[4:] = first.bias[:4]
        second.weight[:, :4] = 1e4 * torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
        second.weight[:, 4:] = -second.weight[:, :4] * (1 + difference)
    model = nn.Sequential(first, nn.ReLU(), second).requires_grad_(False)
    result = ra.maximize(model, BOX, method="ppga_lr", iterations=5)
    assert float(result.value) == float(model(result.x[None].to(dtype))[0, 0])


def test_random_numbers_of_the_caller_are_left_alone() -> None:
    model = followed(nn.Identity())
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    ra.ReLUOptimizer(model, BOX)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]
