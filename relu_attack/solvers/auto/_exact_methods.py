"""The exact methods that `auto` runs in turn."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from relu_attack.problem import Problem
from relu_attack.solvers.auto._enumeration import ENUMERATION, Enumeration
from relu_attack.solvers.auto._exact_turns import Exact, ExactMethod, Restarted
from relu_attack.solvers.branch_and_bound import BranchAndBound, Branching
from relu_attack.solvers.core import Answer, Incumbents, Settings
from relu_attack.solvers.milp import MILP, milp


def _branching(incumbents: Incumbents, index: int, settings: Settings) -> Exact:
    return Branching(incumbents, index, BranchAndBound(), deadline=settings.budget.deadline)


def _enumerating(incumbents: Incumbents, index: int, settings: Settings) -> Exact:
    return Enumeration(incumbents, index)


def _programming(incumbents: Incumbents, index: int, settings: Settings) -> Exact:
    return Restarted("milp", _from_point, incumbents, index, settings)


def _from_point(problem: Problem, x: Tensor, settings: Settings) -> Answer:
    return milp(problem, MILP(), settings, walk=lambda problem, settings: x)


EXACT: Mapping[str, ExactMethod] = MappingProxyType(
    {
        # Closes a network of some ten units on a slow machine.
        "branch_and_bound": ExactMethod(make=_branching, resumes=True, first=0.15),
        ENUMERATION: ExactMethod(make=_enumerating, resumes=True, first=0.1),
        # Ranges and cuts alone take some tenths of a second on small networks.
        "milp": ExactMethod(make=_programming, resumes=False, first=0.25),
    }
)
