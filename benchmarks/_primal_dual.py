"""Many small linear programs at once by restarted primal-dual hybrid gradient, one batched product a half-step.

Steps and primal weights are those of PDLP (Applegate et al., arXiv 2106.04756), reflected Halpern averaging and its
restarts those of Lu, Yang, arXiv 2407.16144. Averages restarted by the KKT error, as in PDLP, took up to
twice as many steps on regions of networks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

# Power iterations for the norm of the rows, and by how much they may fall short of it.
_POWER, _MARGIN = 8, 1.06
# A restart needs a fixed-point error of the first share, or of the second where it grows again, of that after the last
# restart, or an age of the third share of all steps; it is looked for every eighth step.
_ENOUGH, _SOME, _OLD, _EVERY = 0.2, 0.8, 0.36, 8
_NOTHING = 1e-30


@dataclass(eq=False)
class PrimalDual:
    """The iterates of programs ``max c x, rows x <= room, lower <= x <= upper`` that all admit x = 0.

    Shapes are (programs, columns) for c, lower, upper; (programs, rows, columns) and (programs, rows); c has norm 1.
    `weight` (programs,) is the primal weight, the ratio of dual to primal distances, which adapts at each restart.
    """

    c: Tensor
    rows: Tensor
    room: Tensor
    lower: Tensor
    upper: Tensor
    weight: Tensor

    def __post_init__(self) -> None:
        self.step_size = self._step_size()
        self.x, self.y = torch.zeros_like(self.c), torch.zeros_like(self.room)
        self.next_x, self.next_y, self.x0, self.y0 = self.x, self.y, self.x, self.y
        self.age, self.total = torch.zeros_like(self.weight), 0
        self.first_error = self.last_error = torch.full_like(self.weight, torch.inf)

    def step(self) -> None:
        """Take one step of all programs."""
        primal, dual = (self.step_size / self.weight)[:, None], (self.step_size * self.weight)[:, None]
        self.next_x = torch.clamp(self.x + primal * (self.c - self._transposed(self.y)), self.lower, self.upper)
        ahead = torch.bmm(self.rows, (2 * self.next_x - self.x)[:, :, None])[:, :, 0]
        self.next_y = (self.y + dual * (ahead - self.room)).clamp_min_(0)
        self.total += 1
        over = self._over() if self.total % _EVERY == 0 or self.total < _EVERY else None
        self.age = self.age + 1
        share = (self.age / (self.age + 1))[:, None]
        self.x = share * (2 * self.next_x - self.x) + (1 - share) * self.x0
        self.y = share * (2 * self.next_y - self.y) + (1 - share) * self.y0
        if over is not None and bool(over.any()):
            self._adapt(over)
            self.restart(over)

    def restart(self, where: Tensor) -> None:
        """Go on from the last iterates of some programs (programs,), without what was averaged before."""
        here = where[:, None]
        self.x, self.x0 = (torch.where(here, self.next_x, old) for old in (self.x, self.x0))
        self.y, self.y0 = (torch.where(here, self.next_y, old) for old in (self.y, self.y0))
        self.age = torch.where(where, 0.0, self.age)
        self.first_error = torch.where(where, torch.inf, self.first_error)

    def add_rows(self, rows: Tensor, room: Tensor) -> None:
        """Append rows (programs, more, columns); where there is nothing to add they are 0, and their room is large."""
        self.rows, self.room = torch.cat([self.rows, rows], 1), torch.cat([self.room, room], 1)
        none = torch.zeros_like(room)
        self.y, self.y0, self.next_y = (torch.cat([old, none], 1) for old in (self.y, self.y0, self.next_y))
        self.step_size = self._step_size()

    def keep(self, places: Tensor) -> None:
        """Drop all programs but those at these places."""
        state = ("step_size", "x", "y", "next_x", "next_y", "x0", "y0", "age", "first_error", "last_error")
        for name in (*(field.name for field in fields(self)), *state):
            setattr(self, name, getattr(self, name)[places])

    def dual_bound(self) -> Tensor:
        """Return upper bounds (programs,) by weak duality."""
        reduced = self.c - self._transposed(self.next_y)
        ends = reduced.clamp_min(0) * self.upper + reduced.clamp_max(0) * self.lower
        return (self.next_y * self.room).sum(1) + ends.sum(1)

    def _transposed(self, y: Tensor) -> Tensor:
        return torch.bmm(y[:, None], self.rows)[:, 0]

    def _over(self) -> Tensor:
        """Return which programs are to restart (programs,), by their fixed-point error."""
        moved, turned = self.next_x - self.x, self.next_y - self.y
        error = (self.weight * moved.square().sum(1) + turned.square().sum(1) / self.weight).sqrt()
        fresh = torch.isinf(self.first_error)
        self.first_error = torch.where(fresh, error, self.first_error)
        fell = error <= _ENOUGH * self.first_error
        rises = (error <= _SOME * self.first_error) & (error > self.last_error)
        self.last_error = error
        return ~fresh & (fell | rises | (self.age >= _OLD * self.total))

    def _adapt(self, where: Tensor) -> None:
        """Move the primal weight half of the way, in logarithms, to the ratio of the distances since the restart."""
        primal, dual = (self.next_x - self.x0).norm(dim=1), (self.next_y - self.y0).norm(dim=1)
        where = where & (primal > _NOTHING) & (dual > _NOTHING)
        ratio = torch.where(where, dual, 1.0) / torch.where(where, primal, 1.0)
        self.weight = torch.where(where, (ratio * self.weight).sqrt(), self.weight)

    def _step_size(self) -> Tensor:
        vector = torch.randn(*self.c.shape, 1, generator=torch.Generator().manual_seed(0), dtype=self.c.dtype)
        for _ in range(_POWER):
            vector = self.rows.mT @ (self.rows @ vector)
            size = vector.norm(dim=1, keepdim=True)
            vector = vector / size.clamp_min(_NOTHING)
        return 1 / (_MARGIN * size[:, 0, 0].sqrt().clamp_min(_NOTHING))
