"""The chain that every engine sees: affine maps and activations, nothing else.

h_0 = x,   z_l = A_l h_{l-1} + b_l,   h_l = max(z_l, a_l z_l),   f(x) = A_{L+1} h_L + b_{L+1}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from relu_attack.network.operators import (
    Composition,
    Convolution,
    Dense,
    Diagonal,
    LinearOperator,
    PerProblem,
    Selection,
    compose,
)

# Numbers of a layer that are evaluated at once, where nothing else of a pass is asked for.
_NUMBERS = 2**22

_threshold_backward = torch.ops.aten.threshold_backward.grad_input


@dataclass(frozen=True, eq=False)
class Affine:
    """An affine map ``x -> A x + bias``.

    Attributes
    ----------
    operator
        The linear map A.
    constants
        The bias, its entries in the order of the outputs, of any shape. A number that many outputs share, such as those
        of a channel, may be an expanded view, which takes no memory.
    """

    operator: LinearOperator
    constants: Tensor

    @property
    def bias(self) -> Tensor:
        """The bias as a vector, shape (outputs,)."""
        return self.constants.reshape(-1)

    @cached_property
    def _added(self) -> Tensor | None:
        """The bias as the operator is to add it: not at all, one number a channel, or a vector."""
        shared = _narrow(self.constants)
        if shared.numel() == 1 and not bool(shared.any()):
            return None
        last = self.operator.operators[-1] if isinstance(self.operator, Composition) else self.operator
        if isinstance(last, Convolution) and shared.shape == (last.output_shape[0], 1):
            return shared[:, 0]
        with torch.inference_mode(False):  # it outlives the call, and may have to meet autograd
            return self.bias

    def apply(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return the map's value for each row of `x` (batch, inputs)."""
        return self.operator.apply(x, bias=self._added, out=out)

    def after(self, first: Affine) -> Affine:
        """Return this map after `first`, as one map."""
        unchanged = first._added is None
        constants = self.constants if unchanged else self.operator.apply(first.bias[None], bias=self.bias)[0]
        return Affine(compose(first.operator, self.operator), constants)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Affine:
        """Return the map on another device or in another dtype."""
        return Affine(self.operator.to(device=device, dtype=dtype), _to(self.constants, device, dtype))


def _narrow(shared: Tensor) -> Tensor:
    """Return one number for all places that share it: a view whose dimensions that were expanded have size 1."""
    return shared[tuple(slice(0, 1 if stride == 0 else None) for stride in shared.stride())]


def _to(shared: Tensor, device: torch.device | str | None, dtype: torch.dtype | None) -> Tensor:
    """Convert a tensor; what was expanded stays so."""
    return _narrow(shared).to(device=device, dtype=dtype).expand(shared.shape)


