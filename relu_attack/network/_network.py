"""The chain that every engine sees: affine maps and activations, nothing else.

h_0 = x,   z_l = A_l h_{l-1} + b_l,   h_l = max(z_l, a_l z_l),   f(x) = A_{L+1} h_L + b_{L+1}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.network._affine import Affine
from relu_attack.network._layers import Layer
from relu_attack.network.operators import Dense, Diagonal, PerProblem, steps_of

# Numbers of a layer that are evaluated at once, where nothing else of a pass is asked for.
_NUMBERS = 2**22


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
            rows(width) if operator.writes_out else None for operator, width in zip(operators, units, strict=True)
        ]
        self.activations = [None] * len(units) if in_place else in_turn(units, 1)
        self.in_place = in_place
        # The rows that go into the activation of a layer, on the way back; the last ones are not ours to write to.
        filled = [width if operator.writes_out else 0 for operator, width in zip(operators[1:], units, strict=False)]
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
    def multiply_adds(self) -> int:
        """Number of products in a forward pass of one point, at most."""
        operators = [*(layer.affine.operator for layer in self.layers), self.output.operator]
        return sum(step.outputs * step.row_nnz for operator in operators for step in steps_of(operator))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the coefficients."""
        return self.output.constants.dtype

    @property
    def device(self) -> torch.device:
        """Where the coefficients live."""
        return self.output.constants.device

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Network:
        """Return the network on another device or in another dtype."""
        layers = tuple(layer.to(device=device, dtype=dtype) for layer in self.layers)
        return Network(layers, self.output.to(device=device, dtype=dtype), self.input_shape, self.output_shape)

    def substitute(self, scale: Tensor, shift: Tensor) -> Network:
        """Return the network as a function of u with ``x = shift + scale u``, both of shape (inputs,)."""
        return self.after(Affine(Diagonal(scale.to(self.device, self.dtype)), shift.to(self.device, self.dtype)))

    def after(self, change: Affine) -> Network:
        """Return the network as a function of what an affine map makes its inputs from."""
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
            One tensor a layer, shape (batch, units), positive where active.
        objective
            Shape (batch, outputs); not needed for a network with one output.
        width
            Shape (batch, 1): if given, `pattern` are preactivations, and units close to their breakpoint count in part,
            as in `Layer.blend`.
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
