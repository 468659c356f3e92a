"""The end of the climb where linear programs do not serve: closing steps from the best points."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from relu_attack.result import Status
from relu_attack.solvers.ascent import ScaledProblem, closing_ascent, finalists, run_ascent
from relu_attack.solvers.core import Budget, Incumbents

FINISH = "finish"
"""Name of the finish among the parts of the portfolio."""

# Walkers of a turn for each problem: from the incumbent, from points around it, and from the best ones of others.
_AROUND, _OTHERS = 4, 4
# How far around, in diagonals of the set: as far as the first of the closing steps.
_DISTANCE = 3e-4
# Steps of a turn: the first, when nothing is known of their cost, and the range.
_FIRST_STEPS, _FEWEST, _MOST = 300, 100, 1500


class Finish:
    """A few walkers with closing steps; each turn begins again from the best points.

    Parameters
    ----------
    scaled
        The problem in the coordinates of the walkers.
    incumbents
        Where turns begin, and what receives what they find.
    budget
        Of the whole search.
    seed
        Of the points around incumbents.
    """

    def __init__(self, scaled: ScaledProblem, incumbents: Incumbents, budget: Budget, seed: int) -> None:
        self._scaled, self._incumbents, self._budget = scaled, incumbents, budget
        self._generator = torch.Generator(scaled.network.device).manual_seed(seed)
        self._per_step: float | None = None

    def search(self, found: Tensor, *, seconds: float) -> None:
        """Climb from the incumbents and from the best points that were found, (problems, points, inputs)."""
        budget, steps = self._budget, _FIRST_STEPS
        if self._per_step is not None:
            steps = min(max(int(seconds / self._per_step), _FEWEST), _MOST)
        began = budget.elapsed()
        with torch.inference_mode():
            starts = self._starts(found)
            scaled = replace(self._scaled, restarts=starts.shape[1])
            ascent = closing_ascent(steps).begin(scaled, starts.flatten(0, 1), self._generator)
            outcome = run_ascent(ascent, budget.part(iterations=steps))
            self._incumbents.offer_each(finalists(ascent, scaled), FINISH)
        self._per_step = (budget.elapsed() - began) / outcome.iterations
        if outcome.status is Status.INTERRUPTED:
            raise KeyboardInterrupt

    def _starts(self, found: Tensor) -> Tensor:
        """Return starts (problems, walkers, inputs) in the coordinates of the walkers."""
        scaled = self._scaled
        best = scaled.from_user(self._incumbents.x[:, None])
        around = best.expand(-1, _AROUND, -1)
        noise = torch.empty_like(around, memory_format=torch.contiguous_format).normal_(generator=self._generator)
        noise[:, 0] = 0
        diagonal = torch.linalg.vector_norm(scaled.widths, dim=-1, keepdim=True)
        length = torch.linalg.vector_norm(noise, dim=-1, keepdim=True).clamp_min(torch.finfo(noise.dtype).tiny)
        # The first finalist is the incumbent of its walk.
        return torch.cat([around + _DISTANCE * diagonal * noise / length, scaled.from_user(found[:, :_OTHERS])], 1)
