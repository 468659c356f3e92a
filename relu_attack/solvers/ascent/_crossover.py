"""Crossing: walkers begin anew between their own best point and another's."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.solvers.ascent._pattern_perturbation import PatternPerturbation
from relu_attack.solvers.ascent._perturbation import PerturbationOptions
from relu_attack.solvers.ascent._scaled_problem import Prepared

# Share of the excursions of every second walker that begin between two best points. The others begin at a perturbed
# one: where all walkers crossed, they agreed on a lower top in 2 of 12 runs on a small convolutional network.
_SHARE = 0.7


class Crossing(PatternPerturbation):
    """Sends every second walker mostly on from between its own best point and that of a random walker of its problem.

    The walkers between them search for themselves. Only a better point of its own replaces the best point of a walker,
    so that walkers share what they found and do not soon become one: crowding (Mahfoud, Niching methods for genetic
    algorithms, 1995).
    """

    def __init__(self, prepared: Prepared, options: PerturbationOptions, generator: torch.Generator) -> None:
        super().__init__(prepared, options, generator)
        walker = torch.arange(prepared.batch, device=self.best_value.device) % prepared.restarts
        self._crosses = walker % 2 == 0

    def next_starts(self, ended: Tensor, excursion_x: Tensor, excursion_value: Tensor) -> Tensor:
        starts = super().next_starts(ended, excursion_x, excursion_value)
        other, other_value = self._others()
        # A walker without a best point was just sent to a random one; another's may be missing as well.
        known = torch.isfinite(self.best_value) & torch.isfinite(other_value)
        chosen = (self._uniform() < _SHARE) & (known & self._crosses)[:, None]
        between = self._prepared.project(torch.lerp(self.best_x, other, self._uniform()))
        return torch.where(chosen, between, starts)
