"""Methods: one file each, one table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.result import Result, Status
from relu_attack.solvers.annealing import Annealing
from relu_attack.solvers.auto import AutoOptions, auto
from relu_attack.solvers.branch_and_bound import BranchAndBoundOptions, Branching, branch_and_bound
from relu_attack.solvers.budget import Budget
from relu_attack.solvers.conclusion import choose, conclude
from relu_attack.solvers.crossing import Crossing
from relu_attack.solvers.exact_turns import Exact, ExactMethod, Restarted
from relu_attack.solvers.gradient_walk import GradientWalk
from relu_attack.solvers.incumbents import Incumbents
from relu_attack.solvers.lp_walk import Climber, LPWalkOptions, lp_walk
from relu_attack.solvers.method import Answer, Interrupted, Method, Settings, Starts
from relu_attack.solvers.milp import MILPOptions, milp
from relu_attack.solvers.milp_walk import MILPWalkOptions, milp_walk
from relu_attack.solvers.perturbation import PerturbationOptions
from relu_attack.solvers.ppga import PPGA
from relu_attack.solvers.ppga_lr import PPGALR, PPGALROptions
from relu_attack.solvers.prepared import Prepared
from relu_attack.solvers.sources import random_starts, relaxation_starts
from relu_attack.solvers.walk import Walk, WalkOptions
from relu_attack.solvers.walking import search


def _walked_starts(problem: Problem, settings: Settings) -> Iterator[Tensor]:
    """Yield the ends of a gradient walk in a tenth of the time that is left, or 200 steps, then random points."""
    left = settings.budget.left()
    part = settings.budget.part(seconds=left / 10) if math.isfinite(left) else settings.budget.part(iterations=200)
    own = replace(settings, budget=part, progress=False, record_path=False)
    answer = search(problem, PPGALROptions(), own, walk_class=PPGALR)
    if answer.status is Status.INTERRUPTED:
        raise Interrupted(answer.candidates[0, 0])
    yield from answer.candidates[0].to("cpu", torch.float64).clone()
    yield from random_starts(problem, replace(settings, x0=None))


_SOURCES: dict[str, Starts] = {
    "random": random_starts,
    "gradient_walk": _walked_starts,
    "relaxation": relaxation_starts,
}


def _make_walk(prepared: Prepared, starts: Tensor, generator: torch.Generator) -> Walk:
    return Annealing(prepared, starts, PerturbationOptions(), generator, perturbation=Crossing)


def _make_climb(problem: Problem, left: Callable[[], float]) -> Callable[[Tensor], Tensor]:
    return Climber(problem, LPWalkOptions(), left, lambda x: None).climb


def _walked(problem: Problem, settings: Settings) -> Tensor:
    answer = search(problem, PPGALROptions(), settings, walk_class=PPGALR)
    x = choose(problem, answer.candidates)[0].flatten()
    if answer.status is Status.INTERRUPTED:
        raise Interrupted(x)
    return x


def _polished(problem: Problem, x: Tensor, seconds: float) -> Tensor:
    deadline = time.perf_counter() + seconds
    return _make_climb(problem, lambda: deadline - time.perf_counter())(x)


def _programmed(problem: Problem, x: Tensor, settings: Settings) -> Answer:
    return milp(problem, MILPOptions(), settings, walk=lambda problem, settings: x, polish=_polished)


def _programming(incumbents: Incumbents, index: int, settings: Settings) -> Exact:
    return Restarted("milp", _programmed, incumbents, index, settings)


def _branching(incumbents: Incumbents, index: int, settings: Settings) -> Exact:
    return Branching(incumbents, index, BranchAndBoundOptions(), deadline=settings.budget.deadline)


_EXACT = {
    # Enough to close a network of some ten units on a slow machine.
    "branch_and_bound": ExactMethod(make=_branching, resumes=True, first=0.15),
    # Ranges and cuts alone take some tenths of a second on small networks.
    "milp": ExactMethod(make=_programming, resumes=False, first=0.25),
}
_AUTO = partial(auto, make_walk=_make_walk, make_climb=_make_climb, exact=_EXACT)
_LP_WALK, _MILP_WALK = partial(lp_walk, sources=_SOURCES), partial(milp_walk, sources=_SOURCES)
_MILP = partial(milp, walk=_walked, polish=_polished)
_BRANCH_AND_BOUND = partial(branch_and_bound, walk=_walked, polish=_polished)

METHODS: dict[str, Method] = {
    "auto": Method(_AUTO, AutoOptions, time_limit=10.0, restarts=32, paths="none"),
    "gradient_walk": Method(partial(search, walk_class=GradientWalk), WalkOptions, iterations=1000),
    "ppga": Method(partial(search, walk_class=PPGA), PerturbationOptions, iterations=1000),
    "ppga_lr": Method(partial(search, walk_class=PPGALR), PPGALROptions, iterations=1000),
    "lp_walk": Method(_LP_WALK, LPWalkOptions, time_limit=10.0, paths="single"),
    "milp_walk": Method(_MILP_WALK, MILPWalkOptions, time_limit=10.0, paths="single"),
    "milp": Method(_MILP, MILPOptions, time_limit=60.0, counts=False, paths="none"),
    "branch_and_bound": Method(_BRANCH_AND_BOUND, BranchAndBoundOptions, time_limit=60.0, paths="none"),
}


def find_method(name: str) -> Method:
    """Return the method of that name; raise `OptionError` with the list of names if there is none."""
    if not isinstance(name, str) or name not in METHODS:
        raise OptionError(f"method is {name!r}; it must be one of {', '.join(METHODS)}")
    return METHODS[name]


def make_options(name: str, options: dict[str, Any]) -> Any:
    """Build the options of a method; raise `OptionError` for one that it does not have or cannot take."""
    known = {entry.name: entry.default for entry in fields(find_method(name).options)}
    for key, value in options.items():
        if key not in known:
            raise OptionError(f"{name} has no option {key!r}; it has {', '.join(sorted(known))}")
        if isinstance(known[key], str):
            if not isinstance(value, str):
                raise OptionError(f"{key} must be a word, got {value!r}")
            continue
        left_out = value is None and known[key] is None
        if not left_out and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise OptionError(f"{key} must be a number, got {value!r}")
    return find_method(name).options(**options)


def optimize(problem: Problem, name: str, options: Any, settings: Settings) -> Result:
    """Run the method of that name on a problem and check its answer."""
    method = find_method(name)
    kinds = ("all", "single") if problem.problems == 1 else ("all",)
    if settings.record_path and method.paths not in kinds:
        able = [known for known, other in METHODS.items() if other.paths in kinds]
        raise OptionError(f"{name} records no path here; record_path works with {', '.join(able)}")
    problem = replace(problem, domain=problem.domain.within(settings.budget.deadline))
    return conclude(problem, name, settings, method.solve(problem, options, settings))


__all__ = [
    "METHODS",
    "Answer",
    "Budget",
    "Method",
    "Settings",
    "find_method",
    "make_options",
    "optimize",
]
