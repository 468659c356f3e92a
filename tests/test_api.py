"""The front door: what users ask, what they get, and what they are told when something does not fit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import relu_attack as ra
from tests.problems import network, random_network

SQUARE = ra.Box(0.0, 1.0, shape=(2,))


def small_model() -> nn.Sequential:
    return random_network(2, 4, 3, seed=0, dtype=torch.float32)


def image_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 5)
    )  # fmt: skip


def test_the_functions_are_the_short_form_of_the_optimizer() -> None:
    optimizer = ra.ReLUOptimizer(small_model(), SQUARE, ra.Output(1))
    for name in ("maximize", "minimize"):
        short = getattr(ra, name)(small_model(), SQUARE, ra.Output(1), iterations=20, seed=3)
        long = getattr(optimizer, name)(iterations=20, seed=3)
        assert torch.equal(short.x, long.x)
        assert torch.equal(short.value, long.value)
        assert torch.equal(short.bound, long.bound)


def test_the_objective_is_output_0_by_default() -> None:
    default = ra.maximize(small_model(), SQUARE, iterations=20)
    assert torch.equal(default.x, ra.maximize(small_model(), SQUARE, ra.Output(0), iterations=20).x)


def test_a_maximum_and_a_minimum_by_hand() -> None:
    model = network(([[1.0, -2.0], [0.0, 1.0]], [0.0, -0.5]), ([[1.0, 4.0]], [3.0]))
    high, low = ra.maximize(model, SQUARE, iterations=50), ra.minimize(model, SQUARE, iterations=50)
    # relu(x - 2y) + 4 relu(y - 1/2) + 3: 5 at y = 1, and 3 wherever both units are off.
    assert (float(high.value), float(low.value)) == (5.0, 3.0)
    assert float(high.x[1]) == 1.0
    assert low.bound <= 3.0
    assert high.bound >= 5.0


def test_a_value_that_its_bound_proves_is_optimal() -> None:
    linear = network(([[1.0, -2.0]], [3.0]))
    assert ra.maximize(linear, SQUARE, iterations=20).status is ra.Status.OPTIMAL
    deep = network(([[1.0, -2.0], [0.0, 1.0]], [0.0, -0.5]), ([[1.0, 4.0]], [3.0]))
    assert ra.maximize(deep, SQUARE, iterations=20).status is ra.Status.ITERATION_LIMIT


def test_an_image_comes_back_as_an_image() -> None:
    model = image_model()
    ball = ra.LInfBall(torch.full((1, 4, 4), 0.5), 0.1, clip=(0.0, 1.0))
    result = ra.maximize(model, ball, ra.Margin(target=1, label=0), iterations=30, restarts=8)
    assert result.x.shape == (1, 4, 4)
    assert float((result.x - 0.5).abs().max()) <= 0.1
    with torch.no_grad():
        outputs = model(result.x[None])[0].double()
    assert float(result.value) == float(outputs[1] - outputs[0])


def test_a_batch_of_images_is_one_call() -> None:
    centers = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    balls = ra.L2Ball(centers, 0.3)
    result = ra.maximize(
        image_model(), balls, ra.Margin(target=[1, 2, 3], label=[0, 0, 4]), iterations=20, restarts=4, x0=centers
    )
    assert result.x.shape == (3, 1, 4, 4)
    assert result.value.shape == result.bound.shape == result.violation.shape == result.gap.shape == (3,)
    assert bool(((result.x - centers).flatten(1).norm(dim=1) <= 0.3 + 1e-6).all())
    assert bool((result.violation == 0).all())


def test_a_recipe_meets_its_equations() -> None:
    shares = ra.Polytope(
        A=[[1.0, -1.0, 0.0, 0.0]], b=[0.1], A_eq=[[1.0] * 4, [0.0, 0.0, 1.0, -2.0]], b_eq=[1.0, 0.0], lower=0.0
    )
    result = ra.maximize(random_network(4, 8, 1, seed=0), shares, iterations=50, restarts=8)
    assert result.x.dtype == torch.float64
    assert float(result.violation) <= 1e-9
    assert float(result.x.sum()) == pytest.approx(1.0, abs=1e-8)
    assert float(result.x[2]) == pytest.approx(2 * float(result.x[3]), abs=1e-8)
    assert float(result.x[0] - result.x[1]) <= 0.1 + 1e-8
    assert float(result.x.min()) >= -1e-8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("walking", [torch.float32, torch.float64])
def test_the_answer_has_the_dtype_of_its_set_and_numbers_are_float64(dtype: torch.dtype, walking: torch.dtype) -> None:
    box = ra.Box(torch.zeros(2, dtype=dtype), torch.ones(2, dtype=dtype))
    result = ra.ReLUOptimizer(small_model(), box, dtype=walking).maximize(iterations=15)
    assert result.x.dtype == dtype
    assert result.value.dtype == result.bound.dtype == result.violation.dtype == torch.float64


def test_answers_are_where_their_set_is(device: torch.device) -> None:
    model = small_model().to(device)
    box = ra.Box(torch.zeros(2, device=device), torch.ones(2, device=device))
    optimizer = ra.ReLUOptimizer(model, box, ra.Output([0, 1]))
    assert optimizer.device.type == device.type
    result = optimizer.maximize("ppga_lr", iterations=15, record_path=True)
    assert result.x.device.type == device.type
    for tensor in (result.value, result.bound, result.violation, result.trace.values, result.path):
        assert tensor is not None
        assert tensor.device.type == "cpu"
    assert bool((result.violation == 0).all())


def test_a_walk_may_be_on_another_device_than_model_and_set(device: torch.device) -> None:
    for domain in (SQUARE, ra.Polytope(A=[[1.0, 1.0]], b=[1.0], lower=0.0), ra.L2Ball([0.0, 0.0], 1.0)):
        result = ra.maximize(small_model(), domain, device=device, iterations=15)
        assert result.x.device.type == "cpu"
        assert float(result.violation) <= 1e-9


def test_the_optimizer_is_a_snapshot() -> None:
    model, coefficients = small_model(), np.array([1.0, 2.0, 3.0])
    optimizer = ra.ReLUOptimizer(model, SQUARE, ra.Linear(coefficients))
    before = optimizer.maximize(iterations=15)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    coefficients[:] = 0
    after = optimizer.maximize(iterations=15)
    assert torch.equal(before.value, after.value)
    assert float(after.value) != 0.0


def test_a_search_leaves_the_optimizer_as_it_was() -> None:
    optimizer = ra.ReLUOptimizer(small_model(), SQUARE)
    first = optimizer.maximize(iterations=15)
    optimizer.minimize(iterations=15)
    assert torch.equal(optimizer.maximize(iterations=15).value, first.value)


def test_minimize_takes_the_method_by_position() -> None:
    assert ra.ReLUOptimizer(small_model(), SQUARE).minimize("ppga", iterations=3).method == "ppga"


def test_a_callers_random_numbers_are_left_alone() -> None:
    model = small_model()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    ra.maximize(model, SQUARE, iterations=25)
    assert torch.equal(torch.rand(3), expected)


def test_lowering_says_what_it_did() -> None:
    notes = ra.ReLUOptimizer(small_model(), SQUARE).lowering.notes
    assert notes == ("model[0]: Linear 2 -> 4", "model[1]: ReLU, 4 units", "model[2]: Linear 4 -> 3")


def test_a_model_without_weights_is_a_model() -> None:
    model, box = nn.Sequential(nn.Flatten(), nn.ReLU()), ra.Box(-1.0, 2.0, shape=(3,))
    result = ra.maximize(model, box, ra.Linear([1.0] * 3), iterations=50)
    assert float(result.value) == 6.0


def nan_weight() -> nn.Sequential:
    model = small_model()
    with torch.no_grad():
        model[2].weight[1, 3] = torch.nan
    return model


def infinite_bias() -> nn.Sequential:
    model = small_model()
    with torch.no_grad():
        model[0].bias[2] = torch.inf
    return model


def hooked() -> nn.Sequential:
    model = small_model()
    model[1].register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


def overflowing() -> nn.Sequential:
    """Return a model whose numbers fit float16, but not what it computes."""
    model = network(([[300.0, 300.0]], [0.0]), ([[300.0]], [0.0]))
    return model.half()


class Squared(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        return y * y


class Called(nn.Sequential):
    """A model whose forward does something to tensors that it does not do while it is traced."""

    def __init__(self, answer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__(nn.Linear(2, 3))
        self.answer = answer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = super().forward(x)
        return self.answer(outputs) if isinstance(x, torch.Tensor) else outputs


def fails(outputs: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("no such kernel")


NORM_IN_TRAINING = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).train()


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (nan_weight(), ra.ModelError, r"model\[2\] \(Linear\) has a weight that is NaN or infinite at index \(1, 3\)"),
        (infinite_bias(), ra.ModelError, r"model\[0\] \(Linear\) has a bias that is NaN or infinite at index 2"),
        (
            nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(3, 3), nn.GELU()))),
            ra.UnsupportedModuleError,
            r"model\[1\]\[1\]\[1\] is GELU, which has no exact form here; supported: .*Linear.*ReLU",
        ),
        (Squared(nn.Linear(2, 1)), ra.UnsupportedModuleError, r"model \(Squared\) calls mul on two values"),
        (nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5)).train(), ra.ModelError, r"model\[1\] .*training mode.*eval"),
        (NORM_IN_TRAINING, ra.ModelError, r"model\[1\] .*training mode.*eval"),
        (hooked(), ra.ModelError, r"model\[1\] \(ReLU\) has forward hooks, which may change values; remove them"),
        (nn.Sequential(nn.Linear(3, 1)), ra.ModelError, r"model\[0\] \(Linear\).*3.*2"),
        (nn.Sequential(nn.Conv2d(1, 1, 3)), ra.ModelError, r"model\[0\] \(Conv2d\)"),
        (
            Called(lambda outputs: outputs[0]),
            ra.ModelError,
            r"returns shape \(3,\) for 1 inputs; keep the batch dimension",
        ),
        (
            Called(lambda outputs: 3 * outputs),
            ra.ModelError,
            "forward pass is .* away from its chain in the set: output . is .*, not .*, at the input .* depend on",
        ),
        (Called(fails), ra.ModelError, r"cannot evaluate inputs of shape \(1, 2\): RuntimeError: no such kernel"),
        (
            overflowing(),
            ra.ModelError,
            r"returns NaN or infinity in the set, .*: it overflows torch.float16; scale",
        ),
        (None, ra.ModelError, "model must be an nn.Module, got NoneType"),
        (torch.relu, ra.ModelError, "model must be an nn.Module, got builtin_function_or_method"),
    ],
)
def test_a_model_that_cannot_be_used_is_named(model: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        ra.ReLUOptimizer(model, SQUARE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"domain": (0.0, 1.0)},
            ra.OptionError,
            "domain must be a Box, a ball, a Polytope or another Domain, got tuple",
        ),
        ({"objective": 1}, ra.OptionError, "objective must be an Output, a Linear or a Margin, got int"),
        ({"objective": ra.Output(3)}, ra.ObjectiveError, "Output index 3 is out of range; the model has 3 outputs"),
        ({"objective": ra.Output([])}, ra.ObjectiveError, "Output index is a batch of 0 objectives"),
        ({"device": "nonsense"}, ra.OptionError, "device is 'nonsense'; it must be a device of torch"),
        ({"dtype": torch.float16}, ra.OptionError, "must be torch.float32 or torch.float64, got torch.float16"),
        (
            {"domain": ra.Box(torch.zeros(2, 2), torch.ones(2, 2)), "objective": ra.Output([0, 1, 2])},
            ra.ObjectiveError,
            "there are 3 objectives for a batch of 2 sets; give one, or one for each set",
        ),
        ({"domain": ra.Box(0.0, 1.0, shape=(3,))}, ra.ModelError, "Linear"),
    ],
)
def test_parts_that_do_not_fit_are_named(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ra.ReLUOptimizer(**{"model": small_model(), "domain": SQUARE, **arguments})


def test_an_empty_batch_of_sets_is_refused() -> None:
    with pytest.raises(ra.DomainError, match="is a batch of 0 sets; at least one is needed"):
        ra.Box(torch.zeros(0, 2), torch.ones(0, 2))


def test_a_batch_norm_in_evaluation_mode_is_served() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).eval()
    assert float(ra.maximize(model, SQUARE, iterations=20).violation) == 0.0
    assert not model.training
