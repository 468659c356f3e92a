"""PPGA: projected gradient ascent with perturbation of stalled walkers."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.solvers.perturbation import Perturbation, PerturbationOptions
from relu_attack.solvers.prepared import Prepared
from relu_attack.solvers.walk import Walk


class PPGA(Walk):
    """Perturbed projected gradient ascent.

    Gradient Walk with one rule more: a walker that stalls goes on from ``P_X(x_best + rho w u)``, u Gaussian, w the
    widths of the set; rho grows while it falls back, and is reset on gain. Of walkers that share a maximum one
    begins elsewhere. Source: arXiv 2512.24295.
    """

    def __init__(
        self, prepared: Prepared, starts: Tensor, options: PerturbationOptions, generator: torch.Generator
    ) -> None:
        super().__init__(prepared, starts, options, generator)
        self._perturbation = Perturbation(prepared, options, generator)

    def _next_starts(self, ended: Tensor) -> Tensor:
        return self._perturbation.next_starts(ended, self.excursion_x, self.excursion_value)
