"""The sequential piecewise-linear form of a network ("the chain"): affine maps and activations.

h_0 = x,   z_l = A_l h_{l-1} + b_l,   h_l = max(z_l, a_l z_l),   f(x) = A_{L+1} h_L + b_{L+1}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.network._affine import Affine
from relu_attack.network._layers import Layer
from relu_attack.network.operators import Dense, Diagonal, PerProblem, steps_of

# Entries of a layer that `values` evaluates at once: 32 MiB in float64.
_NUMBERS = 2**22


class Workspace:
    """Buffers of the kernels for one network and batch size, allocated once and reused.

    The next call with the same workspace overwrites what a kernel returned from it. All preactivations of a pass have
    buffers of their own; activations and sensitivities of different layers share theirs. Operators that return tensors
    of their own have no buffers.

    With `in_place`, activations overwrite the preactivations: their signs, which `Network.gradient` needs, stay the
    same, and less memory is moved; boundaries of linear regions cannot be computed from them.
    """

    def __init__(self, network: Network, batch: int, *, in_place: bool = False) -> None:
        def rows(width: int) -> Tensor:
            return torch.empty(batch, width, dtype=network.dtype, device=network.device)

        def shared_rows(widths: list[int], buffers: int) -> list[Tensor | None]:
            """Return rows that share a number of buffers in cyclic order; None for a width of 0."""
            shared = [rows(max(widths[start::buffers], default=0)).view(-1) for start in range(buffers)]
            return [
                shared[index % buffers][: batch * width].view(batch, width) if width else None
                for index, width in enumerate(widths)
            ]

        operators = [layer.affine.operator for layer in network.layers]
        units = [layer.units for layer in network.layers]
        self.preactivations = [
            rows(width) if operator.writes_out else None for operator, width in zip(operators, units, strict=True)
        ]
        self.activations = [None] * len(units) if in_place else shared_rows(units, 1)
        self.in_place = in_place
        # Rows before the activation of a layer in the backward pass; the last ones belong to the caller.
        filled = [width if operator.writes_out else 0 for operator, width in zip(operators[1:], units, strict=False)]
        self.sensitivities = shared_rows([*filled, *units[-1:]], 2)
        self.gradient = rows(network.inputs)
        self.outputs = rows(network.outputs)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of a forward pass.

    Attributes
    ----------
    outputs
        Shape (batch, outputs).
    preactivations
        One tensor for each layer, shape (batch, units).
    """

    outputs: Tensor
    preactivations: Sequence[Tensor]

    @property
    def pattern(self) -> tuple[Tensor, ...]:
        """The activation pattern: one boolean mask for each layer, true where the preactivation is positive."""
        return tuple(preactivation > 0 for preactivation in self.preactivations)


@dataclass(frozen=True, eq=False)
class Network:
    """A piecewise-linear network in sequential form, a snapshot of the model's weights.

    An activation pattern is one tensor for each layer, positive where a unit is active: the boolean masks of
    `Evaluation.pattern`, or the preactivations themselves, which avoids creating the masks.

    Attributes
    ----------
    layers
        The hidden layers.
    output
        The last affine map.
    input_shape, output_shape
        Shapes of one input and one output of the model.
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
    def multiply_adds(self) -> int:
        """Upper bound of the number of multiply-adds in a forward pass of one point."""
        operators = [*(layer.affine.operator for layer in self.layers), self.output.operator]
        return sum(step.outputs * step.row_nnz for operator in operators for step in steps_of(operator))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the coefficients."""
        return self.output.constants.dtype

    @property
    def device(self) -> torch.device:
        """The device of the coefficients."""
        return self.output.constants.device

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Network:
        """Return the network on another device or in another dtype."""
        layers = tuple(layer.to(device=device, dtype=dtype) for layer in self.layers)
        return Network(layers, self.output.to(device=device, dtype=dtype), self.input_shape, self.output_shape)

    def substitute(self, scale: Tensor, shift: Tensor) -> Network:
        """Return the network as a function of u with ``x = shift + scale u``, both of shape (inputs,)."""
        return self.after(Affine(Diagonal(scale.to(self.device, self.dtype)), shift.to(self.device, self.dtype)))

    def after(self, change: Affine) -> Network:
        """Return the composition of the network after an affine map."""
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
            A network with one output, the objective of the row's problem without its constant term, and the constant
            term of each problem, shape (problems,).
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
            Buffers to write to; new ones when not given.

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

    def values(self, x: Tensor, *, deadline: Deadline = NEVER) -> Tensor:
        """Return the outputs (batch, outputs) at `x` (batch, inputs) without storing preactivations.

        Beyond the deadline an `OutOfTimeError` is raised.
        """
        parts = []
        widest = max([self.inputs, *(layer.units for layer in self.layers)])
        for part in x.split(max(_NUMBERS // widest, 1)):
            for layer in self.layers:
                deadline.require()
                part = layer.affine.apply(part)
                part = layer.activate(part, out=part)
            parts.append(self.output.apply(part))
        return torch.cat(parts)

    def gradient(
        self,
        pattern: Sequence[Tensor],
        objective: Tensor | None = None,
        *,
        width: Tensor | None = None,
        workspace: Workspace | None = None,
    ) -> Tensor:
        """Return the gradient of ``objective . f`` with respect to the input, by transposes.

        Parameters
        ----------
        pattern
            One tensor for each layer, shape (batch, units), positive where active.
        objective
            Shape (batch, outputs); not needed for a network with one output.
        width
            Shape (batch, 1): if given, `pattern` are preactivations, and derivatives are smoothed as in `Layer.blend`.
        workspace
            Buffers to write to; new ones when not given.

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
            if objective is None:
                objective = torch.ones(batch, 1, dtype=self.dtype, device=self.device)
            rows = operator.transpose(objective)
        last = len(self.layers) - 1
        for index in range(last, -1, -1):
            layer = self.layers[index]
            signs = pattern[index] if pattern[index].dtype == self.dtype else pattern[index].to(self.dtype)
            out = buffers.sensitivities[index] if index == last else rows
            if width is None:
                sensitivity = layer.rescale(rows, signs, out=out)
            else:
                sensitivity = layer.blend(rows, signs, width, out=out)
            out = buffers.sensitivities[index - 1] if index else buffers.gradient
            rows = layer.affine.operator.transpose(sensitivity, out=out)
        return rows

    def tangent(self, pattern: Sequence[Tensor], direction: Tensor) -> tuple[Tensor, ...]:
        """Return the rate of each preactivation along a direction of the input, in forward mode.

        Parameters
        ----------
        pattern
            One tensor for each layer, shape (batch, units) or (1, units), positive where active.
        direction
            Shape (batch, inputs).

        Returns
        -------
        tuple of Tensor
            One tensor for each layer, shape (batch, units), and last the rate of the outputs (batch, outputs).
        """
        return tuple(self.rates(pattern, direction))

    def rates(self, pattern: Sequence[Tensor], direction: Tensor, *, in_place: bool = False) -> Iterator[Tensor]:
        """Yield the tensors of `tangent` layer by layer; with `in_place`, the next one overwrites the previous one."""
        for layer, signs in zip(self.layers, pattern, strict=True):
            rate = layer.affine.operator.apply(direction)
            yield rate
            signs = signs if signs.dtype == rate.dtype else signs.to(rate.dtype)
            direction = layer.rescale(rate, signs.expand_as(rate), out=rate if in_place else None)
        yield self.output.operator.apply(direction)


def dense_chain(weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Network:
    """Build a ReLU network from weight matrices (outputs, inputs) and biases (outputs,).

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
