"""One table of layers: lowering, files, ONNX and the README agree, and users add to it."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import relu_attack as ra
from relu_attack.errors import FileFormatError, OptionError, UnsupportedModuleError
from relu_attack.io import build, describe
from relu_attack.network import (
    BUILT_IN,
    Builder,
    Diagonal,
    find_rule,
    layer_specs,
    lower,
    onnx_operators,
    register_layer,
)
from relu_attack.network.lowering import _registry, layer_functions

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(autouse=True)
def own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_registry, "_specs", {layer: spec for spec in BUILT_IN for layer in spec.types})


def test_the_readme_lists_the_layers() -> None:
    (row,) = re.findall(r"^\| layers \| (.*); your own by `register_layer` \|$", README.read_text(), re.M)
    assert row == ", ".join(spec.words for spec in BUILT_IN)


@pytest.mark.parametrize("spec", BUILT_IN, ids=lambda spec: spec.words)
def test_a_layer_that_is_lowered_can_be_saved_and_is_documented(spec: Any) -> None:
    assert spec.arguments is not None
    assert spec.words
    assert all(layer_specs()[layer] is spec for layer in spec.types)


def test_functions_and_operators_stand_for_layers_with_a_rule() -> None:
    made = [onnx_operators()["LeakyRelu"](alpha=0.5), onnx_operators()["Relu"](), layer_functions()["relu"]()]
    assert all(find_rule(module) is not None for module in made)


class Abs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


def lower_abs(module: Abs, builder: Builder) -> None:
    builder.activate(-1.0)
    builder.note("Abs")


class Scale(nn.Module):
    def __init__(self, factor: float, offset: float = 0.0) -> None:
        super().__init__()
        self.factor, self.offset = factor, offset

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor + self.offset


def lower_scale(module: Scale, builder: Builder) -> None:
    builder.scale(module.factor)
    builder.shift(module.offset)
    builder.note("Scale")


def mirrored() -> nn.Sequential:
    """Return |x| + |y|, which is 3 at two corners of the box below."""
    model = nn.Sequential(Abs(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        model[1].weight.fill_(1.0)
        model[1].bias.zero_()
    return model


BOX = ra.Box([-1.0, -0.5], [0.5, 2.0])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "ppga_lr", "lp_walk", "milp", "branch_and_bound"])
def test_a_registered_layer_works_with_each_method(method: str) -> None:
    register_layer(Abs, lower_abs)
    result = ra.maximize(mirrored(), BOX, method=method, iterations=100, time_limit=1.0, seed=0)
    assert result.value == pytest.approx(3.0, abs=1e-9)


@pytest.mark.parametrize("method", ["interval", "crown", "alpha_crown", "lp"])
def test_a_registered_layer_works_with_each_bound(method: str) -> None:
    register_layer(Abs, lower_abs)
    lower_bound, upper_bound = ra.output_bounds(mirrored(), BOX, method=method)
    assert float(lower_bound) <= 0.0
    assert float(upper_bound) >= 3.0


class Calls(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.abs(x) + x.abs()


def test_functions_of_a_registered_layer_are_lowered_in_a_forward() -> None:
    with pytest.raises(UnsupportedModuleError, match="calls abs, which has no exact form here"):
        lower(Calls(), (2,))
    register_layer(Abs, lower_abs, functions={torch.abs: Abs, "abs": Abs})
    network = lower(Calls(), (2,)).network
    assert network.forward(torch.tensor([[-1.0, 0.5]]).double()).outputs.tolist() == [[2.0, 1.0]]


def test_a_registered_layer_is_saved_with_its_arguments(tmp_path: Path) -> None:
    register_layer(Abs, lower_abs)
    register_layer(Scale, lower_scale, arguments=["factor", "offset"])
    model = nn.Sequential(Abs(), Scale(3.0, offset=0.5), Scale(2.0))
    assert describe(model) == ["Abs", {"Scale": {"factor": 3.0, "offset": 0.5}}, {"Scale": {"factor": 2.0}}]
    ra.save_model(model, tmp_path / "model.safetensors")
    again = ra.load_model(tmp_path / "model.safetensors")
    assert torch.equal(again(torch.tensor([-1.0])), torch.tensor([7.0]))


def test_a_registered_layer_without_its_arguments_is_not_saved() -> None:
    register_layer(Scale, lower_scale)
    with pytest.raises(UnsupportedModuleError, match=r"^model\[0\]: Scale cannot be described"):
        describe(nn.Sequential(Scale(2.0)))
    with pytest.raises(FileFormatError, match="unknown layer 'Scale'"):
        build([{"Scale": 2.0}])


def test_an_argument_that_is_no_plain_data_is_refused() -> None:
    register_layer(Scale, lower_scale, arguments=["factor"])
    with pytest.raises(FileFormatError, match="factor must be a number, a word, true, false, null, or a list of them"):
        build([{"Scale": [{"a": 1}]}])


def test_an_onnx_operator_of_a_registered_layer_is_read(tmp_path: Path) -> None:
    graphs = pytest.importorskip("tests.io.graphs", reason="needs the extra onnx")
    proto = graphs.model([graphs.helper.make_node("Abs", ["x"], ["y"])], (1, 3))
    with pytest.raises(UnsupportedModuleError, match="no exact form here for node"):
        graphs.read(proto, tmp_path)
    register_layer(Abs, lower_abs, onnx={"Abs": Abs})
    network = graphs.read(proto, tmp_path).network
    assert network.forward(torch.tensor([[-1.0, 0.5, 0.0]]).double()).outputs.tolist() == [[1.0, 0.5, 0.0]]


def test_registering_again_replaces_and_a_taken_name_is_refused() -> None:
    register_layer(Abs, lower_abs)
    register_layer(Abs, lower_scale)
    assert find_rule(Abs()) is lower_scale
    other = type("Abs", (nn.Module,), {"__module__": "elsewhere"})
    with pytest.raises(OptionError, match="a layer named Abs is supported already"):
        register_layer(other, lower_abs)
    with pytest.raises(OptionError, match="a layer named ReLU is supported already"):
        register_layer(nn.ReLU, lower_abs)


MISTAKES: list[tuple[Any, dict[str, Any], str]] = [
    (int, {}, "layer must be a subclass of nn.Module, got <class 'int'>"),
    (Scale, {"arguments": "factor"}, r"arguments must be a sequence of names, got 'factor'; write \['factor'\]"),
    (Scale, {"arguments": ["factor", "bias"]}, "Scale takes no argument 'bias'; it takes factor, offset"),
    (Scale, {"arguments": ["offset"]}, "arguments lacks 'factor', without which Scale cannot be built again"),
]


@pytest.mark.parametrize(("layer", "options", "message"), MISTAKES)
def test_a_mistake_in_a_registration_is_named(layer: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}$"):
        register_layer(layer, lower_scale, **options)


@pytest.mark.parametrize("slope", [-3.0, -1.0, -0.3, 0.0, 0.2, 1.0, 7.0])
def test_the_builder_activates_with_any_slope(slope: float) -> None:
    builder = Builder((5,))
    assert builder.activate(slope) == (10 if slope < 0 else 5)
    z = torch.linspace(-2, 2, 5).double()
    expected = torch.where(z > 0, z, slope * z)
    assert torch.allclose(builder.build().forward(z[None]).outputs[0], expected, rtol=1e-15, atol=0)


def test_the_builder_takes_matrices_and_refuses_those_that_do_not_fit() -> None:
    builder = Builder((2,))
    builder.affine(torch.tensor([[1.0, 2.0], [0.0, 1.0], [1.0, 0.0]]), torch.tensor([1.0, 0.0, 0.0]).double())
    assert builder.shape == (3,)
    assert builder.build().forward(torch.ones(1, 2).double()).outputs.tolist() == [[4.0, 1.0, 1.0]]
    with pytest.raises(ra.ModelError, match="lowered to a map from 2 to 2 entries, which does not fit"):
        builder.affine(Diagonal(torch.ones(2).double()))
    with pytest.raises(ra.ModelError, match="lowered with 2 numbers for a value of 3 entries"):
        builder.scale(torch.ones(2))
