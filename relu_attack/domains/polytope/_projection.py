"""The nearest point of a polytope, for a batch of points at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.domains.polytope._copies import WEIGHT, Copies
from relu_attack.domains.polytope._least_distance import least_distance
from relu_attack.domains.polytope._splitting import Splitting

# Rounds of active sets from no multipliers, and from those of operator splitting.
ACTIVE_SET_STEPS, POLISHING_STEPS = 4, 3
# Rounds of operator splitting before each of the polishings of the points that are left.
SPLITTING_ROUNDS = (25, 50, 100, 200, 400, 800, 1600, 3200)
# Rounds after which points that are left are found one by one at once, where that takes but milliseconds each: how many
# they are, times the entries of the rows.
_SPLITTING_ROUNDS_FOR_FEW, _FEW_ENTRIES = 200, 2**13
REFINEMENTS = 1
# Largest number of entries of the array (points, rows, inputs) that one round of active sets may make.
CHUNK_ENTRIES = 2**24
# Products of one round at most: about a fifth of a second of one core, after which the clock is read.
CHUNK_PRODUCTS = 2**31


@dataclass(frozen=True, kw_only=True, eq=False)
class Projector:
    """Nearest points of ``{x : rows x <= values, low <= x <= high}``, the first `equalities` rows being equations.

    An active-set iteration: guess which rows hold with equality and which inputs sit at a bound, solve the optimality
    conditions for the multipliers of those rows (one small symmetric system a point), read the next guess off the
    answer (Hintermueller, Ito, Kunisch, The primal-dual active set strategy as a semismooth Newton method, 2002). It
    ends, exactly, in a few rounds where the guess is close. From no multipliers that is so with few rows; for the other
    points rounds of operator splitting come closer, more and more of them until the guess that their multipliers give
    is close enough. Where more rows than there are inputs meet, none is: such points are found by `least_distance`.

    Attributes
    ----------
    rows, values
        Orthonormal equations, then inequalities of norm 1, shapes (rows, inputs) and (rows,).
    equalities
        How many are equations.
    low, high
        Bounds, shape (inputs,).
    interior
        A point of the set that satisfies the equations, shape (inputs,).
    deadline
        After it, what comes back is some point.
    """

    rows: Tensor
    values: Tensor
    equalities: int
    low: Tensor
    high: Tensor
    interior: Tensor
    deadline: Deadline = NEVER

    @cached_property
    def _splitting(self) -> Splitting:
        count = self.equalities
        room = (self.values - self.rows @ self.interior)[count:].clamp_min(0)
        low, high = (self.low - self.interior).clamp_max(0), (self.high - self.interior).clamp_min(0)
        return Splitting.of(self.rows[count:], room, self.rows[:count], low, high)

    @cached_property
    def size(self) -> float:
        """About how large coordinates are, as what roundings are relative to."""
        return max(1.0, float(self.interior.abs().max()))

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype) -> Projector:
        """Return the projection on another device or in another dtype."""
        parts = (self.rows, self.values, self.low, self.high, self.interior)
        rows, values, low, high, interior = (part.to(device=device, dtype=dtype) for part in parts)
        return replace(self, rows=rows, values=values, low=low, high=high, interior=interior)

    def within(self, deadline: Deadline) -> Projector:
        """Return the projection for a call that ends at a deadline."""
        timed = replace(self, deadline=deadline)
        vars(timed).update({name: value for name, value in vars(self).items() if name == "_splitting"})
        return timed

    def nearest(self, points: Tensor) -> Tensor:
        """Return the nearest points of `points` (count, inputs), up to rounding; after the deadline some points."""
        if len(self.rows) == 0 or self.deadline.passed:
            return torch.clamp(points, self.low, self.high)
        entries = max(1, self.rows.numel())
        chunk = max(1, min(CHUNK_ENTRIES // entries, CHUNK_PRODUCTS // (entries * len(self.rows))))
        if len(points) > chunk:
            return torch.cat([self.nearest(part) for part in points.split(chunk)])
        result, solved = self._active_sets(
            points, points.new_zeros(len(points), len(self.rows)), steps=ACTIVE_SET_STEPS
        )
        left = torch.nonzero(~solved).squeeze(-1)
        copies = self._splitting.copies(points[left] - self.interior)
        for rounds in SPLITTING_ROUNDS:
            soon_done = rounds > _SPLITTING_ROUNDS_FOR_FEW and len(left) * self.rows.numel() <= _FEW_ENTRIES
            if len(left) == 0 or self.deadline.passed or soon_done:
                break
            self._split(copies, rounds)
            near = torch.clamp(copies.x.T + self.interior, self.low, self.high)
            polished, solved = self._active_sets(points[left], self._multipliers(copies), steps=POLISHING_STEPS)
            result = result.index_copy(0, left, torch.where(solved.unsqueeze(-1), polished, near))
            keep = torch.nonzero(~solved).squeeze(-1)
            left, copies = left[keep], copies.at(keep)
        return self._finished(points, result, left)

    def _finished(self, points: Tensor, result: Tensor, left: Tensor) -> Tensor:
        """Return nearest points, with those that are `left` found one after the other."""
        splitting = self._splitting
        for index in left.tolist():
            if self.deadline.passed:
                break
            target = points[index] - self.interior
            distance = float(torch.linalg.vector_norm(points[index] - result[index]))
            found = least_distance(splitting, target, distance or 1.0)
            if found is None:
                continue
            x, sides = found
            bounded = (x > splitting.low) & (x < splitting.high)
            rest = torch.where(bounded, target - x - sides @ splitting.rows, 0.0)
            multipliers = torch.cat([rest @ splitting.equations.T, WEIGHT * sides])
            polished, solved = self._active_sets(points[index : index + 1], multipliers[None], steps=POLISHING_STEPS)
            result[index] = polished[0] if bool(solved) else torch.clamp(x + self.interior, self.low, self.high)
        return result

    def _split(self, copies: Copies, rounds: int) -> None:
        """Do rounds toward the nearest points of offsets from the interior point."""
        for _ in range(rounds):
            self._splitting.round(copies)
            if self.deadline.passed:
                break

    def _multipliers(self, copies: Copies) -> Tensor:
        """Return what operator splitting has for multipliers of the rows, equations first, (points, rows)."""
        splitting, multipliers = self._splitting, copies.excess.T
        bounds, sides = multipliers[:, : copies.inputs], multipliers[:, copies.inputs :][:, : splitting.count]
        rest = (copies.target - copies.x).T - bounds - sides @ splitting.rows
        return torch.cat([rest @ splitting.equations.T, WEIGHT * sides], 1)

    def _tolerance(self, points: Tensor) -> Tensor:
        return 1e-12 * points.abs().amax(-1, keepdim=True).clamp_min(self.size)

    def _active_sets(self, points: Tensor, multipliers: Tensor, *, steps: int) -> tuple[Tensor, Tensor]:
        """Return the points of the last guess, and which of them satisfy the optimality conditions."""
        tolerance = self._tolerance(points)
        result = torch.clamp(points - multipliers @ self.rows, self.low, self.high)
        excess = result @ self.rows.T - self.values
        solved = torch.zeros(len(points), dtype=torch.bool, device=points.device)
        left = torch.arange(len(points), device=points.device)
        for _ in range(steps):
            # No more rows than inputs hold with equality at a nearest point: a guess of more is far off, and expensive.
            hopeful = (multipliers + excess > 0).sum(-1) <= points.shape[-1]
            left, tolerance, points, multipliers, excess = (
                part[hopeful] for part in (left, tolerance, points, multipliers, excess)
            )
            if len(left) == 0 or self.deadline.passed:
                break
            multipliers, nearest, excess = self._solve_guess(points, multipliers, excess)
            good = self._optimal(multipliers, excess, tolerance)
            result, solved = result.index_copy(0, left, nearest), solved.index_copy(0, left, good)
            left, tolerance, points, multipliers, excess = (
                part[~good] for part in (left, tolerance, points, multipliers, excess)
            )
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
