"""Lowering of a torch model: the walk over its modules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeGuard

import torch
from torch import nn

from relu_attack._checks import check_model
from relu_attack._deadline import NEVER, Deadline
from relu_attack.errors import ModelError, UnsupportedModuleError
from relu_attack.network._network import Network
from relu_attack.network.lowering._builder import Builder, Visit
from relu_attack.network.lowering._call import advice
from relu_attack.network.lowering._checks import check_call, check_module
from relu_attack.network.lowering._graph import lower_graph
from relu_attack.network.lowering._registry import find_rule, layer_specs
from relu_attack.network.lowering._tracing import member, trace


@dataclass(frozen=True)
class Lowering:
    """A lowered model.

    Attributes
    ----------
    network
        The sequential form, in float64 on the CPU.
    notes
        One line for each module and each function that a forward calls: its path and its form.
    visits
        The modules that a forward pass enters, with repetition.
    """

    network: Network
    notes: tuple[str, ...]
    visits: tuple[Visit, ...]


def lower(model: nn.Module, input_shape: Iterable[int], *, deadline: Deadline = NEVER) -> Lowering:
    """Copy a model into the sequential piecewise-linear form: affine maps and activations.

    Parameters
    ----------
    model
        An ``nn.Sequential``, nested or not, a single supported module, or a module whose own forward calls supported
        modules and functions, such as a residual block; in evaluation mode where that matters.
    input_shape
        Shape of one input without the batch dimension.
    deadline
        Time limit, beyond which the next module raises an `OutOfTimeError`.

    Returns
    -------
    Lowering
        The network and notes on each module. Units of slope 1 carry values past layers that they skip.

    Raises
    ------
    UnsupportedModuleError
        For a module or function without an exact form; names its path, its class and what is supported.
    ModelError
        For a weight that is not finite, a shape that does not fit, or a layer in training mode.

    Examples
    --------
    >>> from torch import nn
    >>> lowering = lower(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1)), (3,))
    >>> lowering.network.units
    5
    >>> print(*lowering.notes, sep="\\n")
    model[0]: Linear 3 -> 5
    model[1]: ReLU, 5 units
    model[2]: Linear 5 -> 1
    """
    shape = tuple(input_shape)
    if not shape or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ModelError(f"input_shape is {shape}; give the shape of one input without the batch, such as (1, 28, 28)")
    check_model(model)
    for name, module in model.named_modules():
        check_call(module, member("model", name))
    builder = Builder(shape, deadline=deadline)
    with torch.no_grad():
        _walk(model, builder, "model")
    return Lowering(builder.build(), tuple(builder.notes), tuple(builder.visits))


def _walk(module: nn.Module, builder: Builder, path: str) -> None:
    builder.deadline.require()
    builder.path = path
    if not _is_leaf(module):
        lower_graph(trace(module, path, is_leaf=_is_leaf, enter=partial(_enter, builder)), builder, _walk)
        return
    _enter(builder, module, path)
    if _is_sequence(module):
        for index, child in enumerate(module):
            _walk(child, builder, f"{path}[{index}]")
        return
    rule = find_rule(module)
    if rule is None:
        supported = ", ".join(sorted({supported.__name__ for supported in layer_specs()} | {"Sequential"}))
        raise UnsupportedModuleError(
            f"{path} is {type(module).__name__}, which has no exact form here{advice(type(module).__name__)}; "
            f"supported: {supported}"
        )
    rule(module, builder)


def _enter(builder: Builder, module: nn.Module, path: str) -> None:
    """Check a module and record that a forward pass enters it."""
    check_module(module, path)
    builder.visits.append(Visit(module, path))


def _is_sequence(module: nn.Module) -> TypeGuard[nn.Sequential]:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _is_leaf(module: nn.Module) -> bool:
    """Whether a module is lowered by a rule of its own class; modules of torch are never traced."""
    return _is_sequence(module) or find_rule(module) is not None or type(module).__module__.startswith("torch.nn.")
