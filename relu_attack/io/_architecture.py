"""Conversion between a model's architecture and plain data for YAML and JSON."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from torch import nn

from relu_attack._limits import NESTING
from relu_attack.errors import FileFormatError, UnsupportedModuleError
from relu_attack.network import ArgumentKind, layer_specs

Architecture: TypeAlias = "Sequence[Any] | Mapping[str, Any]"


def build(architecture: Architecture) -> nn.Sequential:
    """Build the model that an architecture describes, in evaluation mode, with the random initial weights of torch.

    A layer is its name (``"ReLU"``), or a mapping of its name to its arguments: by name (``{"Linear": {"in_features":
    8, "out_features": 64}}``), in order (``{"Linear": [8, 64]}``), or a single one (``{"MaxPool2d": 2}``).
    ``{"Sequential": [...]}`` nests. A mapping of names to layers in place of a list names the layers, as ``{"hidden":
    {"Linear": [8, 64]}, "relu": "ReLU"}``, for weights that are stored by name. FileFormatError names the place of an
    unknown layer or a bad argument, and the accepted values.

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
    """Describe a model in the form that `build` reads. Arguments with the default value are left out.

    The model is an ``nn.Sequential``, nested or not, or a single layer; the result is a list, or a dict if the layers
    have names of their own. It has neither weights nor dtype, and no ``inplace``, which does not change values.
    UnsupportedModuleError names the place of a module without a description, or one with hooks.

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
    layer_types = _layer_types()
    if name not in layer_types:
        raise FileFormatError(f"{place}: unknown layer {name!r}; known are {', '.join(layer_types)}, Sequential")
    layer_type = layer_types[name]
    checked = _check_arguments(layer_type, arguments, f"{place} ({name})")
    try:
        return layer_type(**checked)
    except (TypeError, ValueError, RuntimeError, AssertionError, ArithmeticError) as reason:
        raise FileFormatError(f"{place} ({name}): {' '.join(str(reason).split())}") from None


def _layer_types() -> dict[str, type[nn.Module]]:
    """Return the layers that can be saved, by name. Nothing else can be built from a file."""
    return {layer.__name__: layer for layer, spec in layer_specs().items() if spec.arguments is not None}


def _check_arguments(layer_type: type[nn.Module], arguments: object, place: str) -> dict[str, Any]:
    parameters, kinds = _parameters(layer_type), _kinds(layer_type)
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
    checked = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    for argument, value in checked.items():
        kind = kinds[argument]
        if not kind.accepts(value):
            raise FileFormatError(f"{place}: {argument} must be {kind.words}, got {given[argument]!r}")
    return checked


def _kinds(layer_type: type[nn.Module]) -> Mapping[str, ArgumentKind]:
    return layer_specs()[layer_type].arguments or {}


def _parameters(layer_type: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """Return the saved constructor arguments of a layer in the order of its signature."""
    kinds = _kinds(layer_type)
    return {name: parameter for name, parameter in inspect.signature(layer_type).parameters.items() if name in kinds}


def _enumerate(parameters: Mapping[str, object]) -> str:
    return ", ".join(parameters) or "no arguments"


def _describe_sequential(model: nn.Sequential, place: str) -> Architecture:
    if type(model).forward is not nn.Sequential.forward or _has_hooks(model):
        raise UnsupportedModuleError(f"{place} ({type(model).__name__}) changes what nn.Sequential computes")
    # named_children() leaves out repeated modules
    children = [(name, child) for name, child in model._modules.items() if child is not None]
    if [name for name, _ in children] == [str(index) for index in range(len(children))]:
        return [_describe_layer(child, f"{place}[{name}]") for name, child in children]
    return {name: _describe_layer(child, f"{place}[{name!r}]") for name, child in children}


def _describe_layer(module: nn.Module, place: str) -> str | dict[str, Any]:
    if isinstance(module, nn.Sequential):
        return {"Sequential": _describe_sequential(module, place)}
    name = type(module).__name__
    # A subclass may compute something else.
    if _layer_types().get(name) is not type(module):
        raise UnsupportedModuleError(
            f"{place}: {name} cannot be described; known are {', '.join(_layer_types())}, Sequential"
        )
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
        # without affine a batch norm has no bias, whatever the argument
        return value is not None or not getattr(module, "affine", True)
    if not isinstance(value, tuple):
        return value
    square = len(set(value)) == 1 and argument != "unflattened_size"
    return value[0] if square else list(value)
