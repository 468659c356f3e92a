"""Declarative description of a family of layers, from which every other part of the package reads what it needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeAlias

from torch import nn

from relu_attack._checks import is_number, is_whole
from relu_attack.network.lowering._builder import Rule

Factory: TypeAlias = Callable[..., nn.Module]
"""Takes the arguments of a function after its tensor and returns the module that computes the same."""


@dataclass(frozen=True)
class ArgumentKind:
    """Values that an argument of a saved layer may have. Torch itself checks few of them before the first forward pass.

    Lists arrive as tuples; `words` says in messages what is accepted.
    """

    accepts: Callable[[Any], bool]
    words: str


@dataclass(frozen=True)
class LayerSpec:
    """A family of layers with one lowering rule.

    The rule takes a module of one of the torch `types` and a `Builder`. `functions` and names of tensor methods compute
    the same in a traced forward, and `onnx` operators in a file: each has the factory of the equivalent module, which
    takes an operator's attributes, numbers, by name. `arguments` of the constructor are those that a saved architecture
    holds, each with its kind; None is a family that cannot be saved. `words` name it in the README's table of what is
    supported.
    """

    types: tuple[type[nn.Module], ...]
    rule: Rule
    _: KW_ONLY
    functions: Mapping[object, Factory] = field(default_factory=dict)
    arguments: Mapping[str, ArgumentKind] | None = field(default_factory=dict)
    onnx: Mapping[str, Factory] = field(default_factory=dict)
    words: str = ""


def _is_count(value: object) -> bool:
    return is_whole(value) and value >= 1


def _is_number(value: object) -> bool:
    return is_number(value) and not math.isnan(value)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | str) or _is_number(value)


def _one_or_list_of(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: all(map(check, value)) and bool(value) if isinstance(value, tuple) else check(value)


COUNT = ArgumentKind(_is_count, "a positive integer")
INTEGER = ArgumentKind(is_whole, "an integer")
INTEGERS = ArgumentKind(_one_or_list_of(is_whole), "a list of integers")
NUMBER = ArgumentKind(_is_number, "a number")
OPTIONAL_NUMBER = ArgumentKind(lambda value: value is None or _is_number(value), "a number or null")
FLAG = ArgumentKind(lambda value: isinstance(value, bool), "true or false")
WORD = ArgumentKind(lambda value: isinstance(value, str), "a word")
SIZE = ArgumentKind(_one_or_list_of(_is_count), "a positive integer or a list of them")
OPTIONAL_SIZE = ArgumentKind(_one_or_list_of(lambda value: value is None or _is_count(value)), f"{SIZE.words}, or null")
PADDING_WIDTHS = ArgumentKind(
    _one_or_list_of(lambda value: is_whole(value) or isinstance(value, str)),
    "an integer, a list of them, or a word",
)
PLAIN = ArgumentKind(_is_plain, "a number, a word, true, false, null, or a list of them")
