"""Boxes: a lower and an upper bound for each input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from typing_extensions import Self

from relu_attack._checks import ArrayLike, all_finite, as_tensor, common_dtype, first_index
from relu_attack.domains import _integrality
from relu_attack.domains._arrangement import flatten, read_shape, resolve_shape, steps_to_bounds, uniform
from relu_attack.domains._domain import Domain, Hyperrectangle
from relu_attack.domains._linear_constraints import LinearConstraints
from relu_attack.domains._steepest import BoxMove, SteepestMove
from relu_attack.errors import DomainError
from relu_attack.rounding import box_of, inner_box_of, neighbors


class Box(Hyperrectangle):
    """The inputs between a lower and an upper bound.

    Parameters
    ----------
    lower, upper
        Bounds, each a tensor, an array or a number: the shape of one input, or (batch, \\*shape) for a
        batch of boxes. A number holds for every input. Equal bounds fix an input.
    shape
        Shape of one input; needed when both bounds are numbers, or when the last dimension of a 2-D
        tensor (the last three of a 3-D or 4-D one) is not one input.
    integer
        Inputs that must be whole numbers in an answer: flat indices, or a boolean mask of the input's shape. Their
        bounds are rounded inward.
    one_hot
        Groups of at least two flat indices; in an answer one of a group is 1 and the others are 0. The bounds of
        these inputs lie within 0 and 1; no input is in two groups.

    Raises
    ------
    DomainError
        When a bound is NaN or infinite, a lower bound is above its upper bound, an integer input has no whole number
        between its bounds, or a group is malformed; it names the index.

    Notes
    -----
    Points have the dtype of the bounds that are tensors or arrays, and float64 where both are numbers or lists. A
    number beside a float32 tensor keeps its value for proofs; points stay within the nearest float32 inside of it.

    `violation` is in units of the larger bound of the input, or of 1 when both are smaller.

    The box is the relaxation: that inputs are whole, and that a group sums to 1, holds for what `round` returns and in
    programs, not for every point of the box.

    Examples
    --------
    >>> import torch
    >>> box = Box(torch.zeros(2), torch.tensor([1.0, 2.0]))
    >>> box.project(torch.tensor([[-1.0, 1.5]]))
    tensor([[0.0000, 1.5000]])
    >>> recipe = Box([0.2, 0.0, 0.0], [2.9, 1.0, 1.0], integer=[0], one_hot=[[1, 2]])
    >>> recipe.round(torch.tensor([1.7, 0.3, 0.4]))
    tensor([2., 0., 1.], dtype=torch.float64)
    """

    def __init__(
        self,
        lower: ArrayLike,
        upper: ArrayLike,
        *,
        shape: tuple[int, ...] | None = None,
        integer: _integrality.Indices = (),
        one_hot: _integrality.Groups = (),
    ) -> None:
        low, high = _read_ends(lower, upper, shape)
        self.shape, self.batch = resolve_shape(low, shape, name="Box lower")
        self.integer, self.one_hot = _integrality.read_integrality("Box", integer, one_hot, self.shape)
        low, high = (flatten(bound, self.shape, self.batch) for bound in (low, high))
        low, high = _integrality.whole_bounds("Box", low, high, self.integer)
        _integrality.check_groups("Box", low, high, self.one_hot)
        self._set_ends((low, high), inner_box_of(low, high, common_dtype(lower, upper)))

    def _set_ends(self, given: tuple[Tensor, Tensor], inner: tuple[Tensor, Tensor]) -> None:
        """Make this a set of its own: with the exact ends `given`, and those of the points that are returned."""
        self._given, (self.lower, self.upper), self._origin = given, inner, self

    @property
    def dtype(self) -> torch.dtype:
        return self.lower.dtype

    @property
    def device(self) -> torch.device:
        return self.lower.device

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        origin, dtype = self._origin, dtype or self.dtype
        if dtype == self.dtype and device in (None, self.device):
            return self
        ends = (origin.lower, origin.upper) if dtype == origin.dtype else origin._ends_in(dtype)
        box = object.__new__(type(self))
        vars(box).update(vars(self))
        box.lower, box.upper = (end.to(device or self.device) for end in ends)
        return box

    def _ends_in(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return the ends of this set in another dtype, to nearest."""
        largest = torch.finfo(dtype).max
        low, high = (end.to(dtype).clamp(-largest, largest) for end in self._around())
        return low, high

    def _around(self) -> tuple[Tensor, Tensor]:
        """Return ends that hold all exact points of the set, in their own precision."""
        return self._origin._given

    def _plain(self, given: tuple[Tensor, Tensor], inner: tuple[Tensor, Tensor]) -> Box:
        """Return a box with other ends, shaped as those of this box, and the same integer inputs."""
        box = object.__new__(Box)
        box.shape, box.batch, box.integer, box.one_hot = self.shape, self.batch, self.integer, self.one_hot
        box._set_ends(given, inner)
        return box

    def single(self, index: int) -> Box:
        return self if self.batch is None else self._select(lambda part: part[self._check_index(index), 0], None)

    def take(self, rows: slice | Tensor) -> Box:
        return self._select(lambda part: part[rows], len(self.lower[rows]))

    def _select(self, pick: Callable[[Tensor], Tensor], batch: int | None) -> Box:
        """Return some sets of a batch."""
        given, inner = self._around(), (self.lower, self.upper)
        box = self._plain((pick(given[0]), pick(given[1])), (pick(inner[0]), pick(inner[1])))
        box.batch = batch
        return box

    def with_fixed(self, index: _integrality.Indices, values: ArrayLike) -> Box:
        indices, numbers = _integrality.read_fixed("Box", index, values, self.lower, self.shape)
        lower, upper = self.lower.clone(), self.upper.clone()
        outside = (numbers < lower[..., indices]) | (numbers > upper[..., indices])
        if outside.any():
            place = int(torch.nonzero(outside)[0, -1])
            raise DomainError(
                f"Box has no point with input {indices[place]} fixed to {float(numbers[outside][0]):g}; its bounds are "
                f"{float(lower[..., indices][outside][0]):g} and {float(upper[..., indices][outside][0]):g}"
            )
        low, high = (end.to(self.device).clone() for end in self._around())
        for end in (lower, upper, low, high):
            end[..., indices] = numbers.to(end.dtype)
        low, high = _integrality.whole_bounds("Box", low, high, self.integer)
        _integrality.check_groups("Box", low, high, self.one_hot)
        return self._plain((low, high), (lower, upper))

    def _round(self, points: Tensor) -> Tensor:
        return _integrality.nearest_whole(self.project(points), self.lower, self.upper, self.integer, self.one_hot)

    def project(self, points: Tensor) -> Tensor:
        return torch.clamp(self._check_points(points).to(self.dtype), self.lower, self.upper)

    def project_(self, points: Tensor) -> Tensor:
        return torch.clamp(self._check_points(points), self.lower, self.upper, out=points)

    def violation(self, points: Tensor) -> Tensor:
        points = self._check_points(points)
        excess = torch.maximum(self.lower - points, points - self.upper).clamp_min(0)
        scale = torch.maximum(self.lower.abs(), self.upper.abs()).clamp_min(1)
        return (excess / scale).amax(-1)

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        leading = (count,) if self.batch is None else (self.batch, count)
        share = uniform(*leading, self.inputs, generator=generator)
        return self.project(torch.lerp(self.lower, self.upper, share.to(self.device, self.dtype)))

    def maximizer(self, direction: Tensor) -> Tensor:
        return torch.where(self._check_points(direction) > 0, self.upper, self.lower)

    def steepest_move(self, walkers: int) -> SteepestMove:
        return BoxMove(self.lower, self.upper, walkers)

    def max_step(self, points: Tensor, direction: Tensor) -> Tensor:
        self._check_points(points), self._check_points(direction)
        return steps_to_bounds(points, direction, self.lower, self.upper)

    @property
    def is_box(self) -> bool:
        return True

    @property
    def is_polyhedral(self) -> bool:
        return self.batch is None

    def linear_rows(self) -> LinearConstraints | None:
        if self.batch is not None:
            return None
        box, groups = self.to(device="cpu", dtype=torch.float64).bounding_box(), self.groups
        return LinearConstraints.trusted(groups.A, (groups.lb, groups.ub), (box.lower, box.upper))

    def upper_bound(self, coefficients: Tensor) -> Tensor:
        if self.one_hot:
            return super().upper_bound(coefficients)
        rows, shape = self._rows_of_sets(coefficients)
        return self._box_bound(rows).reshape(shape)

    def excludes(self, lower: Tensor, upper: Tensor) -> Tensor:
        low, high = (end.to(lower.device).reshape(-1) for end in self._around())
        return ((lower > high) | (upper < low)).any(1)

    def join(self, others: Sequence[Domain]) -> Box | None:
        sets = (self, *others)
        plain = all(type(one) is Box and one.batch is None and not one.integer for one in sets)
        if not plain or any(one.shape != self.shape for one in others):
            return None
        ends = zip(*((one.lower, one.upper) for one in sets if isinstance(one, Box)), strict=True)
        return Box(*(torch.stack(end) for end in ends), shape=self.shape)

    def representable(self, point: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
        low, high = representable_ends(self.lower, self.upper, dtype)
        yield torch.where(low <= high, torch.clamp(point.to(dtype).double(), low, high), point)

    def normalized(self) -> tuple[Box, Tensor, Tensor]:
        width = self.upper - self.lower
        scale = width.reshape(-1, self.inputs).amax(0)
        shift = self.lower.reshape(-1, self.inputs).mean(0)
        scale = torch.where(scale > 0, scale, 1.0)
        lower, upper = ((bound - shift) / scale for bound in (self.lower, self.upper))
        if self.batch is not None:
            lower, upper = lower.squeeze(1), upper.squeeze(1)
        return Box(lower, upper, shape=self.shape), scale, shift

    def bounding_box(self) -> Box:
        low, high = self._around()
        if low is self.lower and high is self.upper:
            return self
        low, high = (end.to(self.device) for end in (low, high))
        # A copy in another dtype is rounded to nearest: what is proved holds for its own points as well.
        ends = box_of(torch.minimum(low, self.lower), torch.maximum(high, self.upper), self.dtype)
        return self._plain(ends, ends)


def _read_ends(lower: ArrayLike, upper: ArrayLike, shape: tuple[int, ...] | None) -> tuple[Tensor, Tensor]:
    """Check the bounds of a box and bring them to one shape, and to one dtype that loses nothing."""
    low = as_tensor(lower, name="Box lower", error=DomainError)
    high = as_tensor(upper, name="Box upper", error=DomainError)
    if low.dim() == 0 and high.dim() == 0:
        if shape is None:
            raise DomainError("Box lower and upper are both numbers; give shape=(inputs,), the shape of one input")
        low = low.expand(read_shape(shape, name="Box"))
    device = low.device if isinstance(lower, Tensor) else high.device
    dtype = common_dtype(lower, upper)
    # Bounds that float32 holds need no more.
    low, high = (
        end.to(dtype) if bool((end.to(dtype) == end).all()) else end for end in (low.to(device), high.to(device))
    )
    dtype = torch.promote_types(low.dtype, high.dtype)
    try:
        low, high = torch.broadcast_tensors(low.to(dtype), high.to(dtype))
    except RuntimeError:
        raise DomainError(
            f"Box lower has shape {tuple(low.shape)} but upper has shape {tuple(high.shape)}; they must match"
        ) from None
    for name, bound in (("lower", low), ("upper", high)):
        if not all_finite(bound):
            index = first_index(~torch.isfinite(bound))
            raise DomainError(f"Box {name} is not finite at index {index}; every bound must be a number")
    empty = low > high
    if empty.any():
        raise DomainError(
            f"Box is empty: lower is above upper at index {first_index(empty)} "
            f"({low[empty][0].item():g} > {high[empty][0].item():g})"
        )
    return low, high


def representable_ends(lower: Tensor, upper: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest numbers of `dtype` in ranges of float64, as float64.

    The first is above the second where there is none.

    Examples
    --------
    >>> low, high = representable_ends(*torch.tensor([[0.1], [0.5]]).double(), torch.float32)
    >>> (low.float().tolist(), high.float().tolist()) == (torch.tensor([0.1]).tolist(), [0.5])
    True
    """
    return neighbors(lower, dtype)[1], neighbors(upper, dtype)[0]
