"""Methods: one file each over one shared loop, one table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from relu_attack.errors import OptionError
from relu_attack.solvers.gradient_walk import GradientWalk
from relu_attack.solvers.loop import Budget
from relu_attack.solvers.perturbation import PerturbationOptions
from relu_attack.solvers.ppga import PPGA
from relu_attack.solvers.ppga_lr import PPGALR, PPGALROptions
from relu_attack.solvers.search import Settings, search
from relu_attack.solvers.walk import Walk, WalkOptions


@dataclass(frozen=True)
class Method:
    """A method: its walk and the class of its options."""

    walk: type[Walk]
    options: type[WalkOptions]


METHODS: dict[str, Method] = {
    "gradient_walk": Method(GradientWalk, WalkOptions),
    "ppga": Method(PPGA, PerturbationOptions),
    "ppga_lr": Method(PPGALR, PPGALROptions),
}


def find_method(name: str) -> Method:
    """Return the method of that name; raise `OptionError` with the list of names if there is none."""
    if not isinstance(name, str) or name not in METHODS:
        raise OptionError(f"method is {name!r}; it must be one of {', '.join(METHODS)}")
    return METHODS[name]


def make_options(name: str, options: dict[str, Any]) -> WalkOptions:
    """Build the options of a method; raise `OptionError` for one that it does not have or cannot take."""
    known = {entry.name: entry.default for entry in fields(find_method(name).options)}
    for key, value in options.items():
        if key not in known:
            raise OptionError(f"{name} has no option {key!r}; it has {', '.join(sorted(known))}")
        left_out = value is None and known[key] is None
        if not left_out and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise OptionError(f"{key} must be a number, got {value!r}")
    return find_method(name).options(**options)


__all__ = [
    "METHODS",
    "Budget",
    "Method",
    "Settings",
    "find_method",
    "make_options",
    "search",
]
