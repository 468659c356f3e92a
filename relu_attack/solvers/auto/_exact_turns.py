"""Round-robin of exact methods: each resumes after its time slice, or restarts with a longer one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from torch import Tensor

from relu_attack.problem import Problem
from relu_attack.result import Status
from relu_attack.solvers.auto._shares import weight_after
from relu_attack.solvers.core import Answer, Budget, Incumbents, Settings

# Growth of the time slices of a method that restarts. All slices but the last are lost: together a third of the last
# one with 4, all of it with 2.
_GROWTH = 4
# Share of the gap that a slice may leave for its method to count as one that closes it. Of 32 networks with up to 120
# units, 24 were proven in 10 s, mostly by slices that left less; on a trained one of 192 units, at a gap of
# 240 % after 10 s, slices leave 0.9 and more.
_CLOSING = 3 / 4
# Seconds of the first time slice of the walks; small problems are solved in less than that.
FIRST_TURN = 0.02


class Exact(Protocol):
    """An exact method on one problem."""

    def advance(self, budget: Budget) -> bool:
        """Search within a budget; return whether the method has ended, so that more time is useless."""
        ...


@dataclass(frozen=True, kw_only=True)
class ExactMethod:
    """Description of an exact method for round-robin scheduling.

    Attributes
    ----------
    make
        Creates the method for a problem, given the incumbents, its index and the settings.
    resumes
        Whether it resumes where it stopped; otherwise it restarts with each slice.
    first
        Seconds of its first time slice.
    """

    make: Callable[[Incumbents, int, Settings], Exact]
    resumes: bool
    first: float


class Restarted:
    """An exact method that cannot resume: each call restarts from the incumbent.

    Parameters
    ----------
    name
        Name of the method.
    solve
        The method, given a single problem, an input (inputs,) as warm start, and settings.
    incumbents, index
        Incumbents, and the index of the problem.
    settings
        Settings of the search; the budget is that of each call.
    """

    def __init__(
        self,
        name: str,
        solve: Callable[[Problem, Tensor, Settings], Answer],
        incumbents: Incumbents,
        index: int,
        settings: Settings,
    ) -> None:
        self._name, self._solve, self._incumbents, self._index = name, solve, incumbents, index
        self._settings = replace(settings, progress=False, record_path=False, sign=1.0, x0=None)

    def advance(self, budget: Budget) -> bool:
        """Solve within the budget; the method has ended unless it reached its time limit."""
        incumbents, index = self._incumbents, self._index
        answer = self._solve(incumbents.single(index), incumbents.x[index], replace(self._settings, budget=budget))
        upper, certified = float(answer.upper[0]), bool(answer.certified[0])
        incumbents.offer(index, answer.candidates[0], self._name)
        incumbents.bound(index, upper, certified=certified)
        if answer.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        return answer.status is not Status.TIME_LIMIT


@dataclass(eq=False)
class Turn:
    """An exact method on one problem, with its time so far.

    Attributes
    ----------
    method, index
        The method and the problem.
    make
        Creates it at its first time slice.
    gap
        Returns the gap of the problem.
    spent, last
        Seconds of all slices, and of the last one.
    weight
        Between 1/8 and 1: that of a method that resumes halves with each slice that closes little of the gap, and one
        that closes more restores it.
    ended
        Whether more time is useless.
    """

    method: ExactMethod
    index: int
    make: Callable[[], Exact]
    gap: Callable[[], float]
    spent: float = 0.0
    last: float = 0.0
    weight: float = 1.0
    ended: bool = False
    _exact: Exact | None = None

    def seconds(self, longest: float = math.inf) -> float:
        """Return the next slice in seconds: all before, up to `longest`; for restarts a multiple of the last."""
        grown = min(self.spent, longest) if self.method.resumes else _GROWTH * self.last
        return max(grown, self.method.first)

    def take(self, budget: Budget, *, share: float, longest: float) -> None:
        """Run one time slice.

        A method that restarts gets its whole share of the remaining time if no further slice would fit in, and has
        ended if that is no longer than its last slice.
        """
        began, seconds = budget.elapsed(), self.seconds(longest)
        if self._exact is None:
            self._exact = self.make()
        if not self.method.resumes:
            rest = share * budget.left()
            seconds = rest if rest < (1 + _GROWTH) * seconds else seconds
            if seconds <= self.last:
                self.ended = True
                return
        before = self.gap()
        self.ended = self._exact.advance(budget.part(seconds=seconds))
        self.last = budget.elapsed() - began
        self.spent += self.last
        if self.method.resumes:  # one that restarts closes nothing before its last slice
            self.weight = weight_after(self.weight, gained=self.gap() <= _CLOSING * before)


def make_turns(methods: Sequence[ExactMethod], incumbents: Incumbents, settings: Settings) -> list[Turn]:
    """Return the schedule entries of exact methods on all problems."""
    indices = range(incumbents.problem.problems)
    return [
        Turn(method, index, partial(method.make, incumbents, index, settings), partial(_gap, incumbents, index))
        for index in indices
        for method in methods
    ]


def _gap(incumbents: Incumbents, index: int) -> float:
    return float(incumbents.upper[index] - incumbents.value[index])


def next_turn(turns: Sequence[Turn], *, walked: float, walk_share: float) -> tuple[Turn, float] | None:
    """Return the entry to run next and its share of the time; None for the walks.

    Parameters
    ----------
    turns
        Entries of the open problems.
    walked
        Seconds of the walks so far.
    walk_share
        Their share of the time.

    Notes
    -----
    The entry with the least time over share is next (stride scheduling: Waldspurger, Weihl, 1995). A method that
    restarts is due once its share covers the whole slice. Methods that close little of the gap leave time to the walks.
    """
    by_problem: dict[int, list[Turn]] = {}
    for turn in turns:
        if not turn.ended:
            by_problem.setdefault(turn.index, []).append(turn)
    best: tuple[Turn, float] | None = None
    least = walked / walk_share
    for rivals in by_problem.values():
        # Equal shares: the method with the lower bound so far need not be the one that closes the gap.
        for turn in rivals:
            share = turn.weight * (1 - walk_share) / (len(by_problem) * len(rivals))
            due = (turn.spent + (0.0 if turn.method.resumes else turn.seconds())) / share
            if due < least:
                least, best = due, (turn, share)
    return best
