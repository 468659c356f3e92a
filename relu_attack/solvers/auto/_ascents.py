"""The ascents of `auto`, which take turns by what they gain, on one problem or a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from relu_attack.solvers.ascent import (
    Ascent,
    Outcome,
    ScaledProblem,
    Walk,
    finalists,
    run_ascent,
    starting_points,
)
from relu_attack.solvers.core import Budget, Incumbents, Settings

# Walkers whose best points are rounded where that takes a mixed-integer program each; exchanges start from them.
_MOST_ROUNDED = 8


class Ascents:
    """Populations of walkers, one for each composition of a step rule and a restart policy.

    The first composition is the leading one: its population receives what other parts of the search find. The others
    start elsewhere, and are made when their first turn comes.

    Parameters
    ----------
    scaled
        The problem in the coordinates of the walkers.
    settings
        Starts, seed and device.
    walks
        By name.
    """

    def __init__(self, scaled: ScaledProblem, settings: Settings, walks: Mapping[str, Walk]) -> None:
        self.scaled, self._settings, self._walks = scaled, settings, walks
        self._made: dict[str, Ascent] = {}
        self.current = next(iter(walks))
        self.leading = self._ascent(self.current)

    def _ascent(self, name: str) -> Ascent:
        """Return the population of a composition; the one of number n has the seed plus n."""
        if name not in self._made:
            settings, scaled = self._settings, self.scaled
            seed = settings.seed + list(self._walks).index(name)
            generator = torch.Generator(settings.device).manual_seed(seed)
            with torch.inference_mode():
                starts = starting_points(scaled, kind=settings.starts, x0=settings.x0, generator=generator, seed=seed)
                self._made[name] = self._walks[name].begin(scaled, starts, generator)
        return self._made[name]

    def leading_values(self) -> Tensor:
        """Return the best value of the leading population, which restarts once it has converged: (problems,)."""
        return self.leading.best_of_walkers()[1].amax(1)

    def advance(self, name: str, budget: Budget) -> Outcome:
        """Advance the population of a walk."""
        self.current = name
        ascent = self._ascent(name)
        with torch.inference_mode():
            return run_ascent(ascent, budget)

    def finalists(self) -> Tensor:
        """Return the best points of the population that had the last turn, (problems, points, inputs)."""
        with torch.inference_mode():
            domain = self.scaled.problem.domain
            most = None if domain.is_box or not domain.integer else _MOST_ROUNDED
            return finalists(self._ascent(self.current), self.scaled, most=most).clone()

    def offer(self, incumbents: Incumbents) -> Tensor:
        """Offer these, also to the leading population where another one gained, and return them."""
        found, before = self.finalists(), incumbents.value.clone()
        incumbents.offer_each(found, self.current)
        if self._ascent(self.current) is not self.leading:
            for index in torch.nonzero(incumbents.value > before).flatten().tolist():
                self.inject(index, incumbents.x[index])
        return found

    def ends(self, index: int) -> tuple[Tensor, list[int]]:
        """Return where the walkers of the last turn ended on a problem, and their best points, the highest first.

        Returns
        -------
        points, walkers
            Points in the user's coordinates, float64, shape (points, inputs), and whose they are.
        """
        with torch.inference_mode():
            points, values = (part[index] for part in self._ascent(self.current).ends())
        known = torch.nonzero(torch.isfinite(values))[:, 0]
        order = known[values[known].argsort(descending=True)]
        user = self.scaled.shift + self.scaled.scale * points[order].to("cpu", torch.float64)
        return user, (order % self.scaled.restarts).tolist()

    def adopt(self, index: int, tops: Sequence[tuple[int, Tensor]]) -> None:
        """Replace best points of walkers of the last turn by better points (inputs,) of the user's set."""
        if tops:
            ascent = self._ascent(self.current)
            walkers, points = zip(*tops, strict=True)
            with torch.inference_mode():
                ascent.adopt(*self._rows(ascent, index, walkers, torch.stack(points)))

    def inject(self, index: int, x: Tensor) -> None:
        """Restart the weakest walker of the leading population of a problem from a point (inputs,)."""
        weakest = int(self.leading.best_of_walkers()[1][index].argmin())
        with torch.inference_mode():
            self.leading.restart(*self._rows(self.leading, index, [weakest], x[None]))

    def _rows(self, ascent: Ascent, index: int, walkers: Sequence[int], points: Tensor) -> tuple[Tensor, Tensor]:
        """Return which rows of a batch some walkers of a problem are, and their points among the current ones."""
        scaled = self.scaled
        rows = scaled.by_problem(ascent.x).clone()
        chosen = torch.zeros(rows.shape[:2], dtype=torch.bool, device=rows.device)
        for walker, point in zip(walkers, scaled.from_user(points), strict=True):
            rows[index, walker], chosen[index, walker] = point, True
        return chosen.view(-1), rows.view(scaled.batch, -1)

    def restart_collapsed(self, radius: float) -> None:
        """Restart all leading walkers of a problem once more than half of them are within a radius, in diagonals."""
        with torch.inference_mode():
            collapsed = self.leading.collapsed(radius)
            if bool(collapsed.any()):
                self.leading.restart_all(collapsed)
