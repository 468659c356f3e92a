"""Walks that perturb the walkers whose excursion has ended."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.solvers.ascent._base import Walk
from relu_attack.solvers.ascent._perturbation import Perturbation, PerturbationOptions
from relu_attack.solvers.ascent._scaled_problem import Prepared


class PerturbedWalk(Walk):
    """A walk whose walkers go on from near their best points.

    Parameters
    ----------
    prepared, starts, options, generator
        As for every walk.
    perturbation
        Keeps the best point of each walker and says where its next excursion begins.
    """

    def __init__(
        self,
        prepared: Prepared,
        starts: Tensor,
        options: PerturbationOptions,
        generator: torch.Generator,
        *,
        perturbation: type[Perturbation] = Perturbation,
    ) -> None:
        super().__init__(prepared, starts, options, generator)
        self._perturbation = perturbation(prepared, options, generator)

    def best_of_walkers(self) -> tuple[Tensor, Tensor]:
        x, value = super().best_of_walkers()
        before = self.prepared.by_problem(self._perturbation.best_value)
        points = torch.where((before > value)[:, :, None], self.prepared.by_problem(self._perturbation.best_x), x)
        return points, torch.maximum(before, value)

    def restart(self, chosen: Tensor, points: Tensor) -> None:
        super().restart(chosen, points)
        self._perturbation.forget(chosen)

    def _next_starts(self, ended: Tensor) -> Tensor:
        return self._perturbation.next_starts(ended, self.excursion_x, self.excursion_value)
