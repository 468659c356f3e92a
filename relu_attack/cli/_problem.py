"""Problem of a configuration file with the overrides of the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from relu_attack.errors import FileFormatError

if TYPE_CHECKING:
    from relu_attack.api import ReLUOptimizer
    from relu_attack.config import Configuration


def read_changes(given: list[str] | None) -> dict[str, Any]:
    """Read KEY=VALUE, the value as YAML."""
    from relu_attack._plain import read_yaml

    changes = {}
    for change in given or ():
        key, equals, value = change.partition("=")
        if not equals or not all(key.split(".")):
            raise typer.BadParameter(f"{change!r} must be KEY=VALUE, such as domain.radius=0.1", param_hint="--set")
        try:
            changes[key] = read_yaml(value, f"the value of {key}")
        except FileFormatError as reason:
            raise typer.BadParameter(str(reason), param_hint="--set") from None
    return changes


def load_problem(config: Path, changes: dict[str, Any], sense: str | None) -> tuple[Configuration, ReLUOptimizer]:
    """Read the configuration and make its optimizer; `sense` is what the command does, if it does one thing."""
    import torch

    from relu_attack.api import ReLUOptimizer
    from relu_attack.config import ConfigError, load_configuration

    sys.path.insert(0, "")  # a factory may stand in the working directory, as with python -m
    configuration, loaded = load_configuration(config, changes)
    if sense is not None and configuration.sense not in (None, sense):
        raise ConfigError(
            config, [f"sense: is {configuration.sense}; run relu-attack {configuration.sense}, or drop it"]
        )
    if configuration.threads is not None:
        torch.set_num_threads(configuration.threads)
    optimizer = ReLUOptimizer(
        loaded.model,
        loaded.domain,
        loaded.objective,
        output_constraints=loaded.output_constraints,
        device=configuration.device,
    )
    return configuration, optimizer
