"""The table of layers: the families of the package and those that users register."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from torch import nn

from relu_attack._registry import PLUGINS
from relu_attack.errors import OptionError
from relu_attack.network.lowering import (
    _activation,
    _average_pooling,
    _convolution,
    _dropout,
    _linear,
    _max_pooling,
    _normalization,
    _padding,
    _reshaping,
)
from relu_attack.network.lowering._builder import Builder, Rule
from relu_attack.network.lowering._layer_spec import PLAIN, ArgumentKind, Factory, LayerSpec

ModuleT = TypeVar("ModuleT", bound=nn.Module)

BUILT_IN: tuple[LayerSpec, ...] = (
    *_linear.LAYERS,
    *_convolution.LAYERS,
    *_normalization.LAYERS,
    *_activation.LAYERS,
    *_max_pooling.LAYERS,
    *_average_pooling.LAYERS,
    *_padding.LAYERS,
    *_reshaping.LAYERS,
    *_dropout.LAYERS,
)
"""The families of the package, in the order of the README's table."""

_specs: dict[type[nn.Module], LayerSpec] = {layer: spec for spec in BUILT_IN for layer in spec.types}


def layer_specs() -> Mapping[type[nn.Module], LayerSpec]:
    """Return the family of each supported torch module, registered ones included."""
    PLUGINS.load()
    return _specs


def find_rule(module: nn.Module) -> Rule | None:
    """Return the lowering rule of a module, or None.

    A subclass of a supported module has its rule only if it inherits the very same forward.
    """
    known = next((base for base in type(module).__mro__ if base in _specs), None)
    if known is None and type(module).__module__.partition(".")[0] != "torch":
        PLUGINS.load()
        known = next((base for base in type(module).__mro__ if base in _specs), None)
    return _specs[known].rule if known is not None and type(module).forward is known.forward else None


def layer_functions() -> dict[object, Factory]:
    """Return the factory of the equivalent module for each function and method of the table."""
    return {function: make for spec in _specs.values() for function, make in spec.functions.items()}


def onnx_operators() -> dict[str, Factory]:
    """Return the factory of the equivalent module for each ONNX operator that a layer's own rule serves."""
    return {operator: make for spec in _specs.values() for operator, make in spec.onnx.items()}


def register_layer(
    layer: type[ModuleT],
    rule: Callable[[ModuleT, Builder], None],
    *,
    arguments: Sequence[str] | None = None,
    functions: Mapping[object, Factory] | None = None,
    onnx: Mapping[str, Factory] | None = None,
) -> None:
    """Add a layer of your own to the supported ones, for this process.

    Parameters
    ----------
    layer
        The ``nn.Module`` subclass. Registering a class of the same module and name again replaces the former one.
    rule
        The lowering rule: appends to the `relu_attack.network.Builder` what a module of the class computes, exactly, as
        affine maps and activations. Each answer is checked against the model's own forward pass, but a bound of a model
        whose rule is wrong is wrong.
    arguments
        Names of the constructor arguments that `relu_attack.save_model` writes, each also an attribute of the module
        that holds a number, a word, true, false, None or a tuple of them. A layer whose constructor takes no argument
        needs none; others are not saved when not given. Loading needs the layer to be registered as well.
    functions
        Functions, such as ``torch.abs``, and names of tensor methods, such as ``"abs"``, that compute the same in the
        forward of a model, each with the class or a factory; it takes the function's arguments after the tensor.
    onnx
        ONNX operators that compute the same elementwise, such as ``"Abs"``, each with the class or a factory; it takes
        the operator's attributes, which must be numbers, by name.

    Raises
    ------
    OptionError
        For a class that is no module, is supported by the package itself, or has the name of another layer, and for
        arguments that its constructor does not take or lacks.

    Examples
    --------
    >>> import relu_attack as ra
    >>> class Abs(nn.Module):
    ...     def forward(self, x):
    ...         return x.abs()
    >>> def lower_abs(module, builder):
    ...     builder.activate(-1.0)  # z for z > 0, -z elsewhere
    ...     builder.note("Abs")
    >>> ra.register_layer(Abs, lower_abs)
    >>> ra.maximize(nn.Sequential(Abs(), nn.Linear(2, 1)).double(), ra.Box(-1.0, 1.0, shape=(2,)), seed=0).status.name
    'OPTIMAL'
    """
    if not (isinstance(layer, type) and issubclass(layer, nn.Module)):
        raise OptionError(f"layer must be a subclass of nn.Module, got {layer!r}")
    if not callable(rule):
        raise OptionError(f"rule must be a function of a module and a builder, got {rule!r}")
    former = next((known for known in (*_specs, nn.Sequential) if known.__name__ == layer.__name__), None)
    if former is not None and (former in _BUILT_IN_TYPES or _qualified(former) != _qualified(layer)):
        raise OptionError(f"a layer named {layer.__name__} is supported already, {_qualified(former)}; choose another")
    kinds = _argument_kinds(layer, arguments)
    if former is not None:
        del _specs[former]
    _specs[layer] = LayerSpec((layer,), rule, functions=functions or {}, arguments=kinds, onnx=onnx or {})


_BUILT_IN_TYPES = frozenset((*_specs, nn.Sequential))


def _qualified(layer: type[nn.Module]) -> str:
    return f"{layer.__module__}.{layer.__qualname__}"


def _argument_kinds(layer: type[nn.Module], arguments: Sequence[str] | None) -> dict[str, ArgumentKind] | None:
    """Return the kinds of the saved arguments of a registered layer, or None if it cannot be saved."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters: dict[str, Any] = {
        name: parameter
        for name, parameter in inspect.signature(layer).parameters.items()
        if parameter.kind not in variable
    }
    if arguments is None:
        return None if parameters else {}
    if isinstance(arguments, str):
        raise OptionError(f"arguments must be a sequence of names, got {arguments!r}; write [{arguments!r}]")
    unknown = [name for name in arguments if name not in parameters]
    if unknown:
        raise OptionError(
            f"{layer.__name__} takes no argument {unknown[0]!r}; it takes {', '.join(parameters) or 'none'}"
        )
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in arguments:
            raise OptionError(f"arguments lacks {name!r}, without which {layer.__name__} cannot be built again")
    return dict.fromkeys(arguments, PLAIN)
