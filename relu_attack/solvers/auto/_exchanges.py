"""The exchanges of `auto`: local searches over integer inputs from where walkers end, on one problem or a batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relu_attack.solvers.auto._ascents import Ascents
from relu_attack.solvers.auto._exchange import Exchange, neighbor_values
from relu_attack.solvers.core import Budget, Incumbents

EXCHANGE = "exchange"
"""Name of the exchanges among the parts of the portfolio."""


class Exchanges:
    """An exchange for each problem, which resumes where it stopped.

    Parameters
    ----------
    incumbents
        Receive what is found.
    budget
        Of the whole search.
    seed
        Of the random changes.
    """

    def __init__(self, incumbents: Incumbents, budget: Budget, seed: int) -> None:
        self._incumbents, self._budget, self._seed = incumbents, budget, seed
        self._values = neighbor_values(incumbents.problem)
        self._made: dict[int, Exchange] = {}

    def best(self, index: int, count: int) -> Tensor | None:
        """Return the best points of as many searches on a problem, the first excluded: (points, inputs), if any."""
        return self._made[index].best(count + 1)[1:] if index in self._made else None

    def search(self, indices: list[int], starts: Tensor, ascents: Ascents, *, seconds: float) -> None:
        """Search on some problems in equal shares of the time; the weakest walker continues from a new incumbent.

        Parameters
        ----------
        indices
            Numbers of the problems.
        starts
            Points of the sets with integral inputs, shape (all problems, points, inputs).
        ascents
            The walkers.
        seconds
            For all of the problems; infinite for a fixed number of rounds.
        """
        for index in indices:
            if self._budget.left() <= 0:
                return
            began, own = self._budget.elapsed(), seconds / len(indices)
            with torch.inference_mode():
                self._search(index, starts[index], ascents, math.inf if math.isinf(seconds) else began + own)

    def _search(self, index: int, starts: Tensor, ascents: Ascents, end: float) -> None:
        incumbents, budget = self._incumbents, self._budget
        if index not in self._made:
            generator = torch.Generator().manual_seed(self._seed)
            self._made[index] = Exchange(incumbents.single(index), starts, generator, values=self._values)
        exchange, gained = self._made[index], False
        exchange.offer_starts(starts)
        exchange.join(incumbents.x[index])
        try:
            exchange.search(lambda: min(end - budget.elapsed(), budget.left()))
        finally:
            gained = incumbents.offer(index, exchange.points, EXCHANGE)
        if gained:
            ascents.inject(index, incumbents.x[index])
