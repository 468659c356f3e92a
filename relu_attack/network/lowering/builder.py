"""The builder that lowering rules write to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from relu_attack._checks import all_finite
from relu_attack.errors import ModelError
from relu_attack.network.network import Affine, Layer, Network, identity
from relu_attack.network.operators import LinearOperator


@dataclass
class Builder:
    """Collects affine maps and activations while the modules of a model are walked in order.

    Attributes
    ----------
    shape
        Shape of one row of the current value, without the batch dimension.
    path
        Where in the model the rule stands, for messages: ``model[3][1]``.
    notes
        What lowering did with each module, one line each.
    """

    shape: tuple[int, ...]
    path: str = "model"
    notes: list[str] = field(default_factory=list)
    _layers: list[Layer] = field(default_factory=list)
    _pending: Affine | None = None

    def __post_init__(self) -> None:
        self._input_shape = self.shape

    @property
    def size(self) -> int:
        """Number of entries of the current value."""
        return math.prod(self.shape)

    @property
    def follows_map(self) -> bool:
        """Whether an affine map stands since the last activation, so that the next one folds into it."""
        return self._pending is not None

    def affine(self, operator: LinearOperator, bias: Tensor | None, shape: tuple[int, ...] | None = None) -> None:
        """Append an affine map.

        Parameters
        ----------
        operator
            The linear half, float64 on the CPU.
        bias
            The numbers that are added, in the order of the outputs, of any shape, see `Affine`; None for zero.
        shape
            Shape of one row of the result; unchanged when not given.
        """
        if not operator.is_finite() or (bias is not None and not all_finite(bias)):
            raise ModelError(f"{self.path} has a coefficient that is NaN or infinite; train or load the model again")
        if bias is None:
            bias = torch.zeros((), dtype=torch.float64).expand(operator.outputs)
        step = Affine(operator, bias)
        self._pending = step if self._pending is None else step.after(self._pending)
        self.shape = self.shape if shape is None else shape

    def activate(self, slope: Tensor) -> None:
        """Append the activation ``max(z, slope z)``: slopes in [0, 1] in the order of the units, of any shape."""
        if not bool(((slope >= 0) & (slope <= 1)).all()):
            raise ModelError(f"{self.path} has a slope outside [0, 1]; its rule must rescale it")
        self._layers.append(Layer(self._pending or identity(slope.numel()), slope))
        self._pending = None

    def reshape(self, shape: tuple[int, ...]) -> None:
        """Give the entries of a row another shape, in the same order."""
        self.shape = shape

    def note(self, text: str) -> None:
        """Record what was done with the current module."""
        self.notes.append(f"{self.path}: {text}")

    def refuse(self, module: nn.Module, reason: str) -> ModelError:
        """Return the error that names the place and the class, for a rule to raise."""
        return ModelError(f"{self.path} ({type(module).__name__}) {reason}")

    def build(self) -> Network:
        """Return the finished chain."""
        output = self._pending or identity(self.size)
        return Network(tuple(self._layers), output, self._input_shape, self.shape)


# The table that holds a rule vouches for the class of its module.
Rule: TypeAlias = Callable[[Any, Builder], None]


def exact(parameter: Tensor) -> Tensor:
    """Copy a parameter to float64 on the CPU: every float dtype fits, and the copy cannot move."""
    return parameter.detach().to("cpu", torch.float64, copy=True)
