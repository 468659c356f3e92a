"""``relu-attack maximize`` and ``minimize``: solve the problem of a configuration file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from relu_attack.cli._messages import BAD_INPUT, plain_messages, print_error, shows_progress
from relu_attack.cli._problem import load_problem, read_changes
from relu_attack.solvers import METHODS

if TYPE_CHECKING:
    from relu_attack.cli._optimization_report import OptimizationReport

Sense: TypeAlias = Literal["maximize", "minimize"]

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="Configuration file; configs/README.md lists the keys.")]
Method = Annotated[str | None, typer.Option(help=f"Method of the search: {', '.join(METHODS.built_in)}.")]
Solver = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Solver of the programs: HIGHS, or one that cvxpy has installed."),
]
Restarts = Annotated[int | None, typer.Option(help="Number of walkers, which run in one batch.")]
Iterations = Annotated[int | None, typer.Option(help="Maximum number of steps of each walker, or of programs.")]
TimeLimit = Annotated[float | None, typer.Option(metavar="SECONDS", help="Time limit in seconds.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the random numbers.")]
LearningRate = Annotated[float | None, typer.Option(help="Factor of the gradient, instead of relative steps.")]
Device = Annotated[str | None, typer.Option(help="Device of the walkers, such as cpu or cuda.")]
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
        solver: Solver = None,
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
            "options.solver": solver,
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
            answer = _answer(sense, config, read_changes(change) | given, shows_progress(progress))
            files, failures = answer.write()
            if as_json:
                typer.echo(json.dumps({**answer.to_json(), "files": [str(file) for file in files]}, indent=2))
            else:
                answer.show(files)
            for failure in failures:
                print_error(failure)
            if failures:
                raise typer.Exit(BAD_INPUT)

    return optimize


def _answer(sense: Sense, config: Path, changes: dict[str, Any], progress: bool) -> OptimizationReport:
    """Read the configuration, run it, and return the answer."""
    from relu_attack.cli._optimization_report import OptimizationReport

    configuration, optimizer = load_problem(config, changes, sense)
    answer = OptimizationReport.prepare(sense, configuration, optimizer)
    search = optimizer.maximize if sense == "maximize" else optimizer.minimize
    return answer.found(search(**configuration.arguments(), progress=progress))


def _from_here(path: Path | None) -> str | None:
    # Paths on the line are relative to the working directory, those in the file to its folder.
    return None if path is None else str(path.absolute())
