"""Methods: one file each, one table."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import Any

from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.result import Result
from relu_attack.solvers.budget import Budget
from relu_attack.solvers.conclusion import conclude
from relu_attack.solvers.gradient_walk import GradientWalk
from relu_attack.solvers.method import Answer, Method, Settings
from relu_attack.solvers.perturbation import PerturbationOptions
from relu_attack.solvers.ppga import PPGA
from relu_attack.solvers.ppga_lr import PPGALR, PPGALROptions
from relu_attack.solvers.walk import WalkOptions
from relu_attack.solvers.walking import search

METHODS: dict[str, Method] = {
    "gradient_walk": Method(partial(search, walk_class=GradientWalk), WalkOptions, iterations=1000),
    "ppga": Method(partial(search, walk_class=PPGA), PerturbationOptions, iterations=1000),
    "ppga_lr": Method(partial(search, walk_class=PPGALR), PPGALROptions, iterations=1000),
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
    return conclude(problem, name, settings, find_method(name).solve(problem, options, settings))


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
