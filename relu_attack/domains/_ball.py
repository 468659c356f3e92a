"""What balls share: how their numbers are read, and all operations that do not depend on the norm."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor
from typing_extensions import Self

from relu_attack._checks import ArrayLike, all_finite, as_tensor, first_index
from relu_attack.domains._arrangement import flatten, read_shape, resolve_shape, steps_to_bounds
from relu_attack.domains._box import Box
from relu_attack.domains._domain import Domain
from relu_attack.domains._steepest import BallMove, SteepestMove
from relu_attack.domains._support import BoxSupport, box_support
from relu_attack.errors import DomainError
from relu_attack.rounding import ball_ends, box_of, down, exact_sum_above, gamma, inner_box_of, tiny, up

Clip: TypeAlias = tuple[ArrayLike, ArrayLike]

# More than the square root of what the squares of any number of offsets lose where they are subnormal.
_FLUSHED = 2.0**-480
# Shares of the way to the point next to the center by which a point is moved until it is surely inside.
_PULLS = (0.0, 0.0, 2.0**-40, 2.0**-20, 2.0**-5, 1.0)


@dataclass(frozen=True, kw_only=True)
class BallNumbers:
    """The checked numbers of a ball: `center` (inputs,) or (P, 1, inputs), `radius` () or (P, 1), clip bounds.

    The radius is float64, the clip bounds have the dtype of the center where that holds them. The center may share its
    memory with what the caller gave, and bounds are expanded views.
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
    """Check a ball's arguments and bring them to shapes that broadcast; each keeps its precision."""
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
    value = as_tensor(radius, name=f"{kind} radius", error=DomainError).to(center.device, torch.float64)
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
        bound = as_tensor(value, name=f"{kind} clip {name}", error=DomainError).to(center.device)
        # Bounds that the dtype of the center holds need no more.
        bound = bound.to(center.dtype) if bool((bound.to(center.dtype) == bound).all()) else bound
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

    Points are handled as offsets from the center; the clip box becomes a box of offsets. Norms are computed in float64,
    and points are returned only where rounding errors leave no doubt that they are inside.

    `center_point` is (inputs,) or (P, 1, inputs), in the dtype of the points, `radius` float64, () or (P, 1).
    `clip_low` and `clip_high` are the clip box of the points that are returned, in their dtype.
    """

    _move: ClassVar[type[BallMove]]

    def __init__(
        self, center: ArrayLike, radius: ArrayLike, *, clip: Clip | None = None, shape: tuple[int, ...] | None = None
    ) -> None:
        kind = type(self).__name__
        numbers = read_ball(kind, center, radius, clip, shape)
        self.shape, self.batch, self._origin = numbers.shape, numbers.batch, self
        self._set(numbers.center.clone(), numbers.radius, (numbers.low, numbers.high), exact=True)
        empty = (self.clip_low > self.clip_high).any(-1) | ~self._holds(self._base_point)
        if empty.any():
            where = "" if self.batch is None else f" of set {int(torch.nonzero(empty)[0, 0])}"
            distance = self._norm(self._base_point.double() - self.center_point.double())
            raise DomainError(
                f"{kind} is empty: the center{where} is {distance[empty][0].item():g} away from the clip box, "
                f"more than the radius {self.radius.expand_as(empty)[empty][0].item():g}"
            )

    def _set(self, center: Tensor, radius: Tensor, clip: tuple[Tensor, Tensor], *, exact: bool) -> None:
        """Keep the numbers; a ball that is not `exact`, one that was rounded, reaches its clip box in any case."""
        self.center_point, self.radius, self._clip = center, radius, clip
        self.clip_low, self.clip_high = inner_box_of(*clip, center.dtype)
        self._base_point = torch.clamp(center, self.clip_low, self.clip_high)
        if not exact:
            distance = self._norm(self._base_point.double() - center.double())
            self.radius = torch.maximum(radius, distance * (1 + 2 * self._error))

    @property
    def _error(self) -> float:
        """Relative error of a norm of offsets, as it is computed."""
        return gamma(self.inputs + 4, torch.float64)

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
    def _room(self, distance: Tensor) -> Tensor:
        """Return from above how far each input can be from the center, (..., inputs), the others being nearest to it.

        `distance` (..., inputs), of at least 0, are lower bounds of how far each one must be.
        """

    @abstractmethod
    def _within(self, offset: list[Fraction], radius: Fraction) -> bool:
        """Say whether the norm of an exact offset is at most an exact radius."""

    @abstractmethod
    def _norm_bound(self, rows: Tensor) -> Tensor:
        """Return upper bounds of linear functions (..., functions, inputs) over the ball, (..., functions).

        Functions and ball are float64; the clip box may count or not.
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

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        origin, dtype, device = self._origin, dtype or self.dtype, torch.device(device or self.device)
        if (dtype, device) == (self.dtype, self.device):
            return self
        exact = dtype.itemsize >= origin.center_point.dtype.itemsize
        clip = origin._clip if exact else tuple(bound.to(dtype) for bound in origin._clip)
        parts = [part.to(device) for part in (origin.radius, *clip)]
        ball = self._made(origin.center_point.to(device, dtype), parts[0], (parts[1], parts[2]), exact=exact)
        ball._origin = origin
        return ball

    def _made(self, center: Tensor, radius: Tensor, clip: tuple[Tensor, Tensor], *, exact: bool) -> Self:
        """Return a ball of this kind and shape of other numbers."""
        ball = object.__new__(type(self))
        ball.shape, ball.batch, ball._origin = self.shape, self.batch, ball
        ball._set(center, radius, clip, exact=exact)
        return ball

    def single(self, index: int) -> Self:
        return self if self.batch is None else self._select(lambda part: part[self._check_index(index), 0], None)

    def take(self, rows: slice | Tensor) -> Self:
        sets = self._select(lambda part: part[rows], len(self.center_point[rows]))
        if "_enclosing" in vars(self):  # it takes longer than a bound of some rows
            vars(sets)["_enclosing"] = self._enclosing.take(rows)
        return sets

    def _select(self, pick: Callable[[Tensor], Tensor], batch: int | None) -> Self:
        """Return some sets of a batch."""
        clip = (pick(self._clip[0]), pick(self._clip[1]))
        ball = self._made(pick(self.center_point), pick(self.radius), clip, exact=True)
        ball.batch = batch
        if self._origin is not self:
            ball._origin = self._origin._select(pick, batch)
        return ball

    def project(self, points: Tensor) -> Tensor:
        points = self._check_points(points).to(self.dtype)
        low, high = self.clip_low - self.center_point, self.clip_high - self.center_point
        offset = self._nearest(points - self.center_point, low, high)
        return torch.where(self._surely_holds(points).unsqueeze(-1), points, self._inside(offset))

    def _inside(self, offset: Tensor) -> Tensor:
        """Return the point of an offset, moved by roundings so that it lies in the set exactly."""
        center, base = self.center_point.double(), self._base_point
        base_offset = base.double() - center
        offset = torch.clamp(offset.double(), self.clip_low.double() - center, self.clip_high.double() - center)
        point = self._rounded(offset)
        sure = self._surely_holds(point)
        if bool(sure.all()):
            return point
        least, norm = self._norm(base_offset), self._norm(offset)
        allowed = torch.maximum(self.radius * (1 - 4 * self._error), least)
        share = torch.where(norm > allowed, (allowed - least) / (norm - least), 1.0).unsqueeze(-1)
        nearer = self._rounded(base_offset + share * (offset - base_offset))
        # Moving toward the base point lowers each |point - center|.
        outward = (nearer.double() - center).abs() > offset.abs()
        nearer = torch.where(outward, torch.nextafter(nearer, base.expand_as(nearer)), nearer)
        point = torch.where(sure.unsqueeze(-1), point, nearer)
        for pull in _PULLS:
            sure = self._surely_holds(point)
            if bool(sure.all()):
                break
            nearer = torch.nextafter(torch.lerp(point, base.expand_as(point), pull), base.expand_as(point))
            point = torch.where(sure.unsqueeze(-1), point, base if pull == 1 else nearer)
        return point

    def _rounded(self, offset: Tensor) -> Tensor:
        return torch.clamp((self.center_point.double() + offset).to(self.dtype), self.clip_low, self.clip_high)

    def _surely_holds(self, points: Tensor) -> Tensor:
        """Return which points (..., inputs) are inside for certain, shape (...)."""
        inside = ((points >= self.clip_low) & (points <= self.clip_high)).all(-1)
        offset = points.double() - self.center_point.double()
        norm = self._norm(offset)
        near, sure = norm * (1 - 2 * self._error) <= self.radius, norm * (1 + 2 * self._error) + _FLUSHED <= self.radius
        doubtful = inside & near & ~sure
        if bool(doubtful.any()):
            center, radius = self.center_point.expand_as(points), self.radius.expand_as(norm)
            sure = sure.masked_scatter(doubtful, self._sum(points[doubtful], center[doubtful]) <= radius[doubtful])
        return inside & sure

    @staticmethod
    def _sum(points: Tensor, center: Tensor) -> Tensor:
        """Return the sum of the distances of the inputs, which no norm is above, rounded up."""
        points, center = points.double(), center.double()
        offset = points - center
        way = offset - points
        lost = (points - (offset - way)) - (center + way)
        sign = torch.sign(offset)
        return exact_sum_above(torch.where(lost * sign > 0, up(offset.abs()), offset.abs()))

    def _holds(self, points: Tensor) -> Tensor:
        """Return which points (..., inputs) are inside, shape (...), those in doubt by exact arithmetic."""
        points = self._check_points(points)
        inside = ((points >= self.clip_low) & (points <= self.clip_high)).all(-1)
        norm = self._norm(points.double() - self.center_point.double())
        holds = inside & self._surely_holds(points)
        doubtful = inside & ~holds & (norm * (1 - 2 * self._error) <= self.radius + _FLUSHED)
        if bool(doubtful.any()):
            center, radius = self.center_point.expand_as(points), self.radius.expand_as(norm)
            triples = zip(*(part[doubtful].tolist() for part in (points, center, radius)), strict=True)
            exact = [
                self._within([Fraction(a) - Fraction(b) for a, b in zip(x, c, strict=True)], Fraction(r))
                for x, c, r in triples
            ]
            holds = holds.masked_scatter(doubtful, torch.tensor(exact, device=holds.device))
        return holds

    def violation(self, points: Tensor) -> Tensor:
        points = self._check_points(points)
        excess = self._norm(points.double() - self.center_point.double()) - self.radius
        relative = excess.clamp_min(0) / self.radius.clamp_min(tiny(torch.float64))
        beyond = torch.maximum(self.clip_low - points, points - self.clip_high).amax(-1)
        size = torch.maximum(self._finite(self.clip_low).abs(), self._finite(self.clip_high).abs()).amax(-1)
        violation = torch.maximum(relative, beyond.clamp_min(0) / size.clamp_min(1))
        # What is outside by less than rounding shows is outside.
        return torch.where(self._holds(points), 0.0, violation.clamp_min(torch.finfo(torch.float64).eps))

    @staticmethod
    def _finite(bound: Tensor) -> Tensor:
        return torch.where(torch.isfinite(bound), bound, 0.0)

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        return self.project(self.draw(count, generator))

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Return points (..., count, inputs) uniform in the ball, whatever the clip box."""
        offset = self._draw(count, generator).to(self.device) * self.radius.unsqueeze(-1)
        return (self.center_point.double() + offset).to(self.dtype)

    def maximizer(self, direction: Tensor) -> Tensor:
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

    @property
    def inner_bounds(self) -> tuple[Tensor, Tensor]:
        """Bounds that points keep besides the norm, those of the clip box: each (inputs,) or (P, 1, inputs)."""
        return self.clip_low, self.clip_high

    def upper_bound(self, coefficients: Tensor) -> Tensor:
        rows, shape = self._rows_of_sets(coefficients)
        exact, numbers = self.to(device=rows.device, dtype=torch.float64), rows.double()
        bound = torch.minimum(exact._norm_bound(numbers), exact._box_support(numbers.clone()))
        return up(bound.to(rows.dtype)).reshape(shape)

    @cached_property
    def _box_support(self) -> BoxSupport:
        box = self.bounding_box()
        return box_support(box.lower.reshape(-1, self.inputs), box.upper.reshape(-1, self.inputs))

    def steepest_move(self, walkers: int) -> SteepestMove:
        center, low, high = (
            part.reshape(-1, self.inputs) for part in (self.center_point, self.clip_low, self.clip_high)
        )
        return self._move(center, low, high, self.radius.reshape(-1).to(self.dtype), walkers)

    def excludes(self, lower: Tensor, upper: Tensor) -> Tensor:
        center = self.to(device=lower.device, dtype=torch.float64).center_point.reshape(-1)
        offset = torch.clamp(center, lower, upper) - center
        # Squares of large numbers overflow. What underflows makes the distance smaller.
        scale = offset.abs().amax(1, keepdim=True).clamp_min(tiny(offset.dtype))
        distance = scale[:, 0] * self._norm(offset / scale)
        return distance * (1 - gamma(2 * (self.inputs + 8), offset.dtype)) > self.radius.to(lower.device)

    def bounding_box(self) -> Box:
        return self._enclosing

    @cached_property
    def _enclosing(self) -> Box:
        lower, upper = self._ends()
        if self._origin is not self:
            low, high = (end.to(self.device) for end in self._origin._ends())
            lower, upper = torch.minimum(lower, low), torch.maximum(upper, high)
        lower, upper = box_of(lower, upper, self.dtype)
        if self.batch is not None:
            lower, upper = lower.squeeze(1), upper.squeeze(1)
        return Box(lower, upper, shape=self.shape)

    def _ends(self) -> tuple[Tensor, Tensor]:
        """Return float64 ends that hold all exact points of the ball.

        An input moves from its place in the center by at most what the distances of the others to the clip box leave.
        """
        center, (low, high) = self.center_point.double(), (bound.double() for bound in self._clip)
        distance = down(torch.maximum(low - center, center - high)).clamp_min(0)
        lower, upper = ball_ends(center, self._room(distance), torch.float64)
        return torch.maximum(lower, low), torch.minimum(upper, high)

    def normalized(self) -> tuple[Self, Tensor, Tensor]:
        width = 2 * self.radius.amax().to(self.dtype)
        width = torch.where(width > 0, width, 1.0)
        shift = self.center_point.reshape(-1, self.inputs).mean(0)
        center, low, high = ((t - shift) / width for t in (self.center_point, *self._clip))
        ball = self._made(center, self.radius / width, (low, high), exact=False)
        return ball, width.expand(self.inputs).clone(), shift
