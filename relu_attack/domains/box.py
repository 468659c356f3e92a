"""Boxes: a lower and an upper bound for each input."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, all_finite, as_tensor, first_index
from relu_attack.domains import _whole
from relu_attack.domains.base import Domain, Inequalities, flatten, read_shape, resolve_shape, uniform
from relu_attack.errors import DomainError


class Box(Domain):
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
    >>> recipe.lower, recipe.round(torch.tensor([1.7, 0.3, 0.4]))
    (tensor([1., 0., 0.]), tensor([2., 0., 1.]))
    """

    def __init__(
        self,
        lower: ArrayLike,
        upper: ArrayLike,
        *,
        shape: tuple[int, ...] | None = None,
        integer: _whole.Indices = (),
        one_hot: _whole.Groups = (),
    ) -> None:
        low = as_tensor(lower, name="Box lower", error=DomainError)
        high = as_tensor(upper, name="Box upper", error=DomainError)
        if low.dim() == 0 and high.dim() == 0 and shape is None:
            raise DomainError("Box lower and upper are both numbers; give shape=(inputs,), the shape of one input")
        if low.dim() == 0 and high.dim() == 0 and shape is not None:
            low = low.expand(read_shape(shape, name="Box"))
        dtype = torch.promote_types(low.dtype, high.dtype)
        try:
            low, high = torch.broadcast_tensors(low.to(dtype), high.to(low.device, dtype))
        except RuntimeError:
            raise DomainError(
                f"Box lower has shape {tuple(low.shape)} but upper has shape {tuple(high.shape)}; they must match"
            ) from None
        for name, bound in (("lower", low), ("upper", high)):
            if not all_finite(bound):
                index = first_index(~torch.isfinite(bound))
                raise DomainError(f"Box {name} is not finite at index {index}; every bound must be a number")
        if (low > high).any():
            index = first_index(low > high)
            raise DomainError(
                f"Box is empty: lower is above upper at index {index} "
                f"({low[low > high][0].item():g} > {high[low > high][0].item():g})"
            )
        self.shape, self.batch = resolve_shape(low, shape, name="Box lower")
        self.integer, self.one_hot = _whole.read_integrality("Box", integer, one_hot, self.shape)
        low, high = (flatten(bound, self.shape, self.batch) for bound in (low, high))
        self.lower, self.upper = _whole.whole_bounds("Box", low, high, self.integer)
        _whole.check_groups("Box", self.lower, self.upper, self.one_hot)

    @property
    def dtype(self) -> torch.dtype:
        return self.lower.dtype

    @property
    def device(self) -> torch.device:
        return self.lower.device

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Box:
        lower, upper = (bound.to(device=device, dtype=dtype or self.dtype) for bound in (self.lower, self.upper))
        return self._with_bounds(lower, upper)

    def _with_bounds(self, lower: Tensor, upper: Tensor) -> Box:
        """Return a box with other bounds, shaped as those of this box, and the same integer inputs."""
        if self.batch is not None:
            lower, upper = lower.squeeze(1), upper.squeeze(1)
        return Box(lower, upper, shape=self.shape, integer=self.integer, one_hot=self.one_hot)

    def single(self, index: int) -> Box:
        if self.batch is None:
            return self
        lower, upper = self.lower[index, 0], self.upper[index, 0]
        return Box(lower, upper, shape=self.shape, integer=self.integer, one_hot=self.one_hot)

    def with_fixed(self, index: _whole.Indices, values: ArrayLike) -> Box:
        indices, numbers = _whole.read_fixed("Box", index, values, self.lower, self.shape)
        lower, upper = self.lower.clone(), self.upper.clone()
        outside = (numbers < lower[..., indices]) | (numbers > upper[..., indices])
        if outside.any():
            place = int(torch.nonzero(outside)[0, -1])
            raise DomainError(
                f"Box has no point with input {indices[place]} fixed to {float(numbers[outside][0]):g}; its bounds are "
                f"{float(lower[..., indices][outside][0]):g} and {float(upper[..., indices][outside][0]):g}"
            )
        lower[..., indices] = upper[..., indices] = numbers
        return self._with_bounds(lower, upper)

    def _round(self, points: Tensor) -> Tensor:
        return _whole.nearest_whole(self.project(points), self.lower, self.upper, self.integer, self.one_hot)

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

    def support(self, direction: Tensor) -> Tensor:
        return torch.where(self._check_points(direction) > 0, self.upper, self.lower)

    def max_step(self, points: Tensor, direction: Tensor) -> Tensor:
        self._check_points(points), self._check_points(direction)
        return steps_to_bounds(points, direction, self.lower, self.upper)

    def inequalities(self) -> Inequalities:
        if self.batch is not None:
            raise DomainError(f"a batch of {self.batch} boxes has no one set of rows; take one box at a time")
        none = self.lower.new_zeros(0, self.inputs)
        return Inequalities(
            matrix=none,
            upper=self.lower.new_zeros(0),
            equality_matrix=none,
            equality_value=self.lower.new_zeros(0),
            lower_bounds=self.lower,
            upper_bounds=self.upper,
        )

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
        return self


def steps_to_bounds(points: Tensor, direction: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Return how far `points` (..., inputs) can go along `direction` between the bounds, shape (...)."""
    wall = torch.where(direction > 0, upper, lower)
    step = torch.where(direction == 0, torch.inf, (wall - points) / direction).amin(-1)
    inside = ((points >= lower) & (points <= upper)).all(-1)
    return torch.where(inside, step, 0.0)
