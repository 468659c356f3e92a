"""What every set of inputs can do."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, check_is
from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains import _integrality
from relu_attack.domains._arrangement import normal, steps_to_bounds, uniform
from relu_attack.domains._deprecated import OldNames
from relu_attack.domains._halfspaces import Halfspaces
from relu_attack.domains._linear_constraints import LinearConstraints, sum_to_one
from relu_attack.domains._row_bounds import RowsInBox
from relu_attack.domains._steepest import ProjectedMove, SteepestMove
from relu_attack.domains._support import box_support
from relu_attack.domains._walked import WalkedSet
from relu_attack.errors import DomainError
from relu_attack.rounding import box_of, up


class Domain(OldNames, ABC):
    """A closed, bounded, convex, nonempty set of inputs, or a batch of such sets.

    Points are flat: ``(..., inputs)``. A batch of P sets broadcasts against points of shape
    ``(P, points, inputs)``: the tensors of a batched set have shape ``(P, 1, inputs)``, those of a
    single set ``(inputs,)``, so that each operation is written once. Points ``(points, inputs)`` given to a
    batch are the same points for each set.

    A set has two faces. One contains all its exact points and is for proofs: `bounding_box`, `upper_bound`, `excludes`
    and `linear_rows`, made from the numbers that the user gave. The other lies inside and is for answers: what
    `project`, `round`, `sample` and `maximizer` return lies in the set in real arithmetic (but for linear rows, which
    hold to `tolerance`).

    A set of your own is a subclass with the abstract methods; it then works with every method and bound that needs no
    linear rows. The other methods have defaults that hold for every set, and those that know more replace them.

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
    batch: int | None = None
    integer: tuple[int, ...] = ()
    one_hot: tuple[tuple[int, ...], ...] = ()
    _deadline: Deadline = NEVER

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._facts())})"

    def _facts(self) -> Iterator[str]:
        """Yield what the one line of `repr` says."""
        yield from ([] if self.batch is None else [f"batch={self.batch}"])
        yield from (f"inputs={self.inputs}", f"shape={self.shape}", f"dtype={str(self.dtype).removeprefix('torch.')}")
        if self.device.type != "cpu":
            yield f"device={str(self.device)!r}"
        if self.integer:
            yield f"integer={len(self.integer)}"
        if self.one_hot:
            yield f"one_hot={len(self.one_hot)}"

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

        What it answers holds as before; after the deadline a box is larger, a bound is that of the box, and a
        projection is not the nearest point. By default that is the set itself where it has no rows: nothing takes long.
        """
        if not self.is_polyhedral and not self.one_hot:
            return self
        timed = copy.copy(self)
        vars(timed)["_deadline"] = deadline
        return timed

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

        `index` are flat indices of the inputs, or a boolean mask of the input's shape; `values` is a number, or one for
        each of these inputs, for a batch also (P, 1, inputs that are fixed). DomainError is raised when no point of the
        set has these values, or the set is no `Box` or `Polytope`.
        """
        raise DomainError(f"inputs of a {type(self).__name__} cannot be fixed; those of a Box or a Polytope can")

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return random points of the set, shape (count, inputs), or (P, count, inputs) for a batch of sets.

        By default uniform points of the bounding box, projected.
        """
        box = self.bounding_box()
        share = uniform(*(() if self.batch is None else (self.batch,)), count, self.inputs, generator=generator)
        return self.project(torch.lerp(box.lower, box.upper, share.to(box.device, box.dtype)).to(self.dtype))

    @abstractmethod
    def maximizer(self, direction: Tensor) -> Tensor:
        """Return a point of the set that maximizes ``direction . x``, for each of (..., inputs)."""

    def approximate_maximizer(self, direction: Tensor) -> Tensor:
        """Return a point at which ``direction . x`` is about largest, perhaps just outside the set, cheaply.

        Subgradients are taken there; no bound relies on it. By default that is the `maximizer`.
        """
        return self.maximizer(direction)

    def max_step(self, points: Tensor, direction: Tensor) -> Tensor:
        """Return the largest t >= 0 with ``points + t direction`` in the set, shape (...).

        Infinite where the direction is zero; 0 where the point is outside or the first step leaves. By default found
        by bisection with `contains`.
        """
        box = self.bounding_box()
        beyond = steps_to_bounds(points, direction, box.lower, box.upper)
        inside, outside = torch.zeros_like(beyond), torch.where(torch.isfinite(beyond), beyond, 0.0)
        for _ in range(torch.finfo(beyond.dtype).bits):
            middle = inside + (outside - inside) / 2
            holds = self.contains(points + middle.unsqueeze(-1) * direction)
            inside, outside = torch.where(holds, middle, inside), torch.where(holds, outside, middle)
        return torch.where((direction == 0).all(-1) & self.contains(points), torch.inf, inside)

    def ascend(self, points: Tensor, gradient: Tensor, length: float | Tensor) -> Tensor:
        """Return points of the set that a step along a gradient leads to, from `points` (..., inputs) of it.

        The default of `steepest_move` takes such steps. By default the step is ``length * gradient``, and the point is
        then projected.
        """
        return self.project_((points + gradient * length).to(self.dtype))

    @property
    def is_box(self) -> bool:
        """Whether the set is its own bounding box (the relaxation: whole numbers and groups aside)."""
        return False

    @property
    def is_polyhedral(self) -> bool:
        """Whether `linear_rows` returns rows: linear programs over the set, and walks by them, need them."""
        return self.linear_rows() is not None

    def linear_rows(self) -> LinearConstraints | None:
        """Return rows that all exact points satisfy and no others, with the equations of the one-hot groups.

        By default None: the set is not polyhedral. None for a batch, too: each of its sets has rows of its own.
        """
        return None

    @property
    def has_auxiliary_rows(self) -> bool:
        """Whether `linear_rows` need columns beside the inputs; who has no use for such rows need not make them."""
        return False

    def require_linear_rows(self) -> LinearConstraints:
        """Return `linear_rows`; raise `DomainError` where there are none."""
        rows = self.linear_rows()
        if rows is None:
            kind = type(self).__name__
            raise DomainError(
                f"{kind} is not polyhedral: it has no linear rows; take a method without linear programs, or its "
                "bounding_box()"
                if self.batch is None
                else f"a batch of {self.batch} sets ({kind}) has no one set of rows; take one at a time, single(i)"
            )
        return rows

    @property
    def groups(self) -> LinearConstraints:
        """The equations that the inputs of each one-hot group sum to 1."""
        return sum_to_one(self.one_hot, self.inputs)

    def upper_bound(self, coefficients: Tensor) -> Tensor:
        """Return at least ``max coefficients . x`` over all exact points of the set, in real arithmetic.

        By default that is the bound of the `bounding_box`, or of `linear_rows` by weak duality where it is less; points
        outside of the one-hot groups do not count.

        Parameters
        ----------
        coefficients
            Linear functions, shape (..., inputs), broadcast as points are.

        Returns
        -------
        Tensor
            Shape (...), in the dtype of the coefficients; infinite where nothing is known.
        """
        rows, shape = self._rows_of_sets(coefficients)
        bound = self._box_bound(rows)
        if self.is_polyhedral or self.one_hot:
            exact = self.to(device="cpu", dtype=torch.float64)
            for index, own in enumerate(rows):
                around = RowsInBox.around(exact.single(index))
                found = around.upper_bound(own.to("cpu", torch.float64), deadline=self._deadline).to(own.device)
                found = found if own.dtype == torch.float64 else up(found.to(own.dtype))
                bound[index] = torch.minimum(bound[index], found)
        return bound.reshape(shape)

    def excludes(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Return which boxes surely hold no exact point of this single set, shape (boxes,).

        By default those that one of the `linear_rows` rules out, or the halfspace at the projection of their middle:
        its side is `upper_bound`, so that its direction need not be exact. The ends of the boxes are (boxes, inputs),
        in float64.
        """
        if self.is_polyhedral and not self.has_auxiliary_rows:
            return Halfspaces.of(self).to(lower.device).excludes(lower, upper)
        middle = lower + (upper - lower) / 2
        normals = middle - self.project(middle).to(middle)
        least = -box_support(lower, upper)(-normals[:, None])[:, 0]
        return least > self.upper_bound(normals)

    @abstractmethod
    def bounding_box(self) -> Hyperrectangle:
        """Return the smallest box that holds all exact points of the set, up to rounding outward."""

    def outer_box(self) -> Hyperrectangle:
        """Return a box that holds all exact points, at no cost beside that of a step; by default the smallest."""
        return self.bounding_box()

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

    def widths(self) -> Tensor:
        """Return about how wide the set is along each input, as walks measure their steps, (inputs,) or (P, 1, inputs).

        By default the widths of the bounding box.
        """
        box = self.bounding_box()
        return box.upper - box.lower

    def walked(self, walkers: int, *, products: int) -> WalkedSet:
        """Return the set as one ascent of `walkers` rows for each set meets it: starts, and projections along the way.

        `products` are the multiplications of a step of one walker beside those: where it costs much, projections may.
        """
        return WalkedSet(self, walkers)

    def steepest_move(self, walkers: int) -> SteepestMove:
        """Return the steepest move of `walkers` for each set along their gradients, in the norm of the set.

        By default it is `ascend` by a share of the size of the bounding box.
        """
        box = self.bounding_box()
        return ProjectedMove(self.ascend, box.upper - box.lower, walkers)

    def center(self) -> Tensor:
        """Return a point of the set in its middle, shape (inputs,) or (P, 1, inputs)."""
        box = self.bounding_box()
        return self.project(box.lower + (box.upper - box.lower) / 2)

    def corners(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return extreme points of the set in random directions, shaped as `sample` does."""
        leading = (count,) if self.batch is None else (self.batch, count)
        direction = normal(*leading, self.inputs, generator=generator)
        return self.maximizer(direction.to(self.device, self.dtype))

    def join(self, others: Sequence[Domain]) -> Domain | None:
        """Return one batch of this single set and others, in order; None where sets of their kinds have no batches."""
        return None

    def representable(self, point: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
        """Yield points near a `point` (inputs,) of the set, float64, whose entries are numbers of another dtype.

        They may lie outside by a rounding, the first is the best one inside, and the last may keep its precision where
        the set hardly has such points.
        """
        yield point.to(dtype).double()
        if self.tolerance:  # equations may have no solution in less than float64
            yield point

    def _rows_of_sets(self, coefficients: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Return linear functions as (sets, functions, inputs), and the shape of their values."""
        rows = self._check_points(coefficients)
        if self.batch is None:
            return rows.reshape(1, -1, self.inputs), tuple(rows.shape[:-1])
        rows = rows.expand(self.batch, *rows.shape[-2:]) if rows.dim() > 1 else rows.expand(self.batch, 1, -1)
        return rows, tuple(rows.shape[:-1])

    def _box_bound(self, rows: Tensor) -> Tensor:
        """Return upper bounds of rows (sets, functions, inputs) over the bounding boxes, shape (sets, functions)."""
        box = self.bounding_box()
        lower, upper = (end.to(rows.device).reshape(-1, self.inputs) for end in (box.lower, box.upper))
        return up(box_support(*box_of(lower, upper, rows.dtype))(rows.clone()))

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


class Hyperrectangle(Domain):
    """A set of lower and upper bounds for each input, (inputs,), or (P, 1, inputs) for a batch of sets."""

    lower: Tensor
    upper: Tensor
