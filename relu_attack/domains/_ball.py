"""What balls share: how their numbers are read, and all operations that do not depend on the norm."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor

from relu_attack._checks import ArrayLike, all_finite, as_tensor, first_index
from relu_attack.domains.base import Domain, flatten, read_shape, resolve_shape
from relu_attack.domains.box import Box, steps_to_bounds
from relu_attack.errors import DomainError

Clip: TypeAlias = tuple[ArrayLike, ArrayLike]
BallType = TypeVar("BallType", bound="ClippedBall")

# Norms are kept this share below the radius, above the rounding of a float64 sum over any number of inputs.
MARGIN = 2.0**-46


@dataclass(frozen=True, kw_only=True)
class BallNumbers:
    """The checked numbers of a ball: `center` (inputs,) or (P, 1, inputs), `radius` () or (P, 1), clip bounds.

    The center may share its memory with what the caller gave, and bounds are expanded views.
    """

    center: Tensor
    radius: Tensor
    low: Tensor
    high: Tensor
    shape: tuple[int, ...]
    batch: int | None


def read_ball(
    kind: str, center: ArrayLike, radius: ArrayLike, clip: Clip | None, shape: tuple[int, ...] | None
) -> BallNumbers:
    """Check a ball's arguments and bring them to one dtype, that of the center, and to shapes that broadcast."""
    middle = as_tensor(center, name=f"{kind} center", error=DomainError)
    if middle.dim() == 0:
        if shape is None:
            raise DomainError(f"{kind} center is a number; give shape=(inputs,), the shape of one input")
        middle = middle.expand(read_shape(shape, name=kind))
    if not all_finite(middle):
        raise DomainError(f"{kind} center is not finite at index {first_index(~torch.isfinite(middle))}")
    shape, batch = resolve_shape(middle, shape, name=f"{kind} center")
    middle = flatten(middle, shape, batch)
    low, high = _read_clip(kind, (-torch.inf, torch.inf) if clip is None else clip, middle, shape, batch)
    return BallNumbers(
        center=middle, radius=_read_radius(kind, radius, middle, batch), low=low, high=high, shape=shape, batch=batch
    )


def _read_radius(kind: str, radius: ArrayLike, center: Tensor, batch: int | None) -> Tensor:
    value = as_tensor(radius, name=f"{kind} radius", error=DomainError).to(center.device, center.dtype)
    if value.dim() > 0 and (batch is None or tuple(value.shape) != (batch,)):
        sets = "one set" if batch is None else f"a batch of {batch} sets"
        raise DomainError(
            f"{kind} radius has shape {tuple(value.shape)}, but the center is {sets}; give a number or one a set"
        )
    wrong = ~(torch.isfinite(value) & (value >= 0))
    if wrong.any():
        where = f" of set {first_index(wrong)}" if value.dim() else ""
        raise DomainError(f"{kind} radius{where} is {value[wrong][0].item():g}; it must be a number of at least 0")
    return value.clone() if batch is None else value.reshape(-1, 1).expand(batch, 1).clone()


def _read_clip(
    kind: str, clip: Clip, center: Tensor, shape: tuple[int, ...], batch: int | None
) -> tuple[Tensor, Tensor]:
    if not isinstance(clip, tuple | list) or len(clip) != 2:
        raise DomainError(f"{kind} clip must be a pair (low, high), got {type(clip).__name__}")
    bounds = []
    for name, value in zip(("low", "high"), clip, strict=True):
        bound = as_tensor(value, name=f"{kind} clip {name}", error=DomainError).to(center.device, center.dtype)
        if bound.dim() > 0:
            _, sets = resolve_shape(bound, shape, name=f"{kind} clip {name}")
            if sets not in (None, batch):
                raise DomainError(f"{kind} clip {name} is a batch of {sets} sets, but the center has {batch or 1}")
            bound = flatten(bound, shape, sets)
        if torch.isnan(bound).any():
            raise DomainError(f"{kind} clip {name} is NaN at index {first_index(torch.isnan(bound).reshape(-1))}")
        bounds.append(bound.clone())
    empty = bounds[0] > bounds[1]
    if empty.any():
        where = first_index(empty.expand_as(center).reshape(-1, center.shape[-1]).any(0))
        raise DomainError(f"{kind} clip is empty: low is above high at index {where}")
    return bounds[0].expand_as(center), bounds[1].expand_as(center)


