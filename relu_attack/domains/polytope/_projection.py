"""The nearest point of a polytope, for a batch of points at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline

ACTIVE_SET_STEPS = 10
DAMPED_STEPS = 200
DAMPINGS = (1e-6, 1e-2)
LENGTHS = 20
REFINEMENTS = 1
# Largest number of entries of the array (points, rows, inputs) that one round of active sets may make.
CHUNK_ENTRIES = 2**24
# Products of one round at most: about a fifth of a second of one core, after which the clock is read.
CHUNK_PRODUCTS = 2**31


@dataclass(frozen=True, kw_only=True, eq=False)
class Projector:
    """Nearest points of ``{x : rows x <= values, low <= x <= high}``, the first `equalities` rows being equations.

    An active-set iteration first: guess which rows hold with equality and which inputs sit at a bound,
    solve the optimality conditions for the multipliers of those rows (one small symmetric system a
    point), read the next guess off the answer (Hintermueller, Ito, Kunisch, The primal-dual active set
    strategy as a semismooth Newton method, 2002). It ends, exactly, in a handful of rounds for most points.
    Where it cycles, projected Newton steps of the best of many lengths descend in the dual function
    (Bertsekas, Projected Newton methods, 1982), and their multipliers are the next guess. Measured against
    ADMM with one shared factor: that needed hundreds of steps a point, and some points more than a thousand.
    """

    rows: Tensor
    values: Tensor
    equalities: int
    low: Tensor
    high: Tensor
    size: float
    deadline: Deadline = NEVER

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype) -> Projector:
        """Return the projection on another device or in another dtype."""
        rows, values, low, high = (
            tensor.to(device=device, dtype=dtype) for tensor in (self.rows, self.values, self.low, self.high)
        )
        return replace(self, rows=rows, values=values, low=low, high=high)

    def nearest(self, points: Tensor) -> Tensor:
        """Return the nearest points of `points` (count, inputs), up to rounding; after the deadline some points."""
        if len(self.rows) == 0 or self.deadline.passed:
            return torch.clamp(points, self.low, self.high)
        entries = max(1, self.rows.numel())
        chunk = max(1, min(CHUNK_ENTRIES // entries, CHUNK_PRODUCTS // (entries * len(self.rows))))
        if len(points) > chunk:
            return torch.cat([self.nearest(part) for part in points.split(chunk)])
        multipliers = points.new_zeros(len(points), len(self.rows))
        nearest, solved = self._active_sets(points, multipliers)
        if bool(solved.all()):
            return nearest
        hard = torch.nonzero(~solved).squeeze(-1)
        # What is hard in float32 is often not so in float64.
        wide = self if points.dtype == torch.float64 else self.to(dtype=torch.float64)
        return nearest.index_copy(0, hard, wide._damped(points[hard].to(wide.rows.dtype)).to(points.dtype))

    def _tolerance(self, points: Tensor) -> Tensor:
        scale = points.abs().amax(-1, keepdim=True).clamp_min(self.size)
        return scale * (1e-12 if points.dtype == torch.float64 else 4e-6)

    def _active_sets(
        self, points: Tensor, multipliers: Tensor, *, steps: int = ACTIVE_SET_STEPS
    ) -> tuple[Tensor, Tensor]:
        """Return the points of the last guess, and which of them satisfy the optimality conditions."""
        tolerance = self._tolerance(points)
        result = torch.clamp(points - multipliers @ self.rows, self.low, self.high)
        excess = result @ self.rows.T - self.values
        solved = torch.zeros(len(points), dtype=torch.bool, device=points.device)
        left = torch.arange(len(points), device=points.device)
        for _ in range(steps):
            if self.deadline.passed:
                break
            multipliers, nearest, excess = self._solve_guess(points, multipliers, excess)
            good = self._optimal(multipliers, excess, tolerance)
            result, solved = result.index_copy(0, left, nearest), solved.index_copy(0, left, good)
            if bool(good.all()):
                break
            keep = torch.nonzero(~good).squeeze(-1)
            points, multipliers, excess = points[keep], multipliers[keep], excess[keep]
            left, tolerance = left[keep], tolerance[keep]
        return result, solved

    def _solve_guess(self, points: Tensor, multipliers: Tensor, excess: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Solve the conditions for the active set that the multipliers and the excess of the rows suggest."""
        rows = self.rows
        active = multipliers + excess > 0
        active[:, : self.equalities] = True
        shifted = points - multipliers @ rows
        free = (shifted > self.low) & (shifted < self.high)
        held = torch.where(free, points, torch.clamp(shifted, self.low, self.high))
        target = held @ rows.T - self.values
        multipliers = self._solve_rows(shifted, active, target, torch.finfo(rows.dtype).eps ** (2 / 3))
        nearest = torch.clamp(points - multipliers @ rows, self.low, self.high)
        return multipliers, nearest, nearest @ rows.T - self.values

    def _solve_rows(self, shifted: Tensor, active: Tensor, target: Tensor, ridge: float) -> Tensor:
        """Solve ``(gram + ridge) y = target`` in the active rows, gram = rows D rows' over the free inputs D."""
        free = ((shifted > self.low) & (shifted < self.high)).to(shifted.dtype)
        # Few rows are active at a time: gather them, so that the systems are small.
        chosen, index = active.to(shifted.dtype).topk(max(1, int(active.sum(-1).max())), sorted=False)
        rows = self.rows[index] * chosen.unsqueeze(-1)
        gram = (rows * free.unsqueeze(1)) @ rows.mT
        factor, _ = torch.linalg.cholesky_ex(
            gram + torch.diag_embed(torch.ones_like(chosen).masked_fill_(chosen > 0, ridge))
        )
        right = (target.gather(-1, index) * chosen).unsqueeze(-1)
        solution = torch.cholesky_solve(right, factor)
        # Refinement takes out what the ridge did; the ridge only decides between dependent rows.
        for _ in range(REFINEMENTS):
            solution = solution + torch.cholesky_solve(right - gram @ solution, factor)
        # A system that could not be solved gives no number: its points wait for one that can.
        solution = torch.nan_to_num(solution.squeeze(-1), 0.0, 0.0, 0.0)
        return torch.zeros_like(target).scatter(-1, index, solution * chosen)

    def _optimal(self, multipliers: Tensor, excess: Tensor, tolerance: Tensor) -> Tensor:
        gap = torch.where(multipliers > tolerance, excess.abs(), excess)
        gap = torch.maximum(gap, -multipliers)
        gap[:, : self.equalities] = excess[:, : self.equalities].abs()
        return (gap <= tolerance).all(-1)

    def _damped(self, points: Tensor) -> Tensor:
        """Descend in the dual function by regularized Newton steps of the best of many lengths; polish each."""
        multipliers = points.new_zeros(len(points), len(self.rows))
        result, left = points.clone(), torch.arange(len(points), device=points.device)
        for _ in range(DAMPED_STEPS):
            if self.deadline.passed:
                break
            multipliers = self._descend(points, multipliers)
            nearest = torch.clamp(points - multipliers @ self.rows, self.low, self.high)
            arrived = self._optimal(multipliers, nearest @ self.rows.T - self.values, self._tolerance(points))
            polished, solved = self._active_sets(points, multipliers, steps=2)
            nearest = torch.where((solved & ~arrived).unsqueeze(-1), polished, nearest)
            result, solved = result.index_copy(0, left, nearest), arrived | solved
            if bool(solved.all()):
                break
            keep = torch.nonzero(~solved).squeeze(-1)
            points, multipliers, left = points[keep], multipliers[keep], left[keep]
        return result

    def _descend(self, points: Tensor, multipliers: Tensor) -> Tensor:
        """Return multipliers with a lower dual function: a projected Newton step (Bertsekas 1982)."""
        shifted = points - multipliers @ self.rows
        nearest = torch.clamp(shifted, self.low, self.high)
        gradient = self.values - nearest @ self.rows.T
        sloped = (multipliers - self._signed(multipliers - gradient)).abs().amax(-1, keepdim=True)
        stays = (multipliers <= sloped.clamp_max(1e-2 * self.size)) & (gradient > 0)
        stays[:, : self.equalities] = False
        steps = [self._solve_rows(shifted, ~stays, -gradient, damping) for damping in DAMPINGS]
        lengths = 2.0 ** -torch.arange(LENGTHS, dtype=points.dtype, device=points.device)
        moves = torch.cat([step.unsqueeze(1) * lengths.unsqueeze(-1) for step in steps], 1)
        trials = self._signed(multipliers.unsqueeze(1) + moves)
        start = points.unsqueeze(1)
        nearest = torch.clamp(start - trials @ self.rows, self.low, self.high)
        dual = (trials * (self.values - nearest @ self.rows.T)).sum(-1) - (nearest - start).square().sum(-1) / 2
        best = torch.nan_to_num(dual, nan=torch.inf).argmin(-1)
        return trials[torch.arange(len(points), device=points.device), best]

    def _signed(self, multipliers: Tensor) -> Tensor:
        """Clamp the multipliers of inequalities at 0."""
        return torch.cat([multipliers[..., : self.equalities], multipliers[..., self.equalities :].clamp_min(0)], -1)
