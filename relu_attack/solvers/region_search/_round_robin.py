"""Round-robin over the problems of a batch: one local search per problem, one step of each in turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from relu_attack._names import one_of
from relu_attack.problem import Problem
from relu_attack.solvers.ascent import settings_for_each
from relu_attack.solvers.core import Answer, Incumbents, Settings, Starts
from relu_attack.solvers.region_search._initial_points import SOURCES


class RegionWalk(Protocol):
    """A search over linear regions on one problem."""

    def __call__(self, incumbents: Incumbents, index: int, settings: Settings, starts: Starts, /) -> Iterator[None]:
        """Search on problem `index` from its initial points, and yield after each turn."""
        ...


def run_round_robin(problem: Problem, settings: Settings, walk: RegionWalk, *, source: str) -> Answer:
    """Search on each problem from the initial points of a source, in turn, within one budget."""
    one_of(source, SOURCES, name="source")
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="programs")
    each = enumerate(settings_for_each(problem, settings))
    return incumbents.run_round_robin(
        [walk(incumbents, index, own, SOURCES[source]) for index, own in each], settings.budget
    )
