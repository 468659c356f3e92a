"""The methods by name, and what a call of one of them does."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.result import Result
from relu_attack.solvers.ascent import PerturbationOptions, PPGALROptions, WalkOptions, gradient_walk, ppga, ppga_lr
from relu_attack.solvers.auto import AutoOptions, auto
from relu_attack.solvers.branch_and_bound import BranchAndBoundOptions, branch_and_bound
from relu_attack.solvers.core import Method, Settings, check_result
from relu_attack.solvers.milp import MILPOptions, milp
from relu_attack.solvers.region_search import LPWalkOptions, MILPWalkOptions, lp_walk, milp_walk

METHODS: dict[str, Method] = {
    "auto": Method(auto, AutoOptions, time_limit=10.0, restarts=32, paths="none"),
    "gradient_walk": Method(gradient_walk, WalkOptions, iterations=1000),
    "ppga": Method(ppga, PerturbationOptions, iterations=1000),
    "ppga_lr": Method(ppga_lr, PPGALROptions, iterations=1000),
    "lp_walk": Method(lp_walk, LPWalkOptions, time_limit=10.0, paths="single"),
    "milp_walk": Method(milp_walk, MILPWalkOptions, time_limit=10.0, paths="single"),
    "milp": Method(milp, MILPOptions, time_limit=60.0, counts=False, paths="none"),
    "branch_and_bound": Method(branch_and_bound, BranchAndBoundOptions, time_limit=60.0, paths="none"),
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
    return check_result(problem, name, settings, method.solve(problem, options, settings))
