"""Annealed ascent: gradient steps that begin long and end short in each excursion, whatever is gained."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.solvers.perturbation import Perturbation, PerturbationOptions
from relu_attack.solvers.perturbed_walk import PerturbedWalk
from relu_attack.solvers.prepared import Prepared

# Lengths of steps over the diagonal of the set: the first of a walker's first excursion, the range, log-uniform, of the
# first of its later ones, and the last of each. A step of several diagonals ends at a vertex of the set.
_FIRST, _LATER, _LAST = 3.0, (0.1, 1.0), 3e-3
# Steps of the first excursion, so that a walk of few steps has ends as well, and of the longest; each has twice as many
# as the one before.
_SHORTEST, _LONGEST = 20, 100


class Annealing(PerturbedWalk):
    """A walk whose step follows a schedule and not what is gained: long steps choose the basin, short ones its top.

    Walkers that go up at every step end at the first top on their way. A normalized step of a fixed length overshoots
    narrow tops and settles in a wide one, which is the higher one more often, and as it falls it comes near the top.
    In subgradient methods it falls geometrically (Goffin, On convergence rates of subgradient optimization methods,
    Mathematical Programming 13, 1977); here its logarithm falls with the square of the time, as what decides is done
    while it is long: ends from random starts are 0.2 to 0.5 % higher on a random network 1000-500x3-1.

    Parameters
    ----------
    prepared, starts, options, generator, perturbation
        As for every `PerturbedWalk`; the `step` and `tolerance` of the options are not used.
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
        super().__init__(prepared, starts, options, generator, perturbation=perturbation)
        self._steps = torch.full_like(self.x[:, :1], _FIRST)
        self._lengths = torch.full_like(self._steps, _SHORTEST)
        self._factors = self._first_factors()
        self._bends = self._factors.square()

    def _first_factors(self) -> Tensor:
        """Return the factor (batch, 1) between the first two steps; each later one is smaller by its square."""
        return (_LAST / self._steps) ** self._lengths.pow(-2)

    def _begin(self, chosen: Tensor) -> None:
        """Draw the first steps of the excursions that begin, of the walkers that are `chosen` (batch, 1)."""
        low, high = _LATER
        share = torch.empty_like(self._steps).uniform_(generator=self.generator)
        self._steps = torch.where(chosen, low * (high / low) ** share, self._steps)
        self._lengths = torch.where(chosen, (2 * self._lengths).clamp_max(_LONGEST), self._lengths)
        self._factors = torch.where(chosen, self._first_factors(), self._factors)
        self._bends = torch.where(chosen, self._factors.square(), self._bends)

    def _ascend(self, gradient: Tensor, out: Tensor) -> None:
        torch.addcmul(self.x, gradient, self._step_per_norm(gradient).mul_(self._steps), out=out)
        self._steps *= self._factors
        self._factors *= self._bends

    def _ended(self, gained: Tensor) -> Tensor:
        ended = self._steps < 1.01 * _LAST
        self._begin(ended)
        return ended[:, 0]

    def restart(self, chosen: Tensor, points: Tensor) -> None:
        super().restart(chosen, points)
        self._begin(chosen[:, None])
