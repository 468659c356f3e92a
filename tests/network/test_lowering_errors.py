"""What cannot be lowered is refused by name, with the place and what would be right."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from relu_attack.errors import ModelError, UnsupportedModuleError
from relu_attack.network import lower
from tests.network.residual import Forward


def test_a_gelu_three_levels_down_names_its_path() -> None:
    model = nn.Sequential(
        nn.Linear(3, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.GELU()))
    )
    with pytest.raises(UnsupportedModuleError) as caught:
        lower(model, (3,))
    message = str(caught.value)
    assert message.startswith("model[2][1][1] is GELU, which has no exact form here; supported: AdaptiveAvgPool1d, ")
    for name in ("BatchNorm2d", "Conv1d", "Linear", "MaxPool2d", "PReLU", "Sequential", "ZeroPad2d"):
        assert name in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "module",
    [nn.Sigmoid(), nn.Softmax(1), nn.LayerNorm(3), nn.BatchNorm3d(3), nn.ModuleList([nn.Linear(3, 3)]), nn.RReLU()],
)
def test_modules_without_a_rule(module: nn.Module) -> None:
    with pytest.raises(UnsupportedModuleError, match=rf"^model\[0\] is {type(module).__name__}, which has no exact"):
        lower(nn.Sequential(module).eval(), (3,))


def test_a_subclass_with_its_own_forward_is_looked_into_and_one_without_is_not() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    class Named(nn.Linear):
        pass

    assert lower(Named(3, 2), (3,)).network.outputs == 2
    with pytest.raises(UnsupportedModuleError, match=r"model\[0\] \(Doubled\) calls linear, which has no exact form"):
        lower(nn.Sequential(Doubled(3, 2)), (3,))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(("name", "index"), [("weight", (1, 2)), ("bias", (3,))])
def test_a_weight_that_is_not_finite_is_named_with_its_index(bad: float, name: str, index: tuple[int, ...]) -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 4)))
    getattr(model[0][0], name).data[index] = bad
    shown = index if len(index) > 1 else index[0]
    with pytest.raises(ModelError) as caught:
        lower(model, (3,))
    assert str(caught.value) == (
        f"model[0][0] (Linear) has a {name} that is NaN or infinite at index {shown}; train or load it again"
    )


def test_statistics_that_are_not_finite() -> None:
    module = nn.BatchNorm1d(3).eval()
    assert module.running_var is not None
    module.running_var[1] = torch.inf
    with pytest.raises(ModelError, match="has a running_var that is NaN or infinite at index 1"):
        lower(module, (3,))


def test_statistics_without_a_root() -> None:
    module = nn.BatchNorm1d(3).eval()
    assert module.running_var is not None
    module.running_var[1] = -1
    with pytest.raises(ModelError, match="model has a coefficient that is NaN or infinite"):
        lower(module, (3,))


def test_forward_hooks_are_refused() -> None:
    for register in (nn.Module.register_forward_hook, nn.Module.register_forward_pre_hook):
        model = nn.Sequential(nn.Linear(3, 3))
        register(model[0], lambda *arguments: None)
        with pytest.raises(
            ModelError, match=r"model\[0\] \(Linear\) has forward hooks, which may change values; remove"
        ):
            lower(model, (3,))


def test_a_forward_put_on_the_object_is_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    model[0].forward = lambda x: x
    with pytest.raises(ModelError, match=r"model\[0\] \(Linear\) has a forward method of its own"):
        lower(model, (3,))


def test_complex_weights_are_refused() -> None:
    with pytest.raises(ModelError, match="has a weight of complex numbers; weights must be real"):
        lower(nn.Linear(3, 2, dtype=torch.complex64), (3,))


def test_weights_without_data_are_refused() -> None:
    with pytest.raises(ModelError, match=r"has a weight without data \(device meta\); load the weights first"):
        lower(nn.Linear(3, 2, device="meta"), (3,))


def test_a_lazy_layer_is_refused_until_it_has_run() -> None:
    model = nn.Sequential(nn.LazyLinear(2))
    with pytest.raises(ModelError, match=r"model\[0\] \(LazyLinear\) is not initialized; run the model once"):
        lower(model, (3,))
    model(torch.ones(1, 3))
    assert lower(model, (3,)).network.outputs == 2


def test_parametrized_weights_are_taken_as_they_are_in_evaluation_mode() -> None:
    model = parametrizations.spectral_norm(nn.Linear(3, 2)).double()
    with pytest.raises(ModelError, match=r"parametrized weights in training mode, which may move; call model\.eval"):
        lower(model, (3,))
    model.eval()
    x = torch.ones(1, 3, dtype=torch.float64)
    torch.testing.assert_close(lower(model, (3,)).network.forward(x).outputs, model(x).detach())


@pytest.mark.parametrize("shape", [(), (0,), (3, -1), (2.5,)])
def test_an_input_shape_that_is_none(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"^input_shape is \(.*\); give the shape of one input without the batch"):
        lower(nn.Linear(3, 2), shape)


def test_a_model_that_is_no_module() -> None:
    with pytest.raises(ModelError, match=r"^model must be an nn\.Module, got function"):
        lower(lambda x: x, (3,))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TorchScript
def test_what_torch_wraps_around_a_module_is_refused_with_where_the_module_is() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    beside = nn.Sequential(nn.Identity(), nn.DataParallel(model))
    for wrapped, message in (
        (
            torch.compile(model, backend="eager"),
            r"^model \(OptimizedModule\) is made by torch.compile; .* model\._orig_mod$",
        ),
        (nn.DataParallel(model), r"^model \(DataParallel\) spreads a module over devices; .*, model\.module$"),
        (beside, r"^model\[1\] \(DataParallel\) spreads .*, model\[1\]\.module$"),
        (
            torch.jit.trace(model, torch.ones(1, 3)),
            r"^model \(.*\) is made by TorchScript; give the module",
        ),
    ):
        with pytest.raises(UnsupportedModuleError, match=message):
            lower(wrapped, (3,))


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (nn.Softmax(1), "the largest output stays the largest"),
        (nn.LogSoftmax(1), "the largest output stays the largest"),
        (nn.Sigmoid(), "it is increasing"),
        (Forward(lambda _, x: functional.softmax(x, 1)), "the largest output stays the largest"),
        (Forward(lambda _, x: torch.log_softmax(x, 1)), "the largest output stays the largest"),
        (Forward(lambda _, x: x.sigmoid()), "it is increasing"),
    ],
)
def test_a_last_softmax_or_sigmoid_may_be_left_out(last: nn.Module, why: str) -> None:
    with pytest.raises(
        UnsupportedModuleError, match=rf"no exact form here \(as the last step it may be left out: {why}"
    ):
        lower(nn.Sequential(nn.Linear(3, 2), last), (3,))


def test_a_layer_of_width_0_is_refused() -> None:
    with pytest.warns(UserWarning, match="Initializing zero-element"):
        model = nn.Sequential(nn.Linear(3, 0), nn.ReLU(), nn.Linear(0, 2))
    with pytest.raises(ModelError, match=r"^model\[0\] leaves a value of shape \(0,\), which has no entries; remove"):
        lower(model, (3,))


def test_a_module_of_torch_fx_calls_its_forward_as_others_do() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert lower(torch.fx.symbolic_trace(model), (3,)).network.units == 4
