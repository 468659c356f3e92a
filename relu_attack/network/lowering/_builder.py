"""The builder that lowering rules write to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from relu_attack._checks import all_finite
from relu_attack._deadline import NEVER, Deadline
from relu_attack.errors import ModelError, UnsupportedModuleError
from relu_attack.network._affine import Affine, identity, side_by_side
from relu_attack.network._layers import Layer
from relu_attack.network._loss import Loss
from relu_attack.network._network import Network
from relu_attack.network.operators import Dense, Diagonal, LinearOperator, Selection, Sparse, powers_of_two
from relu_attack.rounding import dot_error, gamma, tiny, to_double

# The reciprocal of a steeper slope is subnormal.
_STEEPEST = 1e300


@dataclass(eq=False)
class LiveValue:
    """A value of the forward pass that a later operation may still read.

    `affine` is the map to the value from the last hidden layer, or from the input; values with the same map, by
    identity, are equal. `memory` is that of the value in the model, by identity: an in-place operation changes all
    values that share it. `shape` has no batch dimension.
    """

    shape: tuple[int, ...]
    affine: Affine
    memory: object


@dataclass(frozen=True, eq=False)
class Visit:
    """A module that a forward pass enters, and its path in the model."""

    module: nn.Module
    path: str


@dataclass
class Builder:
    """Target of lowering rules: a current value, to which a rule appends affine maps and activations.

    The rule of an elementwise layer calls `activate`, `scale`, `shift` and `divide`, that of a linear layer `affine`,
    that of a layer that moves entries `reshape` or `select`. Each rule ends with `note`.

    Attributes
    ----------
    shape
        Shape of one row of the current value, without the batch dimension.
    path
        Path of the current module in the model, for messages: ``model[3][1]``.
    deadline
        End of the call.
    notes
        One line for each lowered module.
    visits
        The lowered modules, each as often as a forward pass enters it.

    Notes
    -----
    Values that a later operation reads are saved beside the current one: each activation carries them in units of
    slope 1 from `save` to `free`.

    Examples
    --------
    The absolute value is a leaky ReLU of slope -1:

    >>> builder = Builder((3,))
    >>> builder.activate(-1.0)
    6
    >>> builder.build().forward(torch.tensor([[-2.0, 0.0, 0.5]]).double()).outputs
    tensor([[2.0000, 0.0000, 0.5000]], dtype=torch.float64)
    """

    multiplies_matrices: ClassVar[bool] = True
    """Whether the product of two consecutive dense matrices replaces them where it has fewer entries."""

    shape: tuple[int, ...]
    path: str = "model"
    deadline: Deadline = NEVER
    notes: list[str] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    _layers: list[Layer] = field(default_factory=list)
    _saved: list[LiveValue] = field(default_factory=list)
    _passed: int = 0

    def __post_init__(self) -> None:
        self._input_shape = self.shape
        self._pending, self._memory = identity(self.size), object()

    @property
    def size(self) -> int:
        """Number of entries of the current value."""
        return math.prod(self.shape)

    @property
    def offsets(self) -> Tensor:
        """Index of each entry of the current value in its flat row, in the value's shape."""
        return torch.arange(self.size).reshape(self.shape)

    @property
    def follows_map(self) -> bool:
        """Whether an affine map follows the last activation, so that the next map folds into it."""
        return not isinstance(self._pending.operator, Selection)

    def affine(
        self,
        operator: LinearOperator | Tensor,
        bias: Tensor | None = None,
        shape: tuple[int, ...] | None = None,
        *,
        roundings: int = 0,
        lost: Tensor | None = None,
    ) -> None:
        """Append an affine map.

        Parameters
        ----------
        operator
            The linear part: a `LinearOperator` in float64 on the CPU, or a matrix of shape (outputs, inputs).
        bias
            The constant part, in the order of the outputs, of any shape, see `Affine`; zero when None.
        shape
            Shape of one row of the result; when not given that of the value, or flat if the number of entries changes.
        roundings
            Number of roundings between the model's numbers and the coefficients; 0 for exact coefficients.
        lost
            Upper bounds of the rounding error of the bias, shape (outputs,); zero when not given.
        """
        if isinstance(operator, Tensor):
            operator = Dense(exact(operator))
        if shape is None:
            shape = self.shape if operator.outputs == self.size else (operator.outputs,)
        if (operator.inputs, operator.outputs) != (self.size, math.prod(shape)):
            raise ModelError(
                f"{self.path} is lowered to a map from {operator.inputs} to {operator.outputs} entries, which does not "
                f"fit values of shape {self.shape} and {shape}"
            )
        if not operator.is_finite() or (bias is not None and not all_finite(bias)):
            raise ModelError(f"{self.path} has a coefficient that is NaN or infinite; train or load the model again")
        if bias is None:
            bias = torch.zeros((), dtype=torch.float64).expand(operator.outputs)
        loss = None
        if roundings or lost is not None:
            loss = Loss(gamma(roundings, torch.float64), operator if roundings else None, lost)
        self._set(Affine(operator, bias, loss).after(self._pending, matrices=self.multiplies_matrices), shape)

    def scale(self, factor: Tensor | float) -> None:
        """Multiply by a number, or each entry by its own, shape (entries,)."""
        self.affine(Diagonal(self._each(factor).flatten()))

    def shift(self, constant: Tensor | float, factor: float = 1.0) -> None:
        """Add a number times a constant: a number or one for each entry, shape (entries,)."""
        constant = self._each(constant).flatten()
        added, lost = factor * constant, None
        if not powers_of_two(added.new_tensor(factor)):
            lost = dot_error(added.abs(), 1, constant.abs() + abs(factor))
        self.affine(Diagonal(torch.ones_like(added)), added, lost=lost)

    def divide(self, divisor: Tensor, *, roundings: int = 0) -> None:
        """Divide by nonzero constants, shape (entries,), that are themselves the result of some roundings."""
        inverse = 1 / divisor
        if bool((inverse.abs() < tiny(inverse.dtype)).any()):
            raise ModelError(f"{self.path} divides by {float(divisor.abs().max()):g}; supported: numbers up to 4e307")
        self.affine(Diagonal(inverse), None, roundings=roundings + (not powers_of_two(divisor)))

    def repeat(self, channels: Builder) -> None:
        """Append the elementwise affine map of another builder, one value of which stands for each channel here."""
        each = self.size // channels.size
        self._set(channels._pending.repeated(each).after(self._pending, matrices=self.multiplies_matrices), self.shape)

    def activate(self, slope: Tensor | float = 0.0) -> int:
        """Append the activation that is ``z`` for ``z > 0`` and ``slope z`` elsewhere.

        Parameters
        ----------
        slope
            Any finite slope, one for each entry in their order, of any shape, or one for all: 0 is ReLU, 0.01 a leaky
            ReLU, -1 the absolute value.

        Returns
        -------
        int
            The number of units: one for each entry, two for each of a negative slope.

        Notes
        -----
        - ``0 <= a <= 1``: one unit.
        - ``a > 1``: ``-a max(w, w / a)`` with ``w = -z``.
        - ``a < 0``: ``(1 - a) relu(z) + a z``, with a unit that carries z.

        The slope ``1 / a`` of a unit, or the number ``1 - a``, is rounded once; the rounding counts as one of the
        coefficient that multiplies the unit afterwards.
        """
        slope = self._each(slope)
        if bool(((slope >= 0) & (slope <= 1)).all()):
            self._append(slope)
            return self.size
        if not bool((slope <= _STEEPEST).all()) or not all_finite(slope):
            raise ModelError(
                f"{self.path} has a slope of {float(slope.max()):g}; supported: slopes up to {_STEEPEST:g}"
            )
        return self._rescale(slope.flatten())

    def _rescale(self, slope: Tensor) -> int:
        """Append an activation with slopes outside [0, 1], see `activate`, and return the number of its units."""
        steep, negative = slope > 1, torch.nonzero(slope < 0).flatten()
        shape, entries, ones = self.shape, slope.shape[0], torch.ones_like(slope)
        if bool(steep.any()):
            self.affine(Diagonal(torch.where(steep, -1.0, ones)))
        units, inputs = torch.arange(entries + len(negative)), torch.cat([torch.arange(entries), negative])
        if len(negative):
            copies = torch.ones(len(units), dtype=torch.float64)
            self.affine(
                Sparse.from_triplets(units, inputs, copies, outputs=len(units), inputs=entries), shape=(len(units),)
            )
        self._append(torch.cat([torch.where(steep, 1 / slope, slope.clamp_min(0)), ones[negative]]))
        after = torch.where(steep, -slope, torch.where(slope < 0, 1 - slope, ones))
        if len(negative):
            weights = torch.cat([after, slope[negative]])
            operator: LinearOperator = Sparse.from_triplets(inputs, units, weights, outputs=entries, inputs=len(units))
        else:
            operator = Diagonal(after)
        self.affine(operator, None, shape, roundings=2)
        return len(units)

    def _append(self, slope: Tensor) -> None:
        """Append the activation ``max(z, slope z)`` with slopes in [0, 1], one for each unit."""
        # The last value first: it is the most likely to have operators in common with the current one.
        others = list({id(value.affine): value.affine for value in reversed(self._saved)}.values())
        sizes = [each.operator.outputs for each in (self._pending, *others)]
        width, passed = sum(sizes), sum(sizes[1:])
        slopes = torch.cat([slope.flatten(), slope.new_ones(passed)]) if passed else slope
        self._layers.append(Layer(side_by_side([self._pending, *others]), slopes))
        self._passed += passed
        starts = itertools.accumulate(sizes[:-1], initial=0)
        current, *moved = (_slice(start, size, width) for start, size in zip(starts, sizes, strict=True))
        after = dict(zip(map(id, others), moved, strict=True))
        for value in self._saved:
            value.affine = after[id(value.affine)]
        self._set(current, self.shape)

    def reshape(self, shape: tuple[int, ...]) -> None:
        """Give the entries of a row another shape, in the same order."""
        self.shape = shape

    def select(self, source: Tensor) -> None:
        """Append a selection of entries: `source` holds the offset of each entry of the result, in its shape."""
        shape, offsets = tuple(source.shape), source.flatten()
        count = offsets.shape[0]
        if count == self.size and bool((offsets == torch.arange(count)).all()):
            self.reshape(shape)
            return
        ones = torch.ones(count, dtype=torch.float64)
        operator = Sparse.from_triplets(torch.arange(count), offsets, ones, outputs=count, inputs=self.size)
        memory = self._memory
        self.affine(operator, None, shape)
        self._memory = memory  # in the model it may be a view

    def current(self) -> LiveValue:
        """Return the current value, to save it or to return to it."""
        return LiveValue(self.shape, self._pending, self._memory)

    def save(self, value: LiveValue) -> None:
        """Carry a value through the following activations."""
        self._saved.append(value)

    def free(self, value: LiveValue) -> None:
        """End the carrying of a value; the next operation is the last to read it."""
        self._saved.remove(value)

    def switch_to(self, value: LiveValue) -> None:
        """Make a saved value the current one."""
        self.shape, self._pending, self._memory = value.shape, value.affine, value.memory

    def check_in_place(self) -> None:
        """Raise if an in-place operation on the current value would change a saved one."""
        if any(value.memory is self._memory for value in self._saved):
            raise UnsupportedModuleError(
                f"{self.path} works in place on a value that is used again, which changes it there too; "
                "supported: the same out of place (inplace=False, x = x + y)"
            )

    def add(self, value: LiveValue) -> None:
        """Add a value of the same shape to the current one."""
        self._set(self._pending.plus(value.affine), self.shape)

    def join(self, values: Sequence[LiveValue], dimension: int) -> None:
        """Make the concatenation of several values along a dimension the current value."""
        sizes = [math.prod(value.shape) for value in values]
        self._set(side_by_side([value.affine for value in values]), (sum(sizes),))
        parts = zip(self.offsets.split(sizes), values, strict=True)
        self.select(torch.cat([part.reshape(value.shape) for part, value in parts], dimension))

    def note(self, text: str) -> None:
        """Record the lowering of the current module in one line of `notes`."""
        beside = f"; {self._passed} more pass other values on" if self._passed else ""
        self.notes.append(f"{self.path}: {text}{beside}")
        self._passed = 0

    def refuse(self, module: nn.Module, reason: str) -> ModelError:
        """Return a `ModelError` that names the path and the class of a module, for its rule to raise."""
        return ModelError(f"{self.path} ({type(module).__name__}) {reason}")

    def build(self) -> Network:
        """Return the finished network."""
        return Network(tuple(self._layers), self._pending, self._input_shape, self.shape)

    def _each(self, numbers: Tensor | float) -> Tensor:
        """Return one number for each entry from those of a rule, in their shape: an expanded one takes no memory."""
        own = numbers if isinstance(numbers, Tensor) else torch.tensor(numbers, dtype=torch.float64)
        own = own if own.dtype == torch.float64 else exact(own)
        if own.dim() and own.numel() != self.size:
            raise ModelError(f"{self.path} is lowered with {own.numel()} numbers for a value of {self.size} entries")
        return own if own.dim() else own.expand(self.size)

    def _set(self, pending: Affine, shape: tuple[int, ...]) -> None:
        if math.prod(shape) == 0:
            raise ModelError(
                f"{self.path} leaves a value of shape {shape}, which has no entries; remove layers of width 0"
            )
        self.shape, self._pending, self._memory = shape, pending, object()


def _slice(start: int, size: int, length: int) -> Affine:
    """Return the map that selects consecutive entries of a layer."""
    return Affine(Selection(start, size, length), torch.zeros((), dtype=torch.float64).expand(size))


# The registry calls a rule only with modules of its own types.
Rule: TypeAlias = Callable[[Any, Builder], None]


def exact(parameter: Tensor) -> Tensor:
    """Copy a parameter to float64 on the CPU, which holds every float dtype exactly."""
    own = parameter.detach().to("cpu")
    return own.clone() if own.dtype == torch.float64 else to_double(own)
