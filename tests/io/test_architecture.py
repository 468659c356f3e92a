"""An architecture goes to plain data and back, and a bad one is refused with its place."""

import json
from collections import OrderedDict
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from relu_attack.errors import FileFormatError, UnsupportedModuleError
from relu_attack.io import build, describe
from relu_attack.network import BUILT_IN

# One or more of each layer, with arguments away from their defaults.
EXAMPLES: list[nn.Module] = [
    nn.Linear(3, 4),
    nn.Linear(3, 4, bias=False),
    nn.Conv1d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2),
    nn.Conv1d(2, 4, 3, padding="same", bias=False),
    nn.Conv2d(1, 2, 3),
    nn.Conv2d(2, 4, (3, 1), stride=(1, 2), padding=(0, 1), dilation=(2, 1), padding_mode="circular"),
    nn.BatchNorm1d(3),
    nn.BatchNorm1d(3, affine=False, eps=1e-3),
    nn.BatchNorm2d(2, momentum=None),
    nn.ReLU(),
    nn.LeakyReLU(0.2),
    nn.PReLU(),
    nn.PReLU(3),
    nn.ReLU6(),
    nn.Hardtanh(-2.0, 3.0),
    nn.Flatten(),
    nn.Flatten(2, 3),
    nn.Unflatten(1, (2, 2)),
    nn.Dropout(0.3),
    nn.Dropout1d(0.3),
    nn.Dropout2d(0.3),
    nn.Dropout3d(0.3),
    nn.AlphaDropout(0.3),
    nn.FeatureAlphaDropout(0.3),
    nn.Identity(),
    nn.AvgPool1d(2),
    nn.AvgPool2d((2, 3), stride=1, padding=1, ceil_mode=True, count_include_pad=False, divisor_override=5),
    nn.AdaptiveAvgPool1d(2),
    nn.AdaptiveAvgPool2d((None, 3)),
    nn.MaxPool1d(3, stride=2, padding=1),
    nn.MaxPool2d((2, 3), dilation=2, ceil_mode=True),
    nn.ZeroPad1d((1, 2)),
    nn.ZeroPad2d(1),
    nn.ZeroPad3d(1),
    nn.ConstantPad1d(2, 0.5),
    nn.ConstantPad2d((1, 0, 2, 1), -1.0),
    nn.ConstantPad3d((1, 0, 2, 1, 0, 1), 0.5),
]


@pytest.mark.parametrize("layer", EXAMPLES, ids=str)
@pytest.mark.parametrize("as_text", [json, yaml], ids=["json", "yaml"])
def test_each_layer_survives_text(layer: nn.Module, as_text: Any) -> None:
    model = nn.Sequential(layer)
    dump = json.dumps if as_text is json else yaml.safe_dump
    load = json.loads if as_text is json else yaml.safe_load
    rebuilt = build(load(dump(describe(model))))
    assert str(rebuilt) == str(model)
    assert [tuple(value.shape) for value in rebuilt.state_dict().values()] == [
        tuple(value.shape) for value in model.state_dict().values()
    ]


def test_the_examples_hold_each_layer_and_argument() -> None:
    assert {type(layer) for layer in EXAMPLES} == {layer for spec in BUILT_IN for layer in spec.types}
    described: set[str] = set()
    for layer in EXAMPLES:
        (entry,) = describe(layer)
        described |= set(next(iter(entry.values()))) if isinstance(entry, dict) else set()
    declared = {argument for spec in BUILT_IN for argument in spec.arguments or ()}
    assert declared - described == {"track_running_stats"}


def test_no_running_statistics() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False))
    assert str(build(describe(model))) == str(model)


def test_short_forms_mean_the_same() -> None:
    long = build([{"Linear": {"in_features": 4, "out_features": 3}}, {"MaxPool1d": {"kernel_size": 2}}, {"ReLU": {}}])
    short = build([{"Linear": [4, 3]}, {"MaxPool1d": 2}, "ReLU"])
    assert str(long) == str(short)


def test_a_built_model_is_in_evaluation_mode() -> None:
    assert not any(module.training for module in build([{"Sequential": ["Dropout"]}]).modules())


def test_nested_and_named() -> None:
    inner = nn.Sequential(OrderedDict(hidden=nn.Linear(4, 3), relu=nn.ReLU()))
    model = nn.Sequential(nn.Flatten(), inner, nn.Linear(3, 1))
    description = describe(model)
    assert description == [
        "Flatten",
        {"Sequential": {"hidden": {"Linear": {"in_features": 4, "out_features": 3}}, "relu": "ReLU"}},
        {"Linear": {"in_features": 3, "out_features": 1}},
    ]
    assert list(build(description).state_dict()) == list(model.state_dict())


def test_a_layer_in_two_places_is_described_twice() -> None:
    relu = nn.ReLU()
    assert describe(nn.Sequential(relu, relu)) == ["ReLU", "ReLU"]


