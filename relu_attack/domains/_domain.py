"""What every set of inputs can do."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, check_is
from relu_attack._deadline import Deadline
from relu_attack.domains import _integrality
from relu_attack.domains._steepest import ProjectedMove, SteepestMove
from relu_attack.errors import DomainError

if TYPE_CHECKING:
    from relu_attack.domains._box import Box


@dataclass(frozen=True, kw_only=True)
class Inequalities:
    """A set as linear rows over its inputs x and, for some sets, auxiliary variables s.

    The set is all x such that, for some s, ``matrix @ (x, s) <= upper``, ``equality_matrix @ (x, s) =
    equality_value`` and ``lower_bounds <= (x, s) <= upper_bounds``.

    Attributes
    ----------
    matrix
        Shape (rows, inputs + auxiliary).
    upper
        Shape (rows,).
    equality_matrix
        Shape (equalities, inputs + auxiliary).
    equality_value
        Shape (equalities,).
    lower_bounds, upper_bounds
        Shape (inputs + auxiliary,); infinite where there is none.
    auxiliary
        How many of the columns, the last ones, are auxiliary variables.
    """

    matrix: Tensor
    upper: Tensor
    equality_matrix: Tensor
    equality_value: Tensor
    lower_bounds: Tensor
    upper_bounds: Tensor
    auxiliary: int = 0


class Domain(ABC):
    """A closed, bounded, convex, nonempty set of inputs, or a batch of such sets.

    Points are flat: ``(..., inputs)``. A batch of P sets broadcasts against points of shape
    ``(P, points, inputs)``: the tensors of a batched set have shape ``(P, 1, inputs)``, those of a
    single set ``(inputs,)``, so that each operation is written once. Points ``(points, inputs)`` given to a
    batch are the same points for each set.

    A set has two faces. One contains all its exact points and is for proofs: `bounding_box` and `inequalities`, made
    from the numbers that the user gave. The other lies inside and is for answers: what `project`, `round`, `sample` and
    `support` return lies in the set in real arithmetic (but for linear rows, which hold to `tolerance`).

    A point is returned in the dtype of its set: that of the tensors and arrays it is made from, float64 where there are
    only numbers and sequences. Random numbers are drawn on the CPU, so that a seed means the same on each device.

    Attributes
    ----------
    shape : tuple of int
        Shape of one input as the model takes it, for example ``(1, 28, 28)``.
    batch : int or None
        Number of sets P, or None for a single set.
    integer : tuple of int
        Flat indices of the inputs that must be whole numbers in an answer; the set itself is its relaxation.
    one_hot : tuple of tuple of int
        Groups of flat indices of which exactly one is 1 and the others are 0 in an answer; these are in `integer` too.
    """

    shape: tuple[int, ...]
    batch: int | None
    integer: tuple[int, ...] = ()
    one_hot: tuple[tuple[int, ...], ...] = ()

    @property
    def inputs(self) -> int:
        """Number of inputs of one point."""
        return math.prod(self.shape)

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The dtype in which points of the set are returned: float32 or float64."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the tensors of the set live."""

    @abstractmethod
    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Domain:
        """Return the set on another device or in another dtype.

        Points of a copy in a smaller dtype are for walking: they may be outside by a rounding. Proofs over it hold for
        the set that it was made from, and a copy of it in the first dtype is that set again.
        """

    def within(self, deadline: Deadline) -> Domain:
        """Return the set for a call that ends at a deadline: what takes long in it, such as programs, stops then.

        What it answers holds as before; after the deadline a box is larger, and a projection not the nearest point. By
        default that is the set itself, where nothing takes long.
        """
        return self

    def single(self, index: int) -> Domain:
        """Return set `index` of a batch as a set of its own; a single set is the same for every index."""
        if self.batch is None:
            return self
        raise DomainError(f"{type(self).__name__} has no batches; make one set for each problem")

    def take(self, rows: slice | Tensor) -> Domain:
        """Return some sets of a batch as a batch, given by a slice or by indices."""
        raise DomainError(f"{type(self).__name__} has no batches; make one set for each problem")

    @abstractmethod
    def project(self, points: Tensor) -> Tensor:
        """Return the nearest point of the set, in the Euclidean norm, for each of `points` (..., inputs)."""

    def project_(self, points: Tensor) -> Tensor:
        """Do as `project` does, but `points`, in the dtype of the set, may be overwritten with the answer."""
        return self.project(points)

    @abstractmethod
    def violation(self, points: Tensor) -> Tensor:
        """Return by how much each of `points` (..., inputs) leaves the set, shape (...): 0 inside.

        The largest violation over the constraints, each relative to its own scale.
        """

    @property
    def tolerance(self) -> float:
        """The violation up to which a point counts as inside: 0 unless the set has rows that no float can meet."""
        return 0.0

    def contains(self, points: Tensor, *, tolerance: float | None = None) -> Tensor:
        """Return which of `points` (..., inputs) lie in the set, shape (...).

        `tolerance` is the violation that is allowed; by default the set's own `tolerance`.
        """
        return self.violation(points) <= (self.tolerance if tolerance is None else tolerance)

    def round(self, points: Tensor) -> Tensor:
        """Return points of the set (..., inputs) near `points`, exactly whole where `integer` and `one_hot` ask for it.

        `points` are to lie in the set. Without integer inputs they are returned as they are; a point that is whole
        already stays.
        """
        return self._round(self._check_points(points)) if self.integer else points

    def _round(self, points: Tensor) -> Tensor:
        raise DomainError(f"{type(self).__name__} has no integer inputs; use a Box or a Polytope")

    def integrality(self, points: Tensor) -> Tensor:
        """Return how far each of `points` (..., inputs) is from whole at most, over its inputs, shape (...).

        The distance of an integer input to the nearest whole number, that of the inputs of a one-hot group to 1 for the
        largest and to 0 for the others. 0 exactly for a point that is integral.
        """
        return _integrality.integrality(self._check_points(points), self.integer, self.one_hot)

    def with_fixed(self, index: _integrality.Indices, values: ArrayLike) -> Domain:
        """Return the part of the set in which some inputs have given values.

        Parameters
        ----------
        index
            Flat indices of the inputs, or a boolean mask of the input's shape.
        values
            A number, or one for each of these inputs; for a batch also (P, 1, inputs that are fixed).

        Raises
        ------
        DomainError
            When no point of the set has these values, or the set is no `Box` or `Polytope`.
        """
        raise DomainError(f"inputs of a {type(self).__name__} cannot be fixed; those of a Box or a Polytope can")

    @abstractmethod
    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return random points of the set, shape (count, inputs), or (P, count, inputs) for a batch of sets."""

    @abstractmethod
    def support(self, direction: Tensor) -> Tensor:
        """Return a point of the set that maximizes ``direction . x``, for each of (..., inputs)."""

    @abstractmethod
    def max_step(self, points: Tensor, direction: Tensor) -> Tensor:
        """Return the largest t >= 0 with ``points + t direction`` in the set, shape (...).

        Infinite where the direction is zero; 0 where the point is outside or the first step leaves.
        """

    @property
    def is_polyhedral(self) -> bool:
        """Whether `inequalities` returns rows: linear programs over the set, and walks by them, need them."""
        return False

    @abstractmethod
    def inequalities(self) -> Inequalities:
        """Return rows that all exact points satisfy; raise `DomainError` for a set that has none or for a batch."""

    @abstractmethod
    def bounding_box(self) -> Box:
        """Return the smallest box that holds all exact points of the set, up to rounding outward."""

    @abstractmethod
    def normalized(self) -> tuple[Domain, Tensor, Tensor]:
        """Return the set in coordinates in which its widths are about 1.

        Returns
        -------
        domain, scale, shift
            The set of all u with ``x = shift + scale * u`` in this set, without `integer` and `one_hot`: points are
            rounded in the coordinates of this set. `scale` and `shift` have shape (inputs,). A set whose projection
            is not separable in scaled coordinates (a ball) uses one number for all inputs. An input of width 0 has
            scale 1. A batch shares scale and shift.
        """

    def steepest_move(self, walkers: int) -> SteepestMove:
        """Return the steepest move of so many walkers for each set along their gradients, in the norm of the set.

        By default it is along the gradient itself, and then to the nearest point of the set.
        """
        return ProjectedMove(self, walkers)

    def center(self) -> Tensor:
        """Return a point of the set in its middle, shape (inputs,) or (P, 1, inputs)."""
        box = self.bounding_box()
        return self.project(box.lower + (box.upper - box.lower) / 2)

    def corners(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return extreme points of the set in random directions, shaped as `sample` does."""
        leading = (count,) if self.batch is None else (self.batch, count)
        direction = normal(*leading, self.inputs, generator=generator)
        return self.support(direction.to(self.device, self.dtype))

    def _check_index(self, index: int) -> int:
        """Return the index of a set of the batch; raise `DomainError` where there is none."""
        sets = self.batch or 1
        if not isinstance(index, int) or not -sets <= index < sets:
            raise DomainError(f"there is no set {index!r}; the batch has {sets}, from 0 to {sets - 1}")
        return index

    def _check_points(self, points: Tensor) -> Tensor:
        check_is(points, Tensor, name="points", wanted="a tensor", error=DomainError)
        if points.dim() == 0 or points.shape[-1] != self.inputs:
            raise DomainError(
                f"{type(self).__name__} has {self.inputs} inputs, but the points have shape {tuple(points.shape)}; "
                f"the last dimension must be {self.inputs}"
            )
        sets = self.batch or 1
        if sets > 1 and points.dim() > 2 and points.shape[-3] not in (1, sets):
            raise DomainError(
                f"{type(self).__name__} is a batch of {sets} sets, but the points have shape {tuple(points.shape)}; "
                f"give ({sets}, points, {self.inputs})"
            )
        return points