class ClippedBall(Domain):
    """A ball of some norm around a center, intersected with a box: what does not depend on the norm.

    Points are handled as offsets from the center; the clip box becomes a box of offsets.
    """

    def __init__(
        self, center: ArrayLike, radius: ArrayLike, *, clip: Clip | None = None, shape: tuple[int, ...] | None = None
    ) -> None:
        kind = type(self).__name__
        numbers = read_ball(kind, center, radius, clip, shape)
        self.shape, self.batch = numbers.shape, numbers.batch
        self.center_point, self.radius = numbers.center.clone(), numbers.radius
        self.clip_low, self.clip_high = numbers.low, numbers.high
        self._base_point = torch.clamp(self.center_point, self.clip_low, self.clip_high)
        distance = self._norm(self._base_point.double() - self.center_point.double())
        size = self.center_point.abs().amax(-1).double() + self._base_point.abs().amax(-1) + self.radius
        empty = distance > self.radius + 4 * torch.finfo(self.dtype).eps * size
        if empty.any():
            where = "" if self.batch is None else f" of set {int(torch.nonzero(empty)[0, 0])}"
            raise DomainError(
                f"{kind} is empty: the center{where} is {distance[empty][0].item():g} away from the clip box, "
                f"more than the radius {self.radius.expand_as(empty)[empty][0].item():g}"
            )
        # A ball that touches its clip box up to rounding (after a change of dtype, say) is one point.
        self._reach = torch.maximum(self.radius.double(), distance)

    @abstractmethod
    def _norm(self, offset: Tensor) -> Tensor:
        """Return the norm of offsets (..., inputs), shape (...)."""

    @abstractmethod
    def _nearest(self, offset: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return the nearest offset of the ball between `low` and `high`, up to rounding."""

    @abstractmethod
    def _extreme(self, direction: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return an offset of the ball between `low` and `high` that maximizes ``direction . offset``."""

    @abstractmethod
    def _norm_step(self, offset: Tensor, direction: Tensor) -> Tensor:
        """Return the largest t with the norm of ``offset + t direction`` at most the radius; offset is inside."""

    @abstractmethod
    def _room(self, distance: Tensor, own: Tensor) -> Tensor:
        """Return the largest size of one entry (..., inputs), the others at their least.

        `distance` (..., 1) is the least norm in the clip box, `own` (..., inputs) the entries of its point.
        """

    @abstractmethod
    def _draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Return points (..., count, inputs) uniform in the ball of radius 1, in float64, for each set."""

    @property
    def dtype(self) -> torch.dtype:
        return self.center_point.dtype

    @property
    def device(self) -> torch.device:
        return self.center_point.device

    def to(self: BallType, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> BallType:
        center, low, high = (
            tensor.to(device=device, dtype=dtype or self.dtype)
            for tensor in (self.center_point, self.clip_low, self.clip_high)
        )
        return self._rebuild(center, self.radius, low, high)

    def single(self: BallType, index: int) -> BallType:
        if self.batch is None:
            return self
        center, low, high = (tensor[index, 0] for tensor in (self.center_point, self.clip_low, self.clip_high))
        return type(self)(center, self.radius[index, 0], clip=(low, high), shape=self.shape)

    def _rebuild(self: BallType, center: Tensor, radius: Tensor, low: Tensor, high: Tensor) -> BallType:
        if self.batch is not None:
            center, radius, low, high = (tensor.squeeze(1) for tensor in (center, radius, low, high))
        return type(self)(center, radius, clip=(low, high), shape=self.shape)

    def project(self, points: Tensor) -> Tensor:
        points = self._check_points(points).to(self.dtype)
        low, high = self.clip_low - self.center_point, self.clip_high - self.center_point
        offset = self._nearest(points - self.center_point, low, high)
        return torch.where(self.contains(points).unsqueeze(-1), points, self._inside(offset))

    def _inside(self, offset: Tensor) -> Tensor:
        """Return the point of an offset, moved by roundings so that it lies in the set exactly."""
        center, base = self.center_point.double(), self._base_point
        base_offset = base.double() - center
        offset = torch.clamp(offset.double(), self.clip_low.double() - center, self.clip_high.double() - center)
        least, norm = self._norm(base_offset), self._norm(offset)
        allowed = torch.maximum(self._reach * (1 - MARGIN), least)
        share = torch.where(norm > allowed, (allowed - least) / (norm - least), 1.0).unsqueeze(-1)
        offset = base_offset + share * (offset - base_offset)
        point = torch.clamp((center + offset).to(self.dtype), self.clip_low, self.clip_high)
        # Rounding toward the base point can only lower each |point - center|, hence the norm.
        outward = (point.double() - center).abs() > offset.abs()
        return torch.where(outward, torch.nextafter(point, base.expand_as(point)), point)

    def violation(self, points: Tensor) -> Tensor:
        points = self._check_points(points).double()
        excess = self._norm(points - self.center_point.double()) - self._reach
        relative = torch.where(excess > 0, excess / self._reach.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
        beyond = torch.maximum(self.clip_low - points, points - self.clip_high).amax(-1)
        size = torch.maximum(self._finite(self.clip_low).abs(), self._finite(self.clip_high).abs()).amax(-1)
        return torch.maximum(relative, beyond.clamp_min(0) / size.clamp_min(1))

    @staticmethod
    def _finite(bound: Tensor) -> Tensor:
        return torch.where(torch.isfinite(bound), bound, 0.0)

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        offset = self._draw(count, generator).to(self.device) * self.radius.unsqueeze(-1)
        return self.project(self.center_point + offset.to(self.dtype))

    def support(self, direction: Tensor) -> Tensor:
        center = self.center_point.double()
        direction = self._check_points(direction).double()
        size = direction.abs().amax(-1, keepdim=True)
        direction = direction / torch.where(size > 0, size, 1.0)
        return self._inside(self._extreme(direction, self.clip_low - center, self.clip_high - center))

    def max_step(self, points: Tensor, direction: Tensor) -> Tensor:
        points, direction = self._check_points(points).double(), self._check_points(direction).double()
        step = self._norm_step(points - self.center_point.double(), direction)
        step = torch.where((direction == 0).all(-1), torch.inf, step)
        step = torch.minimum(step, steps_to_bounds(points, direction, self.clip_low, self.clip_high))
        return torch.where(self.contains(points), step, 0.0).to(self.dtype)

    def bounding_box(self) -> Box:
        center, base = self.center_point.double(), self._base_point.double() - self.center_point.double()
        room = self._room(self._norm(base).unsqueeze(-1), base) * (1 + MARGIN)
        sides = []
        for sign, limit in ((-1, self.clip_low), (1, self.clip_high)):
            side = (center + sign * room).to(self.dtype)
            outward = torch.nextafter(side, torch.full_like(side, sign * torch.inf))
            # Rounded outward, so that the box holds the set for certain; never beyond the clip box.
            bound = torch.maximum(outward, limit) if sign < 0 else torch.minimum(outward, limit)
            sides.append(bound if self.batch is None else bound.squeeze(1))
        return Box(sides[0], sides[1], shape=self.shape)

    def normalized(self: BallType) -> tuple[BallType, Tensor, Tensor]:
        width = 2 * self.radius.amax()
        width = torch.where(width > 0, width, 1.0)
        shift = self.center_point.reshape(-1, self.inputs).mean(0)
        center, low, high = ((t - shift) / width for t in (self.center_point, self.clip_low, self.clip_high))
        return self._rebuild(center, self.radius / width, low, high), width.expand(self.inputs).clone(), shift
