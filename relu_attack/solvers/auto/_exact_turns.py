"""Turns of the exact methods in a mix: each stops after its time and goes on, or begins again with more of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from torch import Tensor

from relu_attack.problem import Problem
from relu_attack.result import Status
from relu_attack.solvers.core import Answer, Budget, Incumbents, Settings

# How many times as long as the last turn the next one is of a method that begins again: all but the last turn are in
# vain, a third of it together with 4, all of it with 2.
_GROWTH = 4
# Seconds of the first turn of the walks: small problems are closed in some hundredths of one.
FIRST_TURN = 0.02


class Exact(Protocol):
    """An exact method on one of the problems of some incumbents."""

    def advance(self, budget: Budget) -> bool:
        """Search within a budget; return whether the method has ended, so that more time would change nothing."""
        ...


@dataclass(frozen=True, kw_only=True)
class ExactMethod:
    """How an exact method takes part in a mix.

    Attributes
    ----------
    make
        Makes it for a problem of the incumbents, which take what it finds, given its index and the settings.
    resumes
        Whether it goes on where it stopped. One that does not begins again with each turn.
    first
        Seconds of its first turn.
    """

    make: Callable[[Incumbents, int, Settings], Exact]
    resumes: bool
    first: float


class Restarted:
    """An exact method that cannot go on: each call begins again, from the best point so far.

    Parameters
    ----------
    name
        Name of the method.
    solve
        Takes a single problem, a good input (inputs,) and settings; returns an answer.
    incumbents, index
        Take what is found for problem `index`.
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
        """Solve within the budget; the method has ended where its own answer was not cut off."""
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
    """An exact method on one problem, and the time that it has had.

    Attributes
    ----------
    method, index
        The method and the problem.
    make
        Makes it at its first turn.
    spent, last
        Seconds of all turns and of the last one.
    ended
        Whether more time would change nothing.
    """

    method: ExactMethod
    index: int
    make: Callable[[], Exact]
    spent: float = 0.0
    last: float = 0.0
    ended: bool = False
    _exact: Exact | None = None

    def seconds(self, longest: float = math.inf) -> float:
        """Return the length of the next turn: as long as all before, up to `longest`, or some times the last one."""
        grown = min(self.spent, longest) if self.method.resumes else _GROWTH * self.last
        return max(grown, self.method.first)

    def take(self, budget: Budget, *, share: float, longest: float) -> None:
        """Search for a turn.

        What begins again gets all of its share of what is left where a turn after this one would no longer fit in, and
        has ended where that is not more than it had before.
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
        self.ended = self._exact.advance(budget.part(seconds=seconds))
        self.last = budget.elapsed() - began
        self.spent += self.last


def make_turns(methods: Sequence[ExactMethod], incumbents: Incumbents, settings: Settings) -> list[Turn]:
    """Return the turns of exact methods on all problems."""
    indices = range(incumbents.problem.problems)
    return [
        Turn(method, index, partial(method.make, incumbents, index, settings))
        for index in indices
        for method in methods
    ]


def next_turn(turns: Sequence[Turn], *, walked: float, walk_share: float) -> tuple[Turn, float] | None:
    """Return whose turn it is, and its share of the time; None where it is that of the walks.

    Parameters
    ----------
    turns
        Turns of the problems that are open.
    walked
        Seconds that the walks have taken.
    walk_share
        Share of the time that they may take.

    Notes
    -----
    The next turn is that of the least time over share (stride scheduling: Waldspurger, Weihl, 1995). What begins again
    is due once its share covers the whole turn, as less would be in vain.
    """
    by_problem: dict[int, list[Turn]] = {}
    for turn in turns:
        if not turn.ended:
            by_problem.setdefault(turn.index, []).append(turn)
    best: tuple[Turn, float] | None = None
    least = walked / walk_share
    for rivals in by_problem.values():
        # Equal shares: the bound of one method may be the lowest for long, and the other still be the one that closes.
        share = (1 - walk_share) / (len(by_problem) * len(rivals))
        for turn in rivals:
            due = (turn.spent + (0.0 if turn.method.resumes else turn.seconds())) / share
            if due < least:
                least, best = due, (turn, share)
    return best
