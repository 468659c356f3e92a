"""Reading of a YAML file with overrides of the command line into a validated configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from relu_attack._files import read_text
from relu_attack._limits import TEXT_BYTES
from relu_attack._plain import read_yaml
from relu_attack.config._base import ConfigError, Context, problems_of
from relu_attack.config._configuration import Configuration, LoadedProblem
from relu_attack.errors import FileFormatError


def load_configuration(
    path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None
) -> tuple[Configuration, LoadedProblem]:
    """Read a configuration file, validate it, and load the files that it names.

    Parameters
    ----------
    path
        YAML file, to whose folder the paths in it are relative.
    overrides
        Values that replace those of the file, by key: ``{"restarts": 8, "domain.constraints.0.upper": 2400}``.

    Returns
    -------
    Configuration, LoadedProblem
        Validated content of the file, and its model, set and objective.

    Raises
    ------
    ConfigError
        For an invalid file; lists all errors, each with its key.
    """
    path = Path(path)
    content = _read(path)
    attempts = [_override(content, key, value) for key, value in (overrides or {}).items()]
    problems = [found for found in attempts if found is not None]
    context = Context(path.parent, _names(content.get("inputs")), _names(content.get("outputs")))
    try:
        configuration = Configuration.model_validate(content, context=context)
    except ValidationError as error:
        raise ConfigError(path, problems + problems_of(error)) from None
    loaded, failures = configuration.build()
    if loaded is None or problems:
        raise ConfigError(path, problems + failures)
    return configuration, loaded


def _names(value: Any) -> tuple[str, ...] | None:
    named = isinstance(value, dict | list) and all(isinstance(name, str) for name in value)
    return tuple(value) if named and value else None


def _read(path: Path) -> dict[Any, Any]:
    try:
        content = read_yaml(read_text(path, most=TEXT_BYTES), path)
    except FileFormatError as reason:
        raise ConfigError(path, [str(reason).removeprefix(str(path)).lstrip(", ")]) from None
    if not isinstance(content, dict):
        raise ConfigError(path, ["must be a mapping with the keys model, domain and others; see configs/README.md"])
    return content


def _override(content: Any, key: str, value: Any) -> str | None:
    """Set the value at a dotted key; return what is wrong with the key, or None."""
    *parents, last = key.split(".")
    place = content
    for depth, part in enumerate([*parents, last]):
        if isinstance(place, list):
            if not part.isdigit() or int(part) >= len(place):
                return f"{key}: {part!r} is no index into the {len(place)} entries of {'.'.join(parents[:depth])}"
            if depth == len(parents):
                place[int(part)] = value
                return None
            place = place[int(part)]
        elif isinstance(place, dict):
            if depth == len(parents):
                place[part] = value
                return None
            if place.get(part) is None:
                place[part] = {}
            place = place[part]
        else:
            return f"{key}: {'.'.join(parents[:depth])} is {place!r}, which has no keys"
    return None
