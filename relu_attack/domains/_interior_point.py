"""Multipliers of many linear programs over one box and the same rows, all at once, by an interior-point method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline

# Steps of the interior-point method; it takes 8 to 20.
_STEPS = 40
# Share of the way to the nearest side that a step goes.
_SHARE = 0.99
# The distance between a bound and the value of a point, and that of a point from the rows, which count as none.
GAP, _RESIDUAL = 1e-9, 1e-9
# What is added to the matrix of the equations, whose rows have length 1, where equations nearly depend on each other.
_RIDGE = 1e-13


def interior_point(
    matrix: Tensor, value: Tensor, equations: int, objective: Tensor, *, deadline: Deadline = NEVER
) -> tuple[Tensor, Tensor]:
    """Return multipliers of ``max objective . s`` over all s in [0, 1] with ``matrix @ s <= value``.

    Rows have length 1, the last `equations` of them are equations; the objective is (functions, inputs), with entries
    of at most 1. Returned are the best multipliers until the deadline, (functions, rows), not negative for
    inequalities, and what lies between their bound and the value of the best point near the rows, (functions,).

    Mehrotra, On the Implementation of a Primal-Dual Interior Point Method (1992): a step to the optimum, then one that
    makes up for what the first one leaves. All functions go together; a system of equations has the size of the rows.

    x + y over 0.6 x + 0.8 y <= 0.8 is at most ``x + y + 1.25 (0.8 - 0.6 x - 0.8 y) = 1 + x / 4``:

    >>> row, value = torch.tensor([[0.6, 0.8]], dtype=torch.float64), torch.tensor([0.8], dtype=torch.float64)
    >>> multipliers, gap = interior_point(row, value, 0, torch.ones(1, 2, dtype=torch.float64))
    >>> round(multipliers.item(), 6), bool(gap < 1e-6)
    (1.25, True)
    """
    free = len(value) - equations
    state = _State.first(matrix, value, free, objective)
    best, bound = torch.zeros_like(state.multipliers), objective.clamp_min(0).sum(1)
    reached = torch.full_like(bound, -torch.inf)
    for _ in range(_STEPS):
        above = state.multipliers @ value + (objective - state.multipliers @ matrix).clamp_min(0).sum(1)
        best = torch.where((above < bound)[:, None], state.multipliers, best)
        bound = torch.fmin(bound, above)
        near = (state.residual.abs() <= _RESIDUAL).all(1)
        reached = torch.where(near, torch.fmax(reached, (objective * state.low).sum(1)), reached)
        if deadline.passed or bool((bound - reached <= GAP).all()):
            break
        state = state.step()
    return best, bound - reached


@dataclass(frozen=True, eq=False)
class _State:
    """An iterate: distances from the sides of the box and of the inequalities, and their multipliers.

    `low` is the point s, `high` 1 - s, `room` what inequalities leave; `below` and `above` are the multipliers of the
    box, `multipliers` those of the rows, of which the first `free` are inequalities.
    """

    matrix: Tensor
    value: Tensor
    free: int
    objective: Tensor
    low: Tensor
    high: Tensor
    room: Tensor
    below: Tensor
    above: Tensor
    multipliers: Tensor

    @staticmethod
    def first(matrix: Tensor, value: Tensor, free: int, objective: Tensor) -> _State:
        half, one = torch.full_like(objective, 0.5), torch.ones_like(objective)
        room = (value - half[:1] @ matrix.T)[:, :free].clamp_min(0.1).expand(len(objective), -1)
        multipliers = objective.new_ones(len(objective), len(value))
        multipliers[:, free:] = 0.0
        return _State(matrix, value, free, objective, half, half, room, one, one, multipliers)

    @property
    def residual(self) -> Tensor:
        """What the point and its room leave of the rows, (functions, rows)."""
        left = self.value - self.low @ self.matrix.T
        left[:, : self.free] -= self.room
        return left

    def step(self) -> _State:
        """Return the next iterate."""
        free, slack = self.free, self.multipliers[:, : self.free]
        residual, dual = self.residual, self.objective - self.multipliers @ self.matrix + self.below - self.above
        weight = self.below / self.low + self.above / self.high
        weighted = self.matrix / weight[:, None]
        ridge = torch.full_like(self.multipliers, _RIDGE)
        ridge[:, :free] = self.room / slack
        factor, _ = torch.linalg.cholesky_ex(weighted @ self.matrix.T + torch.diag_embed(ridge))

        def move(to_low: Tensor, to_high: Tensor, to_room: Tensor) -> tuple[Tensor, ...]:
            """Solve Newton's equations for given changes of the products of distances and multipliers."""
            gradient, rest = dual + to_low / self.low - to_high / self.high, residual.clone()
            rest[:, :free] -= to_room / slack
            rows = torch.cholesky_solve(((weighted @ gradient[..., None])[..., 0] - rest)[..., None], factor)[..., 0]
            point = (gradient - rows @ self.matrix) / weight
            room = residual[:, :free] - (point @ self.matrix.T)[:, :free]
            below, above = (to_low - self.below * point) / self.low, (to_high + self.above * point) / self.high
            return point, -point, room, below, above, rows

        products = (self.low * self.below, self.high * self.above, self.room * slack)
        mean = sum(product.sum(1, True) for product in products) / (2 * self.low.shape[1] + free)
        guess = move(*(-product for product in products))
        ahead = self._moved(guess, 1.0)
        left = (ahead.low * ahead.below).sum(1, True) + (ahead.high * ahead.above).sum(1, True)
        left = left + (ahead.room * ahead.multipliers[:, :free]).sum(1, True)
        target = mean * (left / (2 * self.low.shape[1] + free) / mean) ** 3
        changes = (guess[0] * guess[3], guess[1] * guess[4], guess[2] * guess[5][:, :free])
        return self._moved(move(*(target - p - c for p, c in zip(products, changes, strict=True))), _SHARE)

    def _moved(self, move: tuple[Tensor, ...], share: float) -> _State:
        """Go a share of the way to the nearest side, distances and multipliers each by a length of their own."""
        free = self.free
        inner = torch.cat([self.multipliers[:, :free], self.below, self.above], 1)
        along = torch.cat([move[5][:, :free], move[3], move[4]], 1)
        primal = _length(torch.cat([self.low, self.high, self.room], 1), torch.cat(move[:3], 1), share)
        dual = _length(inner, along, share)
        distances = (old + primal * new for old, new in zip((self.low, self.high, self.room), move[:3], strict=True))
        multipliers = (
            old + dual * new for old, new in zip((self.below, self.above, self.multipliers), move[3:], strict=True)
        )
        return _State(self.matrix, self.value, free, self.objective, *distances, *multipliers)


def _length(inner: Tensor, move: Tensor, share: float) -> Tensor:
    """Return how far positive numbers (functions, numbers) can go, at most 1, shape (functions, 1)."""
    ratio = torch.where(move < 0, -inner / move, torch.inf)
    return (share * ratio.amin(1, keepdim=True)).clamp_max(1.0)
