"""``relu-attack maximize`` and ``minimize``: answer the question of a configuration file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from relu_attack.cli._messages import on_terminal, plain_messages

if TYPE_CHECKING:
    from relu_attack.cli._answer import Answer

Sense: TypeAlias = Literal["maximize", "minimize"]

Config = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A configuration file; configs/README.md says what it holds.")
]
Method = Annotated[str | None, typer.Option(help="gradient_walk, ppga or ppga_lr.")]
Restarts = Annotated[int | None, typer.Option(help="Walkers, all in one batch.")]
Iterations = Annotated[int | None, typer.Option(help="Steps of each walker.")]
TimeLimit = Annotated[float | None, typer.Option(metavar="SECONDS", help="Stop after so many seconds.")]
Seed = Annotated[int | None, typer.Option(help="Makes the run repeat.")]
LearningRate = Annotated[float | None, typer.Option(help="Raw gradient step instead of relative ones.")]
Device = Annotated[str | None, typer.Option(help="Where to walk, such as cpu or cuda.")]
Change = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change any key, as in domain.radius=0.1; may be given repeatedly."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, and nothing else.")]
Figure = Annotated[Path | None, typer.Option(help="Draw value against time: .png, .svg or .pdf.")]
Save = Annotated[Path | None, typer.Option(help="Save the result as PATH.json and PATH.safetensors.", metavar="PATH")]
Progress = Annotated[bool | None, typer.Option(help="Show a progress bar; by default only on a terminal.")]


def command(sense: Sense) -> Callable[..., None]:
    """Return the subcommand of that sense."""

    def optimize(
        config: Config,
        method: Method = None,
        restarts: Restarts = None,
        iterations: Iterations = None,
        time_limit: TimeLimit = None,
        seed: Seed = None,
        learning_rate: LearningRate = None,
        device: Device = None,
        change: Change = None,
        figure: Figure = None,
        save: Save = None,
        as_json: AsJson = False,
        progress: Progress = None,
    ) -> None:
        options = {
            "method": method,
            "restarts": restarts,
            "iterations": iterations,
            "time_limit": time_limit,
            "seed": seed,
            "options.learning_rate": learning_rate,
            "device": device,
            "output.figure": _from_here(figure),
            "output.result": _from_here(save),
        }
        given = {key: value for key, value in options.items() if value is not None}
        with plain_messages():
            answer = _answer(sense, config, _changes(change) | given, on_terminal() if progress is None else progress)
            files = answer.write()
            if as_json:
                typer.echo(json.dumps({**answer.to_json(), "files": [str(file) for file in files]}, indent=2))
            else:
                answer.show(files)

    return optimize


def _answer(sense: Sense, config: Path, changes: dict[str, Any], progress: bool) -> Answer:
    """Read the configuration, run it, and return the answer."""
    import torch

    from relu_attack.api import ReLUOptimizer
    from relu_attack.cli._answer import Answer
    from relu_attack.config import ConfigError, load_configuration

    sys.path.insert(0, "")  # a factory may stand in the working directory, as with python -m
    configuration, question = load_configuration(config, changes)
    if configuration.sense not in (None, sense):
        raise ConfigError(
            config, [f"sense: is {configuration.sense}; run relu-attack {configuration.sense}, or drop it"]
        )
    if configuration.threads is not None:
        torch.set_num_threads(configuration.threads)
    optimizer = ReLUOptimizer(question.model, question.domain, question.objective, device=configuration.device)
    answer = Answer.prepare(sense, configuration, optimizer)
    search = optimizer.maximize if sense == "maximize" else optimizer.minimize
    return answer.found(search(**configuration.arguments(), progress=progress))


def _changes(given: list[str] | None) -> dict[str, Any]:
    """Read KEY=VALUE, the value as YAML."""
    import yaml

    changes = {}
    for change in given or ():
        key, equals, value = change.partition("=")
        if not equals or not all(key.split(".")):
            raise typer.BadParameter(f"{change!r} must be KEY=VALUE, such as domain.radius=0.1", param_hint="--set")
        try:
            changes[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise typer.BadParameter(f"the value in {change!r} is not YAML", param_hint="--set") from None
    return changes


def _from_here(path: Path | None) -> str | None:
    # Paths on the line are relative to the working directory, those in the file to its folder.
    return None if path is None else str(path.absolute())
