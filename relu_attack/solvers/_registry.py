"""The methods by name, and the options of a call of one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal

from relu_attack._checks import is_number
from relu_attack._names import nearest
from relu_attack._registry import Registry
from relu_attack.errors import ArgumentError, OptionError
from relu_attack.solvers.ascent import PPGA, PPGALR, GradientWalk, gradient_walk, ppga, ppga_lr
from relu_attack.solvers.auto import Auto, auto
from relu_attack.solvers.branch_and_bound import BranchAndBound, branch_and_bound
from relu_attack.solvers.core import Method, MethodOptions, Solve
from relu_attack.solvers.milp import MILP, milp
from relu_attack.solvers.region_search import LPWalk, MILPWalk, lp_walk, milp_walk

METHODS: Registry[Method] = Registry(
    "method",
    {
        "auto": Method(auto, Auto, time_limit=10.0, restarts=32, paths="none", certifies=True),
        "gradient_walk": Method(gradient_walk, GradientWalk, iterations=1000),
        "ppga": Method(ppga, PPGA, iterations=1000),
        "ppga_lr": Method(ppga_lr, PPGALR, iterations=1000),
        "lp_walk": Method(lp_walk, LPWalk, time_limit=10.0, paths="single", needs_linear_rows=True),
        "milp_walk": Method(milp_walk, MILPWalk, time_limit=10.0, paths="single", needs_linear_rows=True),
        "milp": Method(milp, MILP, time_limit=60.0, counts=False, paths="none", needs_linear_rows=True),
        "branch_and_bound": Method(branch_and_bound, BranchAndBound, time_limit=60.0, paths="none", certifies=True),
    },
)
"""The methods by name; `register_method` adds to them."""


def register_method(
    name: str,
    options: type[Any],
    solve: Solve,
    *,
    iterations: int | None = Method.iterations,
    time_limit: float | None = Method.time_limit,
    restarts: int = Method.restarts,
    counts: bool = Method.counts,
    paths: Literal["all", "single", "none"] = "none",
    batches: bool = Method.batches,
    needs_linear_rows: bool = Method.needs_linear_rows,
    certifies: bool = Method.certifies,
) -> None:
    """Add a method of your own, for this process: `maximize`, configurations and the command know it by its name.

    Parameters
    ----------
    name
        A new name; one that was registered before is replaced.
    options
        The class of its options: a frozen dataclass with a default for each, which no other method has.
    solve
        ``solve(problem, options, settings)`` searches the inputs of ``problem.domain`` with the largest objective
        within ``settings.budget`` and returns a `relu_attack.solvers.Answer`, made by `relu_attack.solvers.Incumbents`
        for example. Points are checked, and values are those of the model itself; bounds are not checked.
    iterations, time_limit
        The budget of a call that gives none, in steps or in seconds; at least one of them.
    restarts
        Walkers of a call that gives no number.
    counts
        Whether iterations limit the method; where they do not, its time limit stands unless the call gives one.
    paths
        Of which problems `solve` records the path: ``"all"``, ``"single"`` or ``"none"``.
    batches
        Whether it takes several problems at a time; one that does not is refused with more than one.
    needs_linear_rows
        Whether it takes only sets with linear rows; with others it is refused.
    certifies
        Whether it closes the gap by bounds that hold in real arithmetic, for tables.

    Raises
    ------
    OptionError
        For a name of the package itself, and for options that are no frozen dataclass with defaults.

    Examples
    --------
    >>> import torch, relu_attack as ra
    >>> from dataclasses import dataclass
    >>> from relu_attack.solvers import Incumbents
    >>> @dataclass(frozen=True, kw_only=True)
    ... class Middle:
    ...     pass
    >>> def middle(problem, options, settings):
    ...     incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="points")
    ...     for index in range(problem.problems):
    ...         incumbents.offer(index, problem.single(index).domain.center().reshape(1, -1), "middle")
    ...     return incumbents.answer(ra.Status.FEASIBLE, 1)
    >>> ra.register_method("middle", Middle, middle, iterations=1)
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 1))
    >>> ra.maximize(model, ra.Box(0.0, 1.0, shape=(2,)), method="middle").x
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    if not (isinstance(options, type) and is_dataclass(options)):
        raise OptionError(f"options of {name} must be a class made by dataclass(frozen=True), got {options!r}")
    entries = fields(options)
    if not options.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise OptionError(f"options of {name}: {options.__name__} must be frozen, by dataclass(frozen=True)")
    bare = [entry.name for entry in entries if entry.default is MISSING]
    if bare:
        raise OptionError(f"options of {name}: {options.__name__}.{bare[0]} has no default; give it one")
    other = next((known for known, method in METHODS.items() if method.options is options and known != name), None)
    if other is not None:
        raise OptionError(f"options of {name}: {options.__name__} is the class of {other}; make one of its own")
    if not callable(solve):
        raise OptionError(f"solve of {name} must be a function of a problem, options and settings, got {solve!r}")
    if iterations is None and time_limit is None:
        raise OptionError(f"{name} needs iterations or a time_limit, the budget of a call that gives none")
    method = Method(
        solve=solve,
        options=options,
        iterations=iterations,
        time_limit=time_limit,
        restarts=restarts,
        counts=counts,
        paths=paths,
        batches=batches,
        needs_linear_rows=needs_linear_rows,
        certifies=certifies,
    )
    METHODS.register(name, method)


def find_method(method: str | MethodOptions) -> Method:
    """Return a method that is given by its name or its options; raise `OptionError` if there is none."""
    return METHODS[name_of_method(method)]


def name_of_method(method: str | MethodOptions) -> str:
    """Return the name of a method that is given by it or by its options; raise `OptionError` if there is none."""
    if isinstance(method, str) and method in METHODS:
        return method
    given: object = method
    for name, known in METHODS.items():
        if type(given) is known.options:
            return name
        if given is known.options:
            raise OptionError(f"method is the class {known.options.__name__}; give {known.options.__name__}()")
    METHODS.find(method)
    raise AssertionError("unreachable")


def check_names(call: str, method: str, options: Iterable[str], arguments: Iterable[str] = ()) -> None:
    """Raise unless a method has all of the options.

    `options` are the names that are no arguments of the call. The ArgumentError says which of the call's `arguments` or
    of the method's options comes nearest, or which methods have the option.
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
        if isinstance(known[key], bool):  # the options themselves check it
            continue
        left_out = value is None and known[key] is None
        if not left_out and not is_number(value):
            raise OptionError(f"{key} must be a number, got {value!r}")
    return find_method(name).options(**options)


def _options_of(name: str) -> dict[str, Any]:
    return {entry.name: entry.default for entry in fields(find_method(name).options)}
