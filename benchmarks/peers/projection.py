"""Projections onto a set of the benchmark, as one writes them in plain torch: clipping, balls, ADMM with one factor."""

from __future__ import annotations

import numpy as np
import torch
from problems import Region
from scipy.optimize import linprog
from torch import Tensor

# Weight and over-relaxation of ADMM on rows of norm 1; rounds for starts and for points that are handed in.
RHO, RELAX, ROUNDS_START, ROUNDS_END = 1.0, 1.6, 150, 400
HALVINGS = 50


class Projection:
    """Nearest points, approximate for rows; each walker keeps its multipliers from call to call until `reset`."""

    def __init__(self, region: Region, dtype: torch.dtype = torch.float32) -> None:
        self.region, self.dtype = region, dtype
        self.box = bounding_box(region)
        self.inside = interior(region, self.box)
        self.low, self.high, self.center = (torch.tensor(part, dtype=dtype) for part in (*self.box, self.inside))
        rows = region.rows()
        self.rows, self.least, self.most = (torch.tensor(part, dtype=dtype) for part in rows)
        self._state: tuple[Tensor, ...] | None = None
        if len(self.rows):
            wide = torch.tensor(rows[0])
            small = len(wide) < region.inputs
            gram = wide @ wide.T if small else RHO * wide.T @ wide
            ridge = (1 + RHO) / RHO if small else 1 + RHO
            self._inverse = torch.linalg.inv(gram + ridge * torch.eye(len(gram), dtype=torch.float64)).to(dtype)
            self._small = small
            self._pinv = torch.linalg.pinv(wide[torch.tensor(rows[1] == rows[2])], rtol=1e-10)

    @property
    def has_rows(self) -> bool:
        """Whether projections are approximate."""
        return len(self.rows) > 0

    def reset(self) -> None:
        """Forget the multipliers: other walkers come."""
        self._state = None

    def __call__(self, points: Tensor, rounds: int = 5, bounds: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return the nearest points of `points` (count, inputs), by so many rounds where there are rows."""
        low, high = bounds or (self.low, self.high)
        if self.region.norm:
            return self._ball(points)
        if not self.has_rows:
            return torch.clamp(points, low, high)
        if self._state is None:
            w = torch.clamp(points, low, high)
            z = torch.clamp(w @ self.rows.T, self.least, self.most)
            self._state = (z, w, torch.zeros_like(z), torch.zeros_like(w))
        z, w, y, v = self._state
        for _ in range(rounds):
            x = self._solve(points + RHO * ((z - y) @ self.rows + w - v))
            cx = RELAX * (x @ self.rows.T) + (1 - RELAX) * z + y
            xr = RELAX * x + (1 - RELAX) * w + v
            z, w = torch.clamp(cx, self.least, self.most), torch.clamp(xr, low, high)
            y, v = cx - z, xr - w
        self._state = (z, w, y, v)
        return w

    def _solve(self, right: Tensor) -> Tensor:
        if not self._small:
            return right @ self._inverse
        return (right - ((right @ self.rows.T) @ self._inverse) @ self.rows) / (1 + RHO)

    def _ball(self, points: Tensor) -> Tensor:
        center = torch.tensor(self.region.center, dtype=points.dtype)
        offset, radius = points - center, self.region.radius * (1 - (0 if points.dtype == torch.float64 else 1e-6))
        if self.region.norm == "l2":
            size = torch.linalg.vector_norm(offset, dim=1, keepdim=True).clamp_min(1e-30)
            return center + offset * (radius / size).clamp_max(1)
        low, high = self.low.to(points.dtype) - center, self.high.to(points.dtype) - center
        least = torch.zeros_like(offset[:, :1])
        most = offset.abs().amax(1, keepdim=True)

        def shrunk(threshold: Tensor) -> Tensor:
            return torch.clamp(offset.sign() * (offset.abs() - threshold).clamp_min(0), low, high)

        fits = shrunk(least).abs().sum(1, keepdim=True) <= radius
        for _ in range(HALVINGS):
            middle = (least + most) / 2
            large = shrunk(middle).abs().sum(1, keepdim=True) > radius
            least, most = torch.where(large, middle, least), torch.where(large, most, middle)
        return center + torch.where(fits, shrunk(torch.zeros_like(most)), shrunk(most))

    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        """Return random points: far ones projected and pulled part of the way to a middle point."""
        low, high = self.low, self.high
        far = low + (high - low) * torch.rand(count, len(low), generator=generator, dtype=self.dtype)
        self.reset()
        near = self(far, ROUNDS_START)
        self.reset()
        share = torch.rand(count, 1, generator=generator, dtype=self.dtype).sqrt()
        return self.center + share * (near - self.center)

    def rounded(self, x: Tensor) -> Tensor:
        """Return points with whole numbers where they must be: nearest ones and, in further rows, lower ones."""
        region, whole = self.region, list(self.region.integer)
        if not whole:
            return x
        if region.one_hot:
            groups = torch.tensor(region.one_hot)
            chosen = torch.zeros_like(x[:, groups]).scatter_(2, x[:, groups].argmax(2, keepdim=True), 1)
            return x.index_copy(1, groups.flatten(), chosen.flatten(1))
        near, below = x.clone(), x.clone()
        near[:, whole], below[:, whole] = near[:, whole].round(), (below[:, whole] + 1e-9).floor()
        return torch.cat([near, below])

    def finish(self, points: Tensor) -> np.ndarray:
        """Return points of the set in float64, near `points`: many rounds, equations solved, pulled inside the rest."""
        exact = self if self.dtype == torch.float64 else Projection._copy(self)
        x = exact.rounded(points.double())
        whole = list(self.region.integer)
        bounds = None
        if whole:
            low, high = (end.repeat(len(x), 1) for end in (exact.low, exact.high))
            low[:, whole] = high[:, whole] = x[:, whole]
            bounds = (low, high)
        exact.reset()
        x = exact(x, ROUNDS_END, bounds)
        if not self.has_rows:
            return x.numpy()
        if whole:
            return x.numpy()
        equation = exact.least == exact.most
        x = x - (x @ exact.rows[equation].T - exact.most[equation]) @ self._pinv.T
        middle = torch.tensor(self.inside)
        values, center = x @ exact.rows.T, middle @ exact.rows.T
        share = _share(values - exact.most, exact.most - center).amax(1)
        for excess, room in ((x - exact.high, exact.high - middle), (exact.low - x, middle - exact.low)):
            share = torch.maximum(share, _share(excess, room).amax(1))
        return torch.lerp(x, middle.expand_as(x), (share * (1 + 1e-9)).clamp_max(1)[:, None]).numpy()

    @staticmethod
    def _copy(other: Projection) -> Projection:
        copy: Projection = object.__new__(Projection)
        vars(copy).update(vars(other))
        copy.dtype = torch.float64
        rows = other.region.rows()
        copy.rows, copy.least, copy.most = (torch.tensor(part) for part in rows)
        copy.low, copy.high, copy.center = (torch.tensor(part) for part in (*other.box, other.inside))
        if other.has_rows:
            copy._inverse = other._inverse.double()
        return copy


def _share(excess: Tensor, room: Tensor) -> Tensor:
    """Return the share of the way to the middle point that takes each excess away; none where there is no room."""
    room = room.expand_as(excess)
    return torch.where((excess > 0) & (room > 1e-12), excess / (excess + room), 0.0)


def bounding_box(region: Region) -> tuple[np.ndarray, np.ndarray]:
    """Return finite bounds: those of the region, of its ball, or by linear programs."""
    low, high = region.lower.copy(), region.upper.copy()
    if region.norm:
        return np.maximum(low, region.center - region.radius), np.minimum(high, region.center + region.radius)
    for sign, ends in ((1.0, low), (-1.0, high)):
        for index in np.flatnonzero(~np.isfinite(ends)):
            cost = np.zeros(region.inputs)
            cost[index] = sign
            ends[index] = sign * _program(region, cost, np.zeros(0), (region.lower, region.upper)).fun
    return low, high


def interior(region: Region, box: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return a point with the same room in all rows and bounds, as large as can be; equations hold."""
    low, high = box
    if region.norm:
        return np.clip(region.center, low, high)
    if not len(region.rows()[0]):
        return (low + high) / 2
    width = np.maximum(high - low, 1e-300)
    cost = np.append(np.zeros(region.inputs), -1.0)
    found = _program(region, cost, width, box)
    return found.x[:-1]


def _program(region: Region, cost: np.ndarray, width: np.ndarray, box: tuple[np.ndarray, np.ndarray]) -> linprog:
    """Minimize over the region; with widths, over points and a room t of each row and, times its width, each bound."""
    matrix, low, high = region.rows()
    equal = low == high
    A, b, A_eq, b_eq = matrix[~equal], high[~equal], matrix[equal], high[equal]
    bounds = list(zip(*box, strict=True))
    if len(width):
        eye, least, most = np.eye(region.inputs), *box
        scale = np.minimum(width, 1.0)[:, None]
        A = np.vstack([np.hstack([A, np.ones((len(A), 1))]), np.hstack([eye, scale]), np.hstack([-eye, scale])])
        b = np.concatenate([b, most, -least])
        A_eq = np.hstack([A_eq, np.zeros((len(A_eq), 1))])
        bounds.append((0.0, None))
    equations = {"A_eq": A_eq, "b_eq": b_eq} if len(A_eq) else {}
    return linprog(cost, A if len(A) else None, b if len(A) else None, **equations, bounds=bounds, method="highs")
