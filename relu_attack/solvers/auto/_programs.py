"""The programs of `auto`: local searches over linear regions from where walkers end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from relu_attack.bounds import bound_rows
from relu_attack.problem import Problem
from relu_attack.solvers.auto._ascents import Ascents
from relu_attack.solvers.auto._shares import Share, improved
from relu_attack.solvers.core import Budget, Incumbents
from relu_attack.solvers.region_search import LocalSearch, LPWalk, MILPWalk, NeighborhoodSearch

# Starts and programs of the local searches of a turn without a time limit.
_MAX_STARTS, _MAX_PROGRAMS = 8, 50
MILP_WALK = "milp_walk"
"""Name of the mixed-integer programs among the parts of the portfolio."""


class Climber(Protocol):
    """A local search on one problem."""

    def climb(self, x: Tensor) -> Tensor:
        """Return a point above x (inputs,), float64, or the best one when the time runs out."""
        ...


def lp_climber(problem: Problem, left: Callable[[], float]) -> Climber:
    """Return the local search of LP Walk on a single problem, which runs while seconds are `left`."""
    return LocalSearch(problem, LPWalk(), left, lambda x: None)


class LinearPrograms:
    """Local search by linear programs on one problem, from where walkers end.

    Parameters
    ----------
    incumbents, index
        Receive what is found, and the number of the problem.
    budget
        Of the whole search.
    make_climber
        Makes the local search, given the problem and a clock of remaining seconds.
    """

    def __init__(
        self,
        incumbents: Incumbents,
        index: int,
        budget: Budget,
        make_climber: Callable[[Problem, Callable[[], float]], Climber],
    ) -> None:
        self._incumbents, self._index, self._budget = incumbents, index, budget
        self._climber = make_climber(incumbents.single(index), self._left)
        self._deadline, self._programs = math.inf, 0
        self.share = Share()

    def _left(self) -> float:
        if self._programs <= 0:
            return 0.0
        self._programs -= 1
        return max(min(self._budget.left(), self._deadline - self._budget.elapsed()), 0.0)

    def climb(self, ascents: Ascents, seconds: float, others: Tensor | None = None) -> None:
        """Climb from the incumbent and from where the walkers of the last turn ended, which go on from the tops.

        Other points (points, inputs) of the set come between these.
        """
        incumbents, budget, index = self._incumbents, self._budget, self._index
        if seconds <= 0:
            return
        began, before = budget.elapsed(), incumbents.value[index].clone()
        self._deadline = began + seconds
        self._programs = _MAX_PROGRAMS if math.isinf(seconds) else 10**9
        tops = list[tuple[int, Tensor]]()
        first, *rest = _starts(incumbents, ascents, index)
        between = () if others is None else ((None, other) for other in others)
        for number, (walker, start) in enumerate((first, *between, *rest)):
            # The first local search runs even if preparing the starts took the time.
            if (number and budget.elapsed() >= self._deadline) or budget.left() <= 0:
                break
            if number > _MAX_STARTS and math.isinf(seconds):
                break
            x = self._climber.climb(start)
            if walker is not None:
                tops.append((walker, x))
            incumbents.offer(index, x[None], "lp_walk")
        ascents.adopt(index, tops)
        self.share.record(budget.elapsed() - began, gained=improved(before, incumbents.value[index]))


class MixedIntegerPrograms:
    """Mixed-integer programs over all regions around a point, where linear programs gain nothing more.

    The neighbourhoods are larger than those of linear programs: variable neighbourhood descent (Mladenović, Hansen,
    Variable neighborhood search, 1997).

    Parameters
    ----------
    incumbents, index
        Receive what is found, and the number of the problem.
    budget
        Of the whole search.
    step_time
        Seconds that a program may take.
    """

    def __init__(self, incumbents: Incumbents, index: int, budget: Budget, *, step_time: float) -> None:
        self._incumbents, self._index, self._budget = incumbents, index, budget
        problem = incumbents.single(index)
        bounds = bound_rows(problem.network, problem.domain, problem.objective, "interval", deadline=budget.deadline)
        ranges = [(lower[0], upper[0]) for lower, upper in bounds.layers]
        self._search = NeighborhoodSearch(problem, ranges, MILPWalk(step_time=step_time))
        self._exhausted: list[Tensor] = []
        self.turns = 0

    def step(self, ascents: Ascents) -> None:
        """Solve one program around the incumbent, or around the best end of walkers with something left to find."""
        incumbents, index = self._incumbents, self._index
        domain = incumbents.single(index).domain.to(device="cpu", dtype=torch.float64)
        self.turns += 1
        for walker, start in _starts(incumbents, ascents, index):
            x = domain.round(domain.project(start[None]))[0]
            if any(torch.equal(x, known) for known in self._exhausted):
                continue
            best = self._search.step(x, self._budget.deadline)
            if self._search.exhausted:
                self._exhausted.append(x)
            incumbents.offer(index, best[None], MILP_WALK)
            ascents.adopt(index, [(walker, best)])
            return


def _starts(incumbents: Incumbents, ascents: Ascents, index: int) -> Iterator[tuple[int, Tensor]]:
    """Yield the incumbent and where walkers ended, the best first, each with the walker that goes on from its top."""
    points, walkers = ascents.ends(index)
    # Walkers that have just restarted have no ends.
    yield walkers[0] if walkers else 0, incumbents.x[index].to("cpu", torch.float64)
    yield from zip(walkers, points, strict=True)
