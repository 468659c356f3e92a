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
from relu_attack.errors import ModelError, UnsupportedModuleError
from relu_attack.network._affine import Affine, identity, side_by_side
from relu_attack.network._layers import Layer
from relu_attack.network._loss import Loss
from relu_attack.network._network import Network
from relu_attack.network.operators import Diagonal, LinearOperator, Selection, Sparse, powers_of_two
from relu_attack.rounding import dot_error, gamma, tiny, to_double


@dataclass(eq=False)
class Lane:
    """A value on its way through the layers.

    Attributes
    ----------
    shape
        Shape of one row, without the batch dimension.
    affine
        What gives it from the last hidden layer, or from the input. Lanes with the same map, the very object, hold
        the same numbers.
    memory
        Stands for the memory of the value in the model: lanes with the same one change together when an operation works
        in place.
    """

    shape: tuple[int, ...]
    affine: Affine
    memory: object


@dataclass(frozen=True, eq=False)
class Visit:
    """A module that a forward pass enters, and where it stands in the model."""

    module: nn.Module
    path: str


@dataclass
class Builder:
    """Collects affine maps and activations while the modules of a model are walked in order.

    Rules see one current value. Others that are needed later are lanes beside it: each activation passes them on, by
    units of slope 1, from when they are kept until they are dropped.

    Attributes
    ----------
    shape
        Shape of one row of the current value, without the batch dimension.
    path
        Where in the model the rule stands, for messages: ``model[3][1]``.
    notes
        What lowering did with each module, one line each.
    visits
        The modules that were lowered, each as often as a forward pass enters it.
    """

    multiplies_matrices: ClassVar[bool] = True
    """Whether two dense matrices in a row become one where that is less work."""

    shape: tuple[int, ...]
    path: str = "model"
    notes: list[str] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    _layers: list[Layer] = field(default_factory=list)
    _kept: list[Lane] = field(default_factory=list)
    _passed: int = 0

    def __post_init__(self) -> None:
        self._input_shape = self.shape
        self._pending, self._memory = identity(self.size), object()

    @property
    def size(self) -> int:
        """Number of entries of the current value."""
        return math.prod(self.shape)

    @property
    def places(self) -> Tensor:
        """The place of each entry of the current value in its row, in the value's shape."""
        return torch.arange(self.size).reshape(self.shape)

    @property
    def follows_map(self) -> bool:
        """Whether an affine map stands since the last activation, so that the next one folds into it."""
        return not isinstance(self._pending.operator, Selection)

    def affine(
        self,
        operator: LinearOperator,
        bias: Tensor | None,
        shape: tuple[int, ...] | None = None,
        *,
        roundings: int = 0,
        lost: Tensor | None = None,
    ) -> None:
        """Append an affine map.

        Parameters
        ----------
        operator
            The linear half, float64 on the CPU.
        bias
            The numbers that are added, in the order of the outputs, of any shape, see `Affine`; None for zero.
        shape
            Shape of one row of the result; unchanged when not given.
        roundings
            How many roundings the coefficients have gone through since they were numbers of the model; with none they
            are exact.
        lost
            What the numbers that are added may have lost to rounding, shape (outputs,); nothing when not given.
        """
        if not operator.is_finite() or (bias is not None and not all_finite(bias)):
            raise ModelError(f"{self.path} has a coefficient that is NaN or infinite; train or load the model again")
        if bias is None:
            bias = torch.zeros((), dtype=torch.float64).expand(operator.outputs)
        loss = None
        if roundings or lost is not None:
            loss = Loss(gamma(roundings, torch.float64), operator if roundings else None, lost)
        after = Affine(operator, bias, loss).after(self._pending, matrices=self.multiplies_matrices)
        self._go_on(after, self.shape if shape is None else shape)

    def scale(self, factor: float) -> None:
        """Multiply every entry by a number."""
        self.affine(Diagonal(torch.full((self.size,), factor, dtype=torch.float64)), None)

    def shift(self, constant: Tensor, factor: float = 1.0) -> None:
        """Add a number times a constant, shape (entries,)."""
        added, lost = factor * constant, None
        if not powers_of_two(added.new_tensor(factor)):
            lost = dot_error(added.abs(), 1, constant.abs() + abs(factor))
        self.affine(Diagonal(torch.ones_like(added)), added, lost=lost)

    def divide(self, divisor: Tensor, *, roundings: int = 0) -> None:
        """Divide by constants other than 0, shape (entries,), which have gone through some roundings themselves."""
        inverse = 1 / divisor
        if bool((inverse.abs() < tiny(inverse.dtype)).any()):
            raise ModelError(f"{self.path} divides by {float(divisor.abs().max()):g}; supported: numbers up to 4e307")
        self.affine(Diagonal(inverse), None, roundings=roundings + (not powers_of_two(divisor)))

    def activate(self, slope: Tensor) -> None:
        """Append the activation ``max(z, slope z)``: slopes in [0, 1] in the order of the units, of any shape."""
        if not bool(((slope >= 0) & (slope <= 1)).all()):
            raise ModelError(f"{self.path} has a slope outside [0, 1]; its rule must rescale it")
        # The last lane first: the value that it holds is the most likely to have operators in common with this one.
        others = list({id(lane.affine): lane.affine for lane in reversed(self._kept)}.values())
        sizes = [each.operator.outputs for each in (self._pending, *others)]
        width, passed = sum(sizes), sum(sizes[1:])
        slopes = torch.cat([slope.flatten(), slope.new_ones(passed)]) if passed else slope
        self._layers.append(Layer(side_by_side([self._pending, *others]), slopes))
        self._passed += passed
        starts = itertools.accumulate(sizes[:-1], initial=0)
        current, *moved = (_stretch(start, size, width) for start, size in zip(starts, sizes, strict=True))
        after = dict(zip(map(id, others), moved, strict=True))
        for lane in self._kept:
            lane.affine = after[id(lane.affine)]
        self._go_on(current, self.shape)

    def reshape(self, shape: tuple[int, ...]) -> None:
        """Give the entries of a row another shape, in the same order."""
        self.shape = shape

    def select(self, source: Tensor) -> None:
        """Append a selection of entries: the value takes the shape of `source`, which holds their places."""
        shape, places = tuple(source.shape), source.flatten()
        count = places.shape[0]
        if count == self.size and bool((places == torch.arange(count)).all()):
            self.reshape(shape)
            return
        ones = torch.ones(count, dtype=torch.float64)
        operator = Sparse.from_triplets(torch.arange(count), places, ones, outputs=count, inputs=self.size)
        memory = self._memory
        self.affine(operator, None, shape)
        self._memory = memory  # in the model it may be a view

    def lane(self) -> Lane:
        """Return the current value as a lane."""
        return Lane(self.shape, self._pending, self._memory)

    def keep(self, lane: Lane) -> None:
        """Pass a lane on from here."""
        self._kept.append(lane)

    def drop(self, lane: Lane) -> None:
        """Pass a lane on no longer: what comes next is the last to take it."""
        self._kept.remove(lane)

    def resume(self, lane: Lane) -> None:
        """Go on from a lane."""
        self.shape, self._pending, self._memory = lane.shape, lane.affine, lane.memory

    def overwrite(self) -> None:
        """Say that what comes next works in place; refuse it where a lane would change with the current value."""
        if any(lane.memory is self._memory for lane in self._kept):
            raise UnsupportedModuleError(
                f"{self.path} works in place on a value that is used again, which changes it there too; "
                "supported: the same out of place (inplace=False, x = x + y)"
            )

    def add(self, lane: Lane) -> None:
        """Add a lane of the same shape to the current value."""
        self._go_on(self._pending.plus(lane.affine), self.shape)

    def join(self, lanes: Sequence[Lane], dimension: int) -> None:
        """Make several lanes, one after the other along a dimension, the current value."""
        sizes = [math.prod(lane.shape) for lane in lanes]
        self._go_on(side_by_side([lane.affine for lane in lanes]), (sum(sizes),))
        parts = zip(self.places.split(sizes), lanes, strict=True)
        self.select(torch.cat([part.reshape(lane.shape) for part, lane in parts], dimension))

    def note(self, text: str) -> None:
        """Record what was done with the current module."""
        beside = f"; {self._passed} more pass other values on" if self._passed else ""
        self.notes.append(f"{self.path}: {text}{beside}")
        self._passed = 0

    def refuse(self, module: nn.Module, reason: str) -> ModelError:
        """Return the error that names the place and the class, for a rule to raise."""
        return ModelError(f"{self.path} ({type(module).__name__}) {reason}")

    def build(self) -> Network:
        """Return the finished chain."""
        return Network(tuple(self._layers), self._pending, self._input_shape, self.shape)

    def _go_on(self, pending: Affine, shape: tuple[int, ...]) -> None:
        if math.prod(shape) == 0:
            raise ModelError(
                f"{self.path} leaves a value of shape {shape}, which has no entries; remove layers of width 0"
            )
        self.shape, self._pending, self._memory = shape, pending, object()


def _stretch(start: int, size: int, length: int) -> Affine:
    """Return the map that takes a stretch of what a layer holds."""
    return Affine(Selection(start, size, length), torch.zeros((), dtype=torch.float64).expand(size))


# The table that holds a rule vouches for the class of its module.
Rule: TypeAlias = Callable[[Any, Builder], None]


def exact(parameter: Tensor) -> Tensor:
    """Copy a parameter to float64 on the CPU: every float dtype fits, and the copy cannot move."""
    own = parameter.detach().to("cpu")
    return own.clone() if own.dtype == torch.float64 else to_double(own)
