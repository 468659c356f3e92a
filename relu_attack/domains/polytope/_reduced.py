"""The reduced form of a polytope, as walks use it: nearest points, points inside, and steps to the boundary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from relu_attack._deadline import Deadline
from relu_attack.domains._arrangement import steps_to_bounds
from relu_attack.domains.polytope._form import Array, PolytopeForm
from relu_attack.domains.polytope._projection import Projector


@dataclass(frozen=True, kw_only=True, eq=False)
class ReducedPolytope:
    """Rows of which those that are no equations have room, and a point inside, in one dtype; nothing is proved from it.

    Attributes
    ----------
    projector
        The rows, equations first, and the bounds.
    interior
        A point in the relative interior, (inputs,).
    largest
        About the largest \\|x\\| in the set, (inputs,).
    """

    projector: Projector
    interior: Tensor
    largest: Tensor

    @staticmethod
    def of(form: PolytopeForm, interior: Array, largest: Tensor, deadline: Deadline) -> ReducedPolytope:
        """Return the reduced form in float64 on the CPU."""
        rows, values = np.vstack([form.E, form.A]), np.concatenate([form.e, form.b])
        projector = Projector(
            rows=torch.as_tensor(rows), values=torch.as_tensor(values), equalities=len(form.e),
            low=torch.as_tensor(form.low), high=torch.as_tensor(form.high),
            interior=torch.as_tensor(interior), deadline=deadline,
        )  # fmt: skip
        return ReducedPolytope(projector=projector, interior=torch.as_tensor(interior), largest=largest)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> ReducedPolytope:
        """Return a rounded copy."""
        interior, largest = (part.to(device=device, dtype=dtype) for part in (self.interior, self.largest))
        return ReducedPolytope(
            projector=self.projector.to(device=device, dtype=dtype), interior=interior, largest=largest
        )

    @property
    def equations(self) -> Tensor:
        """Orthonormal rows of the equations, (equations, inputs)."""
        return self.projector.rows[: self.projector.equalities]

    @property
    def _inequalities(self) -> tuple[Tensor, Tensor]:
        count = self.projector.equalities
        return self.projector.rows[count:], self.projector.values[count:]

    @cached_property
    def _margin(self) -> Tensor:
        """What the products of the rows with points of the set are off by for a rounding, (rows,)."""
        rows, values = self._inequalities
        return 8 * torch.finfo(rows.dtype).eps * (rows.abs() @ self.largest + values.abs())

    def onto_equations(self, points: Tensor) -> Tensor:
        """Return the nearest points of the affine hull; points that meet the equations already stay."""
        projector = self.projector
        points = torch.where(projector.low == projector.high, projector.low, points)
        if projector.equalities == 0:
            return points
        rows, values = self.equations, projector.values[: projector.equalities]
        rounding = 8 * torch.finfo(rows.dtype).eps * projector.size
        # The second pass takes out the rounding of the first, which is that of a point far away.
        for _ in range(2):
            error = points @ rows.T - values
            points = points - torch.where(error.abs() > rounding, error, 0.0) @ rows
        return points

    def outside(self, points: Tensor) -> Tensor:
        """Return which points (count, inputs) of the affine hull break a row or a bound."""
        rows, values = self._inequalities
        outside = ((points < self.projector.low) | (points > self.projector.high)).any(-1)
        return outside if len(rows) == 0 else outside | ((points @ rows.T) > values).any(-1)

    def nearest(self, points: Tensor) -> Tensor:
        """Return the nearest points of the set, inside of it, for points (count, inputs) of the affine hull."""
        return self.pulled_inside(self.projector.nearest(points))

    def pulled_inside(self, points: Tensor) -> Tensor:
        """Move points that leave the set by roundings toward the interior point, until they are inside."""
        projector, interior = self.projector, self.interior
        points = self.onto_equations(points)
        offset = points - interior
        rows, values = self._inequalities
        room, margin = values - rows @ interior, self._margin
        if rows.dtype == torch.float64:
            room = torch.maximum(room - margin, room / 2).clamp_min(0)
        else:
            # A distance from the boundary below a rounding is not worth a move by a share of the whole set.
            room = room.clamp_min(0) + margin
        share = _largest_share(offset @ rows.T, room)
        if projector.equalities:
            share = torch.minimum(share, _largest_share(offset, projector.high - interior))
            share = torch.minimum(share, _largest_share(-offset, interior - projector.low))
        pulled = torch.where((share < 1).unsqueeze(-1), interior + share.unsqueeze(-1) * offset, points)
        return torch.clamp(pulled, projector.low, projector.high)

    def max_step(self, points: Tensor, direction: Tensor) -> Tensor:
        """Return how far points (..., inputs) of the set go along a direction, (...); 0 where an equation breaks."""
        projector, count = self.projector, self.projector.equalities
        # Roundings of a direction along a face must not count as a step through it.
        flat = 64 * torch.finfo(direction.dtype).eps * direction.abs().amax(-1, keepdim=True)
        direction = torch.where(direction.abs() > flat, direction, 0.0)
        rate, slack = direction @ projector.rows.T, projector.values - points @ projector.rows.T
        rate = torch.where(rate.abs() > flat * math.sqrt(direction.shape[-1]), rate, 0.0)
        leaves = (rate[..., :count] != 0).any(-1)
        rate, slack = rate[..., count:], slack[..., count:].clamp_min(0)
        through = torch.where(rate > 0, slack / rate, torch.inf)
        bounded = torch.clamp(points, projector.low, projector.high)
        step = steps_to_bounds(bounded, direction, projector.low, projector.high)
        step = torch.cat([step.unsqueeze(-1), through], -1).amin(-1)
        return torch.where(leaves, 0.0, step)


def _largest_share(offset: Tensor, room: Tensor) -> Tensor:
    """Return the largest share <= 1 of offsets (count, rows) that stays within the room (rows,), shape (count,)."""
    share = torch.where(offset > room, room / offset, 1.0)
    return torch.cat([share, share.new_ones(len(share), 1)], -1).amin(-1)
