"""Names of arguments, options and methods: unknown ones are answered with the nearest, old ones are translated."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from relu_attack.errors import ArgumentError, OptionError, ReLUAttackError, RenamedWarning

P = ParamSpec("P")
R = TypeVar("R")

_SHOWN_CHARACTERS = 80
"""Of a name in a message."""


def nearest(word: object, known: Iterable[str]) -> str | None:
    """Return the known name that a word comes closest to, or None where none is close."""
    names = [str(name)[:_SHOWN_CHARACTERS] for name in known]
    close = difflib.get_close_matches(str(word), names, n=1)
    return close[0] if close else None


def suggest(word: object, known: Iterable[str], renamed: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the end of a message about an unknown name; one near an old name is answered with the present one.

    >>> suggest("tim_limit", ["time_limit", "seed"])
    "did you mean 'time_limit'?"
    >>> suggest("colour", ["time_limit", "seed"])
    'known are time_limit, seed'
    >>> suggest("step", ["iterations", "seed"], {"steps": "iterations"})
    "did you mean 'iterations'?"
    """
    names = [str(name)[:_SHOWN_CHARACTERS] for name in known]
    close = nearest(word, [*names, *renamed])
    return f"did you mean {renamed.get(close, close)!r}?" if close else f"known are {', '.join(names)}"


def one_of(value: object, known: Collection[str], *, name: str, error: type[ReLUAttackError] = OptionError) -> None:
    """Raise `error` unless a value is one of the known words; the message lists them, and names the nearest."""
    if isinstance(value, str) and value in known:
        return
    words = list(known)
    close = nearest(value, words) if isinstance(value, str) else None
    meant = f"; did you mean {close!r}?" if close else ""
    raise error(f"{name} is {value!r}; it must be one of {', '.join(words)}{meant}")


def checked_names(**renamed: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a public call so that an unknown keyword is answered with the nearest, and an old one is translated.

    `renamed` has the present name for each old one, which is taken with a `RenamedWarning` for one release; both at
    once are an ArgumentError.

    >>> @checked_names()
    ... def wait(*, time_limit: float = 1.0) -> float:
    ...     return time_limit
    >>> wait(tim_limit=2.0)
    Traceback (most recent call last):
    relu_attack.errors.ArgumentError: wait has no argument 'tim_limit'; did you mean 'time_limit'?
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        called = function.__qualname__.removesuffix(".__init__")
        known = [name for name in inspect.signature(function).parameters if name != "self"]
        names = frozenset(known)

        @functools.wraps(function)
        def call(*arguments: P.args, **keywords: P.kwargs) -> R:
            if keywords.keys() <= names:
                return function(*arguments, **keywords)
            present: Any = _translate(keywords, called, known, renamed)
            return function(*arguments, **present)

        return call

    return decorate


def _translate(
    keywords: Mapping[str, object], called: str, known: list[str], renamed: Mapping[str, str]
) -> dict[str, object]:
    present: dict[str, object] = {}
    for key, value in keywords.items():
        name = renamed.get(key, key)
        if name not in known:
            raise ArgumentError(f"{called} has no argument {key!r}; {suggest(key, known, renamed)}")
        if name in present or (name != key and name in keywords):
            raise ArgumentError(f"{called} was given {name!r} twice: {key!r} is its old name")
        if name != key:
            _warn_renamed(f"{key!r} of {called} is called {name!r} now")
        present[name] = value
    return present


def renamed_attributes(module: str, renamed: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package for one release of old names.

    `renamed` has the present name for each old one, whose use issues a `RenamedWarning`.
    """

    def find(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        _warn_renamed(f"{module}.{name} is called {renamed[name]} now")
        return getattr(sys.modules[module], renamed[name])

    return find


def _warn_renamed(message: str) -> None:
    from relu_attack._checks import warn  # imports torch, which has to load where Ctrl-C is handled

    warn(message, RenamedWarning)
