"""Classes of users in a configuration: ``kind: package.module.Class``, with the arguments of its constructor beside."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator

from relu_attack._checks import in_one_line
from relu_attack.errors import FileFormatError, ReLUAttackError

Made = TypeVar("Made")


def _dotted(kind: str) -> str:
    if "." not in kind or not all(part.isidentifier() for part in kind.split(".")):
        raise ValueError(f"{kind!r} is no class; give package.module.Class")
    return kind


ClassName = Annotated[str, AfterValidator(_dotted)]
"""The dotted name of a class; nothing is imported before `make`."""


def make(kind: str, arguments: Mapping[str, Any], base: type[Made]) -> Made:
    """Import a class by its dotted name and make an object of it. This runs the module's code.

    `kind` is a name such as ``"my_package.sets.Ellipsoid"``, of a subclass of `base`; `arguments` are given to the
    constructor by name, as they stand in the file.
    """
    module_name, _, class_name = kind.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), class_name, None)
    except (Exception, SystemExit) as reason:  # the module of a user may raise anything
        raise FileFormatError(f"{kind}: importing {module_name} failed: {in_one_line(reason)}") from reason
    if not isinstance(found, type) or not issubclass(found, base):
        raise FileFormatError(f"{kind}: {module_name} has no subclass of {base.__name__} named {class_name}")
    try:
        return found(**arguments)
    except ReLUAttackError:
        raise
    except (Exception, SystemExit) as reason:
        raise FileFormatError(f"{kind}: making one failed: {in_one_line(reason)}") from reason
