"""Perturbation of stalled walkers, shared by PPGA and PPGA_LR."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.errors import OptionError
from relu_attack.solvers.ascent._base import WalkOptions
from relu_attack.solvers.ascent._scaled_problem import Prepared


@dataclass(frozen=True, kw_only=True)
class PerturbationOptions(WalkOptions):
    """Options of the walks that perturb stalled walkers.

    Attributes
    ----------
    radius
        Standard deviation of the first perturbation, in widths of the set.
    radius_growth
        Factor on the radius each time that a walker falls back to a maximum that is no better.
    """

    radius: float = 0.3
    radius_growth: float = 1.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.radius <= 1:
            raise OptionError(f"radius must be in (0, 1] widths of the set, got {self.radius}")
        if not 1 <= self.radius_growth < float("inf"):
            raise OptionError(f"radius_growth must be at least 1, got {self.radius_growth}")


class Perturbation:
    """Sends a walker on from near its best point, farther each time that it falls back to the same maximum.

    Parameters
    ----------
    prepared
        The problem in walking coordinates.
    options
        Radius and growth of the perturbation.
    generator
        Source of randomness.
    """

    def __init__(self, prepared: Prepared, options: PerturbationOptions, generator: torch.Generator) -> None:
        self._prepared = prepared
        self._radius = options.radius
        self._growth = options.radius_growth
        self._generator = generator
        network = prepared.network
        self._radii = torch.full((prepared.batch, 1), options.radius, dtype=network.dtype, device=network.device)
        self.best_x = self._radii.new_zeros(prepared.batch, network.inputs)
        self.best_value = torch.full_like(self._radii[:, 0], -torch.inf)

    def forget(self, chosen: Tensor) -> None:
        """Forget the best points of the walkers that are `chosen` (batch,)."""
        self.best_value.masked_fill_(chosen, -torch.inf)
        self._radii.masked_fill_(chosen[:, None], self._radius)

    def next_starts(self, ended: Tensor, excursion_x: Tensor, excursion_value: Tensor) -> Tensor:
        """Close the excursions that `ended` (batch,) and return the perturbed starts, shape (batch, inputs)."""
        first = torch.isinf(self.best_value)
        gained = first | (excursion_value > self.best_value + 1e-6 * self.best_value.abs())
        better = ended & (excursion_value > self.best_value)
        self.best_x = torch.where(better[:, None], excursion_x, self.best_x)
        self.best_value = torch.where(better, excursion_value, self.best_value)
        radii = torch.where(gained[:, None], self._radius, (self._radii * self._growth).clamp_max(1.0))
        self._radii = torch.where(ended[:, None], radii, self._radii)
        noise = torch.empty_like(self.best_x).normal_(generator=self._generator)
        move = (self._prepared.by_problem(noise) * self._prepared.widths).view_as(noise)
        starts = self._prepared.project(torch.addcmul(self.best_x, self._radii, move))
        return self._restart_duplicates(ended, starts)

    def _restart_duplicates(self, ended: Tensor, starts: Tensor) -> Tensor:
        """Begin elsewhere with those walkers whose best is another walker's best as well."""
        values, order = self._prepared.by_problem(self.best_value).sort(1, descending=True)
        points = self._prepared.by_problem(self.best_x)
        points = points.gather(1, order[:, :, None].expand_as(points))
        close = (values[:, 1:] >= values[:, :-1] - 1e-5 * values[:, :-1].abs()) & torch.isfinite(values[:, 1:])
        close &= ((points[:, 1:] - points[:, :-1]).abs() <= 1e-2 * self._prepared.widths).all(2)
        duplicate = torch.zeros_like(order, dtype=torch.bool).scatter_(1, order[:, 1:], close).view(-1) & ended
        if not bool(duplicate.any()):
            return starts
        self.forget(duplicate)
        return torch.where(duplicate[:, None], self._prepared.sample(self._generator), starts)
