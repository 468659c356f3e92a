"""The methods by name, and the options of a call of one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from relu_attack._names import nearest, one_of
from relu_attack.errors import ArgumentError, OptionError
from relu_attack.solvers.ascent import PPGA, PPGALR, GradientWalk, gradient_walk, ppga, ppga_lr
from relu_attack.solvers.auto import Auto, auto
from relu_attack.solvers.branch_and_bound import BranchAndBound, branch_and_bound
from relu_attack.solvers.core import Method, MethodOptions
from relu_attack.solvers.milp import MILP, milp
from relu_attack.solvers.region_search import LPWalk, MILPWalk, lp_walk, milp_walk

METHODS: dict[str, Method] = {
    "auto": Method(auto, Auto, time_limit=10.0, restarts=32, paths="none"),
    "gradient_walk": Method(gradient_walk, GradientWalk, iterations=1000),
    "ppga": Method(ppga, PPGA, iterations=1000),
    "ppga_lr": Method(ppga_lr, PPGALR, iterations=1000),
    "lp_walk": Method(lp_walk, LPWalk, time_limit=10.0, paths="single"),
    "milp_walk": Method(milp_walk, MILPWalk, time_limit=10.0, paths="single"),
    "milp": Method(milp, MILP, time_limit=60.0, counts=False, paths="none"),
    "branch_and_bound": Method(branch_and_bound, BranchAndBound, time_limit=60.0, paths="none"),
}


def find_method(method: str | MethodOptions) -> Method:
    """Return a method that is given by its name or its options; raise `OptionError` if there is none."""
    return METHODS[name_of_method(method)]


def name_of_method(method: str | MethodOptions) -> str:
    """Return the name of a method that is given by it or by its options; raise `OptionError` if there is none."""
    if isinstance(method, type) and any(method is known.options for known in METHODS.values()):
        raise OptionError(f"method is the class {method.__name__}; give its options, {method.__name__}()")
    for name, known in METHODS.items():
        if type(method) is known.options:
            return name
    one_of(method, METHODS, name="method")
    return str(method)


def check_names(call: str, method: str, options: Iterable[str], arguments: Iterable[str] = ()) -> None:
    """Raise unless a method has all of the options.

    Parameters
    ----------
    call
        What the user called, for the message.
    method
        The method.
    options
        Names that are no arguments of the call.
    arguments
        The arguments of the call, which a name may be a misspelling of.

    Raises
    ------
    ArgumentError
        For an unknown name; it says which argument or option comes nearest, or which methods have the option.
    """
    known = _options_of(method)
    for key in options:
        if key in known:
            continue
        able = [name for name in METHODS if key in _options_of(name)]
        close = nearest(key, [*arguments, *known])
        if able:
            raise ArgumentError(f"{method} has no option {key!r}; {', '.join(able)} {'have' if able[1:] else 'has'} it")
        if close is not None:
            raise ArgumentError(f"{call} has no argument {key!r}; did you mean {close!r}?")
        raise ArgumentError(f"{method} has no option {key!r}; it has {', '.join(sorted(known))}")


def make_options(name: str, options: Mapping[str, Any]) -> Any:
    """Build the options of a method; raise `OptionError` for one that it does not have or cannot take."""
    check_names(name, name, options)
    known = _options_of(name)
    for key, value in options.items():
        if isinstance(known[key], str):
            if not isinstance(value, str):
                raise OptionError(f"{key} must be a word, got {value!r}")
            continue
        left_out = value is None and known[key] is None
        if not left_out and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise OptionError(f"{key} must be a number, got {value!r}")
    return find_method(name).options(**options)


def _options_of(name: str) -> dict[str, Any]:
    return {entry.name: entry.default for entry in fields(find_method(name).options)}