def test_inplace_is_left_out() -> None:
    assert describe(nn.Sequential(nn.ReLU(inplace=True))) == ["ReLU"]


DEEP = [{"Linear": [2, 2]}, {"Sequential": ["ReLU", {"Swish": []}]}]


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (DEEP, r"^architecture\[1\]\[1\]: unknown layer 'Swish'; known are Linear, Conv1d.*Sequential$"),
        ({"top": {"Sequential": ["GELU"]}}, r"^architecture\['top'\]\[0\]: unknown layer 'GELU'"),
        (["os.system"], r"^architecture\[0\]: unknown layer 'os.system'"),
        (None, r"^architecture must be a list of layers or a mapping of names to layers, got nothing$"),
        ("ReLU", r"^architecture must be a list of layers or a mapping of names to layers, got str$"),
        ([{"Sequential": []}], r"^architecture\[0\] must be a list of layers .*, got nothing$"),
        ([["ReLU"]], r"^architecture\[0\] must be a layer's name or one \{name: arguments\}, got \['ReLU'\]$"),
        ([{"ReLU": {}, "Flatten": {}}], r"^architecture\[0\] must be a layer's name or one"),
        ({"a.b": "ReLU"}, r"^architecture\['a.b'\]: a layer's name must be a word without a dot$"),
        ({"training": "ReLU"}, r"^architecture\['training'\]: this name is taken by nn.Sequential itself"),
        ([{"Linear": 3}], r"^architecture\[0\] \(Linear\): argument 'out_features' is missing; it takes in_features"),
        ([{"Linear": [3, 2, True, 1]}], r"^architecture\[0\] \(Linear\): 4 arguments, but it takes in_features, out"),
        ([{"ReLU": 1}], r"^architecture\[0\] \(ReLU\): 1 arguments, but it takes no arguments$"),
        ([{"Linear": {"inputs": 3}}], r"^architecture\[0\] \(Linear\): unknown argument 'inputs'; it takes in_feat"),
        ([{"Linear": [3, 0]}], r"^architecture\[0\] \(Linear\): out_features must be a positive integer, got 0$"),
        ([{"Linear": [3, 2.5]}], r"out_features must be a positive integer, got 2.5$"),
        ([{"Linear": [3, True]}], r"out_features must be a positive integer, got True$"),
        ([{"Linear": [3, 2, "no"]}], r"bias must be true or false, got 'no'$"),
        ([{"MaxPool2d": "2"}], r"kernel_size must be a positive integer or a list of them, got '2'$"),
        ([{"MaxPool2d": {"kernel_size": []}}], r"kernel_size must be a positive integer or a list of them, got \[\]$"),
        ([{"LeakyReLU": float("nan")}], r"negative_slope must be a number, got nan$"),
        ([{"MaxPool2d": [2, 2, 0, 1, True, True]}], r"6 arguments, but it takes kernel_size, stride, padding, dil"),
        (
            [{"Conv2d": [3, 4, 3, 1, 0, 1, 2]}],
            r"^architecture\[0\] \(Conv2d\): in_channels must be divisible by groups$",
        ),
        ([{"Hardtanh": [2, 1]}], r"^architecture\[0\] \(Hardtanh\)"),
        ([{"Dropout": 2}], r"^architecture\[0\] \(Dropout\): dropout probability has to be between 0 and 1"),
    ],
)
def test_a_bad_architecture_is_refused_with_its_place(architecture: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=message) as caught:
        build(architecture)
    assert "\n" not in str(caught.value)


class Doubled(nn.ReLU):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(input)


class Reversed(nn.Sequential):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(-input)


def hooked() -> nn.Module:
    layer = nn.ReLU()
    layer.register_forward_hook(lambda module, given, value: 2 * value)
    return layer


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Sequential(nn.ReLU(), nn.GELU()), r"^model\[1\]\[1\]: GELU cannot be described; known are Linear"),
        (Doubled(), r"^model\[1\]: Doubled cannot be described"),
        (Reversed(nn.ReLU()), r"^model\[1\] \(Reversed\) changes what nn.Sequential computes$"),
        (hooked(), r"^model\[1\] \(ReLU\) has forward hooks"),
        (nn.MaxPool1d(2, return_indices=True), r"^model\[1\] \(MaxPool1d\) has forward hooks or returns indices"),
    ],
)
def test_what_a_description_cannot_hold_is_refused(layer: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedModuleError, match=message):
        describe(nn.Sequential(nn.Flatten(), layer))


def test_nesting_has_a_limit() -> None:
    layers: Any = ["ReLU"]
    for _ in range(5000):
        layers = [{"Sequential": layers}]
    with pytest.raises(FileFormatError, match="nested too deeply: at most 100 levels"):
        build(layers)