@dataclass(frozen=True, eq=False)
class Layer:
    """An affine map and the activation ``z -> max(z, slope z)`` of its units.

    Attributes
    ----------
    affine
        The map from the layer before.
    slopes
        Each in [0, 1]: 0 is ReLU, 1 passes the value through. In the order of the units, of any shape, as the constants
        of an affine map.
    """

    affine: Affine
    slopes: Tensor

    @property
    def slope(self) -> Tensor:
        """The slopes as a vector, shape (units,)."""
        return self.slopes.reshape(-1)

    @property
    def units(self) -> int:
        """Number of units of the layer."""
        return self.slopes.numel()

    @cached_property
    def is_relu(self) -> bool:
        """Whether every unit is a plain ReLU, for which the kernels have a shorter way."""
        return not bool(_narrow(self.slopes).any())

    @cached_property
    def passes(self) -> Tensor | None:
        """Which units pass their value through and so have no breakpoint, shaped as `slopes`; None if none does."""
        mask = _narrow(self.slopes) == 1
        return mask.expand(self.slopes.shape) if bool(mask.any()) else None

    @cached_property
    def _floor(self) -> Tensor | None:
        """The least value of each unit where no slope is between 0 and 1, shaped as `slopes`; else None.

        With it the activation and its derivative need no product and no memory for one.
        """
        slopes = _narrow(self.slopes)
        if not bool(((slopes == 0) | (slopes == 1)).all()):
            return None
        return torch.where(slopes == 1, -torch.inf, 0.0).to(slopes.dtype).expand(self.slopes.shape)

    def activate(self, preactivation: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return ``max(z, slope z)``."""
        if self.is_relu:
            return torch.clamp_min(preactivation, 0.0, out=out)
        shaped = self._shape(preactivation)
        other = shaped * self.slopes if self._floor is None else self._floor
        return torch.maximum(shaped, other, out=None if out is None else self._shape(out)).flatten(1)

    def rescale(self, rows: Tensor, pattern: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return `rows` times the derivative of the activation, where `pattern` > 0 marks active units."""
        out = torch.empty_like(rows, memory_format=torch.contiguous_format) if out is None else out
        if self.is_relu:
            _threshold_backward(rows, pattern, 0.0, grad_input=out)
            return out
        shaped, signs = self._shape(rows), self._shape(pattern)
        if self._floor is None:
            torch.where(signs > 0, shaped, shaped * self.slopes, out=self._shape(out))
        else:
            torch.where(signs > self._floor, shaped, shaped.new_zeros(()), out=self._shape(out))
        return out

    def _shape(self, rows: Tensor) -> Tensor:
        """Give rows (batch, units) the shape of the slopes."""
        return rows.view(-1, *self.slopes.shape)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Layer:
        """Return the layer on another device or in another dtype."""
        return Layer(self.affine.to(device=device, dtype=dtype), _to(self.slopes, device, dtype))


class Workspace:
    """Buffers of the kernels for one network and batch size, allocated once and reused.

    What a kernel returns from a workspace is overwritten by the next call with the same workspace. Of a pass all
    preactivations are kept; of the activations and of the sensitivities, which come after one another, only those
    at hand. Operators that return tensors of their own are given no buffers.

    Parameters
    ----------
    network
        The network whose passes use the buffers.
    batch
        Number of rows.
    in_place
        Whether activations overwrite the preactivations. Their signs stay, which is all that `Network.gradient` needs,
        and there is less memory to move; walls of linear regions cannot be told from them.
    """

    def __init__(self, network: Network, batch: int, *, in_place: bool = False) -> None:
        def rows(width: int) -> Tensor:
            return torch.empty(batch, width, dtype=network.dtype, device=network.device)

        def in_turn(widths: list[int], buffers: int) -> list[Tensor | None]:
            """Return rows that share as many buffers, one after the other; None for a width of 0."""
            shared = [rows(max(widths[start::buffers], default=0)).view(-1) for start in range(buffers)]
            return [
                shared[index % buffers][: batch * width].view(batch, width) if width else None
                for index, width in enumerate(widths)
            ]

        operators = [layer.affine.operator for layer in network.layers]
        units = [layer.units for layer in network.layers]
        self.preactivations = [
            rows(width) if operator.fills else None for operator, width in zip(operators, units, strict=True)
        ]
        self.activations = [None] * len(units) if in_place else in_turn(units, 1)
        self.in_place = in_place
        # The rows that go into the activation of a layer, on the way back; the last ones are not ours to write to.
        filled = [width if operator.fills else 0 for operator, width in zip(operators[1:], units, strict=False)]
        self.sensitivities = in_turn([*filled, *units[-1:]], 2)
        self.gradient = rows(network.inputs)
        self.outputs = rows(network.outputs)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a forward pass leaves behind.

    Attributes
    ----------
    outputs
        Shape (batch, outputs).
    preactivations
        One tensor a layer, shape (batch, units).
    """

    outputs: Tensor
    preactivations: Sequence[Tensor]

    @property
    def pattern(self) -> tuple[Tensor, ...]:
        """The activation pattern: one boolean mask a layer, true where the preactivation is positive."""
        return tuple(preactivation > 0 for preactivation in self.preactivations)


@dataclass(frozen=True, eq=False)
class Network:
    """A piecewise-linear network as a chain; a snapshot, so what is certified of it cannot move.

    A pattern is one tensor a layer, positive where a unit is active: the boolean masks of
    `Evaluation.pattern`, or the preactivations themselves, which saves making the masks.

    Attributes
    ----------
    layers
        The hidden layers.
    output
        The last affine map.
    input_shape, output_shape
        Shapes of one input and one output as the model has them.
    """

    layers: tuple[Layer, ...]
    output: Affine
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.layers[0].affine.operator.inputs if self.layers else self.output.operator.inputs

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.output.operator.outputs

    @property
    def units(self) -> int:
        """Number of hidden units."""
        return sum(layer.units for layer in self.layers)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the coefficients."""
        return self.output.bias.dtype

    @property
    def device(self) -> torch.device:
        """Where the coefficients live."""
        return self.output.bias.device

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Network:
        """Return the network on another device or in another dtype."""
        layers = tuple(layer.to(device=device, dtype=dtype) for layer in self.layers)
        return Network(layers, self.output.to(device=device, dtype=dtype), self.input_shape, self.output_shape)

    def substitute(self, scale: Tensor, shift: Tensor) -> Network:
        """Return the network as a function of u with ``x = shift + scale u``, both of shape (inputs,)."""
        change = Affine(Diagonal(scale.to(self.device, self.dtype)), shift.to(self.device, self.dtype))
        if not self.layers:
            return Network((), self.output.after(change), self.input_shape, self.output_shape)
        first = Layer(self.layers[0].affine.after(change), self.layers[0].slope)
        return Network((first, *self.layers[1:]), self.output, self.input_shape, self.output_shape)

    def with_objective(self, objective: Tensor) -> tuple[Network, Tensor]:
        """Fold one linear objective for each problem into the last affine map.

        Parameters
        ----------
        objective
            Shape (problems, outputs).

        Returns
        -------
        network, offset
            A network with one output, the objective of the row's problem less its constant, and that
            constant for each problem, shape (problems,).
        """
        objective = objective.to(self.device, self.dtype)
        weight = self.output.operator.transpose(objective)
        output = Affine(PerProblem(weight), weight.new_zeros(1))
        return Network(self.layers, output, self.input_shape, (1,)), objective @ self.output.bias

    def forward(self, x: Tensor, *, workspace: Workspace | None = None) -> Evaluation:
        """Evaluate the network.

        Parameters
        ----------
        x
            Flat inputs, shape (batch, inputs).
        workspace
            Buffers to write to; fresh ones when not given.

        Returns
        -------
        Evaluation
            Outputs and preactivations.
        """
        buffers = workspace or Workspace(self, x.shape[0])
        preactivations = []
        for index, layer in enumerate(self.layers):
            preactivation = layer.affine.apply(x, out=buffers.preactivations[index])
            x = layer.activate(preactivation, out=preactivation if buffers.in_place else buffers.activations[index])
            preactivations.append(preactivation)
        return Evaluation(self.output.apply(x, out=buffers.outputs), preactivations)

    def values(self, x: Tensor) -> Tensor:
        """Return the outputs (batch, outputs) at `x` (batch, inputs), and keep nothing of the layers before."""
        parts = []
        widest = max([self.inputs, *(layer.units for layer in self.layers)])
        for part in x.split(max(_NUMBERS // widest, 1)):
            for layer in self.layers:
                part = layer.affine.apply(part)
                part = layer.activate(part, out=part)
            parts.append(self.output.apply(part))
        return torch.cat(parts)

    def gradient(
        self, pattern: Sequence[Tensor], objective: Tensor | None = None, *, workspace: Workspace | None = None
    ) -> Tensor:
        """Return the gradient of ``objective . f`` with respect to the input, by transposes.

        Parameters
        ----------
        pattern
            One tensor a layer, shape (batch, units), positive where active.
        objective
            Shape (batch, outputs); not needed for a network with one output.
        workspace
            Buffers to write to; fresh ones when not given.

        Returns
        -------
        Tensor
            Shape (batch, inputs).
        """
        known = pattern[0] if pattern else workspace.gradient if workspace else objective
        batch = 1 if known is None else known.shape[0]
        buffers = workspace or Workspace(self, batch)
        operator = self.output.operator
        if objective is None and isinstance(operator, PerProblem):
            rows = operator.rows(batch)
        else:
            one = torch.ones(batch, 1, dtype=self.dtype, device=self.device)
            rows = operator.transpose(one if objective is None else objective)
        last = len(self.layers) - 1
        for index in range(last, -1, -1):
            layer = self.layers[index]
            signs = pattern[index] if pattern[index].dtype == self.dtype else pattern[index].to(self.dtype)
            sensitivity = layer.rescale(rows, signs, out=buffers.sensitivities[index] if index == last else rows)
            out = buffers.sensitivities[index - 1] if index else buffers.gradient
            rows = layer.affine.operator.transpose(sensitivity, out=out)
        return rows

    def tangent(self, pattern: Sequence[Tensor], direction: Tensor) -> tuple[Tensor, ...]:
        """Return the rate of each preactivation along a direction of the input, in forward mode.

        Parameters
        ----------
        pattern
            One tensor a layer, shape (batch, units) or (1, units), positive where active.
        direction
            Shape (batch, inputs).

        Returns
        -------
        tuple of Tensor
            One tensor a layer, shape (batch, units), and last the rate of the outputs (batch, outputs).
        """
        return tuple(self.rates(pattern, direction))

    def rates(self, pattern: Sequence[Tensor], direction: Tensor, *, in_place: bool = False) -> Iterator[Tensor]:
        """Yield what `tangent` returns, layer by layer; `in_place` each is overwritten when the next is asked for."""
        for layer, signs in zip(self.layers, pattern, strict=True):
            rate = layer.affine.operator.apply(direction)
            yield rate
            signs = signs if signs.dtype == rate.dtype else signs.to(rate.dtype)
            direction = layer.rescale(rate, signs.expand_as(rate), out=rate if in_place else None)
        yield self.output.operator.apply(direction)


def identity(size: int, *, dtype: torch.dtype = torch.float64) -> Affine:
    """Return the affine map that changes nothing."""
    return Affine(Selection(0, size, size), torch.zeros((), dtype=dtype).expand(size))


def dense_chain(weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Network:
    """Build a plain ReLU network from weight matrices (outputs, inputs) and biases (outputs,).

    Examples
    --------
    >>> import torch
    >>> network = dense_chain([torch.eye(2), torch.ones(1, 2)], [torch.zeros(2), torch.zeros(1)])
    >>> network.forward(torch.tensor([[1.0, -2.0]])).outputs
    tensor([[1.]])
    """
    maps = [Affine(Dense(weight), bias) for weight, bias in zip(weights, biases, strict=True)]
    layers = tuple(Layer(affine, torch.zeros_like(affine.bias)) for affine in maps[:-1])
    return Network(layers, maps[-1], (weights[0].shape[1],), (weights[-1].shape[0],))
