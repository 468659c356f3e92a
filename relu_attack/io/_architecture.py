"""An architecture as plain data, as YAML and JSON hold it, and back."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from torch import nn

from relu_attack._limits import NESTING
from relu_attack.errors import FileFormatError, UnsupportedModuleError

Architecture: TypeAlias = "Sequence[Any] | Mapping[str, Any]"

# Nothing outside this table can be built from a file.
LAYERS: dict[str, type[nn.Module]] = {
    layer.__name__: layer
    for layer in (
        nn.Linear,
        nn.Conv1d,
        nn.Conv2d,
        nn.BatchNorm1d,
        nn.BatchNorm2d,
        nn.ReLU,
        nn.LeakyReLU,
        nn.PReLU,
        nn.ReLU6,
        nn.Hardtanh,
        nn.Flatten,
        nn.Unflatten,
        nn.Dropout,
        nn.Dropout1d,
        nn.Dropout2d,
        nn.Dropout3d,
        nn.AlphaDropout,
        nn.FeatureAlphaDropout,
        nn.Identity,
        nn.AvgPool1d,
        nn.AvgPool2d,
        nn.AdaptiveAvgPool1d,
        nn.AdaptiveAvgPool2d,
        nn.MaxPool1d,
        nn.MaxPool2d,
        nn.ZeroPad1d,
        nn.ZeroPad2d,
        nn.ConstantPad1d,
        nn.ConstantPad2d,
    )
}


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _one_or_list_of(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: all(map(check, value)) and bool(value) if isinstance(value, tuple) else check(value)


# What each argument may be, and the words for it. Torch itself checks few of them before the first forward pass.
_COUNT = (_is_count, "a positive integer")
_INTEGER = (_is_integer, "an integer")
_NUMBER = (_is_number, "a number")
_FLAG = (_is_flag, "true or false")
_SIZE = (_one_or_list_of(_is_count), "a positive integer or a list of them")
_OPTIONAL_SIZE = (_one_or_list_of(lambda value: value is None or _is_count(value)), f"{_SIZE[1]}, or null")
_PADDING = (
    _one_or_list_of(lambda value: _is_integer(value) or _is_text(value)),
    "an integer, a list of them, or a word",
)
ARGUMENTS: dict[str, tuple[Callable[[object], bool], str]] = {
    **dict.fromkeys(["in_features", "out_features", "in_channels", "out_channels"], _COUNT),
    **dict.fromkeys(["groups", "num_features", "num_parameters"], _COUNT),
    **dict.fromkeys(["kernel_size", "dilation"], _SIZE),
    **dict.fromkeys(["stride", "output_size", "divisor_override"], _OPTIONAL_SIZE),
    **dict.fromkeys(["dim", "start_dim", "end_dim"], _INTEGER),
    **dict.fromkeys(["eps", "negative_slope", "min_val", "max_val", "p", "value"], _NUMBER),
    **dict.fromkeys(["bias", "affine", "track_running_stats", "ceil_mode", "count_include_pad"], _FLAG),
    "momentum": (lambda value: value is None or _is_number(value), "a number or null"),
    "padding": _PADDING,
    "padding_mode": (_is_text, "a word"),
    "unflattened_size": (_one_or_list_of(_is_integer), "a list of integers"),
}


def build(architecture: Architecture) -> nn.Sequential:
    """Build the model that an architecture describes.

    Parameters
    ----------
    architecture
        A list of layers. A layer is its name (``"ReLU"``), or a mapping of its name to its arguments: by name
        (``{"Linear": {"in_features": 8, "out_features": 64}}``), in order (``{"Linear": [8, 64]}``), or a single one
        (``{"MaxPool2d": 2}``). ``{"Sequential": [...]}`` nests. A mapping of names to layers in place of a list
        names the layers, as ``{"hidden": {"Linear": [8, 64]}, "relu": "ReLU"}``, for weights that are stored by name.

    Returns
    -------
    nn.Sequential
        In evaluation mode, with the initial weights that torch draws.

    Raises
    ------
    FileFormatError
        For an unknown layer or a bad argument; it names the place and what would be right.

    Examples
    --------
    >>> build([{"Linear": [8, 64]}, "ReLU", {"Sequential": [{"Linear": {"in_features": 64, "out_features": 1}}]}])
    Sequential(
      (0): Linear(in_features=8, out_features=64, bias=True)
      (1): ReLU()
      (2): Sequential(
        (0): Linear(in_features=64, out_features=1, bias=True)
      )
    )
    """
    return _build_sequential(architecture, "architecture").eval()


def describe(model: nn.Module) -> Architecture:
    """Describe a model as `build` takes it. Arguments at torch's default are left out.

    Parameters
    ----------
    model
        An ``nn.Sequential``, nested or not, or a single layer. The description has neither weights nor dtype, and no
        ``inplace``, which does not change values.

    Returns
    -------
    list or dict
        Plain data; a dict where the layers have names of their own.

    Raises
    ------
    UnsupportedModuleError
        For a module that `build` does not know, or one with hooks; it names the place.

    Examples
    --------
    >>> from torch import nn
    >>> describe(nn.Sequential(nn.Linear(8, 64, bias=False), nn.ReLU()))
    [{'Linear': {'in_features': 8, 'out_features': 64, 'bias': False}}, 'ReLU']
    """
    if isinstance(model, nn.Sequential):
        return _describe_sequential(model, "model")
    return [_describe_layer(model, "model")]


def _build_sequential(layers: object, place: str, depth: int = 0) -> nn.Sequential:
    if depth > NESTING:
        raise FileFormatError(f"architecture is nested too deeply: at most {NESTING} levels of Sequential are built")
    if not isinstance(layers, list | tuple | Mapping) or not layers:
        shown = "nothing" if not layers else type(layers).__name__
        raise FileFormatError(f"{place} must be a list of layers or a mapping of names to layers, got {shown}")
    named = list(layers.items()) if isinstance(layers, Mapping) else [(str(i), layer) for i, layer in enumerate(layers)]
    sequential = nn.Sequential()
    for name, layer in named:
        inner = f"{place}[{name!r}]" if isinstance(layers, Mapping) else f"{place}[{name}]"
        if isinstance(layers, Mapping) and (not isinstance(name, str) or not name or "." in name):
            raise FileFormatError(f"{inner}: a layer's name must be a word without a dot")
        try:
            sequential.add_module(name, _build_layer(layer, inner, depth))
        except KeyError:
            raise FileFormatError(f"{inner}: this name is taken by nn.Sequential itself; choose another") from None
    return sequential


def _build_layer(layer: object, place: str, depth: int) -> nn.Module:
    if isinstance(layer, str):
        layer = {layer: None}
    if not isinstance(layer, Mapping) or len(layer) != 1:
        raise FileFormatError(f"{place} must be a layer's name or one {{name: arguments}}, got {layer!r}")
    ((name, arguments),) = layer.items()
    if name == "Sequential":
        return _build_sequential(arguments, place, depth + 1)
    if name not in LAYERS:
        raise FileFormatError(f"{place}: unknown layer {name!r}; known are {', '.join(LAYERS)}, Sequential")
    checked = _check_arguments(name, arguments, f"{place} ({name})")
    try:
        return LAYERS[name](**checked)
    except (TypeError, ValueError, RuntimeError, AssertionError, ArithmeticError) as reason:
        raise FileFormatError(f"{place} ({name}): {' '.join(str(reason).split())}") from None


def _check_arguments(name: str, arguments: object, place: str) -> dict[str, Any]:
    parameters = _parameters(LAYERS[name])
    if arguments is None:
        given: Mapping[Any, object] = {}
    elif isinstance(arguments, Mapping):
        given = arguments
    else:
        values = arguments if isinstance(arguments, list | tuple) else [arguments]
        if len(values) > len(parameters):
            raise FileFormatError(f"{place}: {len(values)} arguments, but it takes {_enumerate(parameters)}")
        given = dict(zip(parameters, values, strict=False))
    for argument in given:
        if argument not in parameters:
            raise FileFormatError(f"{place}: unknown argument {argument!r}; it takes {_enumerate(parameters)}")
    for argument, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and argument not in given:
            raise FileFormatError(f"{place}: argument {argument!r} is missing; it takes {_enumerate(parameters)}")
    checked = {argument: _as_tuple(value) for argument, value in given.items()}
    for argument, value in checked.items():
        fits, words = ARGUMENTS[argument]
        if not fits(value):
            raise FileFormatError(f"{place}: {argument} must be {words}, got {given[argument]!r}")
    return checked


def _parameters(layer: type[nn.Module]) -> dict[str, inspect.Parameter]:
    # Left out: inplace, device and dtype, initial weights, and return_indices, which gives a pair.
    signature = inspect.signature(layer).parameters
    return {name: parameter for name, parameter in signature.items() if name in ARGUMENTS}


def _enumerate(parameters: Mapping[str, object]) -> str:
    return ", ".join(parameters) or "no arguments"


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _children(model: nn.Sequential) -> Iterator[tuple[str, nn.Module]]:
    # named_children() leaves out a module that stands in two places
    return ((name, child) for name, child in model._modules.items() if child is not None)


def _describe_sequential(model: nn.Sequential, place: str) -> Architecture:
    if type(model).forward is not nn.Sequential.forward or _has_hooks(model):
        raise UnsupportedModuleError(f"{place} ({type(model).__name__}) changes what nn.Sequential computes")
    children = list(_children(model))
    if [name for name, _ in children] == [str(index) for index in range(len(children))]:
        return [_describe_layer(child, f"{place}[{name}]") for name, child in children]
    return {name: _describe_layer(child, f"{place}[{name!r}]") for name, child in children}


def _describe_layer(module: nn.Module, place: str) -> str | dict[str, Any]:
    if isinstance(module, nn.Sequential):
        return {"Sequential": _describe_sequential(module, place)}
    name = type(module).__name__
    # A subclass may compute something else.
    if LAYERS.get(name) is not type(module):
        raise UnsupportedModuleError(f"{place}: {name} cannot be described; known are {', '.join(LAYERS)}, Sequential")
    if _has_hooks(module) or getattr(module, "return_indices", False):
        raise UnsupportedModuleError(
            f"{place} ({name}) has forward hooks or returns indices; a description has neither"
        )
    arguments = {}
    for argument, parameter in _parameters(type(module)).items():
        value = _argument(module, argument)
        if parameter.default is inspect.Parameter.empty or value != parameter.default:
            arguments[argument] = value
    return {name: arguments} if arguments else name


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _argument(module: nn.Module, argument: str) -> object:
    value = getattr(module, argument)
    if argument == "bias":
        # without affine a batch norm has no bias either, whatever was asked for
        return value is not None or not getattr(module, "affine", True)
    if not isinstance(value, tuple):
        return value
    square = len(set(value)) == 1 and argument != "unflattened_size"
    return value[0] if square else list(value)