def read_shape(shape: Sequence[int], *, name: str) -> tuple[int, ...]:
    """Return the shape of one input; raise `DomainError` unless it is a sequence of whole numbers from 0."""
    known = isinstance(shape, tuple | list) and all(isinstance(size, int) and size >= 0 for size in shape)
    if not known:
        raise DomainError(f"{name} shape must be whole numbers, such as (3,) or (1, 28, 28), got {shape!r}")
    return tuple(shape)


def resolve_shape(tensor: Tensor, shape: tuple[int, ...] | None, *, name: str) -> tuple[tuple[int, ...], int | None]:
    """Tell one input's shape from the batch of sets.

    Without `shape`, the last dimension of a 1-D or 2-D tensor, and the last three of a 3-D or 4-D
    one, are one input; a dimension before them counts the sets.

    Returns
    -------
    shape, batch
        Shape of one input, and the number of sets or None.

    Raises
    ------
    DomainError
        When the tensor fits neither.
    """
    dimensions = tuple(tensor.shape)
    if shape is None:
        if not 1 <= len(dimensions) <= 4:
            raise DomainError(f"{name} has shape {dimensions}; give numbers per input, or shape=(...) of one input")
        shape = dimensions[-1:] if len(dimensions) <= 2 else dimensions[-3:]
    shape = read_shape(shape, name=name)
    if math.prod(shape) == 0:
        raise DomainError(f"{name} has shape {dimensions}: there are no inputs; at least one is needed")
    if dimensions == shape or dimensions == (math.prod(shape),):
        return shape, None
    if dimensions[1:] in (shape, (math.prod(shape),)):
        if dimensions[0] == 0:
            raise DomainError(f"{name} is a batch of 0 sets; at least one is needed")
        return shape, dimensions[0]
    raise DomainError(f"{name} has shape {dimensions}, which is neither one input {shape} nor a batch of them")


def uniform(*size: int, generator: torch.Generator | None) -> Tensor:
    """Draw float64 numbers in [0, 1), on the device of the generator."""
    _check_sizes(size)
    return torch.rand(*size, generator=generator, dtype=torch.float64, device=generator.device if generator else None)


def normal(*size: int, generator: torch.Generator | None) -> Tensor:
    """Draw float64 standard normal numbers, on the device of the generator."""
    _check_sizes(size)
    return torch.randn(*size, generator=generator, dtype=torch.float64, device=generator.device if generator else None)


def _check_sizes(size: tuple[int, ...]) -> None:
    wrong = [count for count in size if not isinstance(count, int) or count < 0]
    if wrong:
        raise DomainError(f"the number of points must be a whole number from 0, got {wrong[0]!r}")


def flatten(tensor: Tensor, shape: tuple[int, ...], batch: int | None) -> Tensor:
    """Bring a tensor of sets to (inputs,) or (batch, 1, inputs)."""
    inputs = math.prod(shape)
    return tensor.reshape(inputs) if batch is None else tensor.reshape(batch, 1, inputs)
