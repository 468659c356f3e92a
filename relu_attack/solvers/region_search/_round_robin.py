"""What the walks over programs share: one walk a problem, from one start after the other, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.solvers.ascent import settings_for_each
from relu_attack.solvers.core import Answer, Incumbents, Settings, Starts
from relu_attack.solvers.region_search._initial_points import SOURCES

Walk = Callable[[Incumbents, int, Settings, Starts], Iterator[None]]
"""Walks on one problem of the incumbents, given its index, settings and starts; yields after each turn."""


def walk_in_turns(problem: Problem, settings: Settings, walk: Walk, *, source: str) -> Answer:
    """Walk on each problem from the starts of a source, one turn after the other, within the budget of all.

    Raises
    ------
    OptionError
        When `source` is none of `SOURCES`.
    """
    if source not in SOURCES:
        raise OptionError(f"source is {source!r}; it must be one of {', '.join(SOURCES)}")
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="programs")
    each = enumerate(settings_for_each(problem, settings))
    return incumbents.take_turns(
        [walk(incumbents, index, own, SOURCES[source]) for index, own in each], settings.budget
    )
