"""``relu-attack compare``: several methods on the problem of one configuration."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relu_attack._names import suggest
from relu_attack.cli._messages import BAD_INPUT, plain_messages, print_error, shows_progress
from relu_attack.cli._optimize import AsJson, Change, Config, Progress, Seed
from relu_attack.cli._problem import load_problem, read_changes
from relu_attack.errors import ReLUAttackError
from relu_attack.solvers import METHODS

if TYPE_CHECKING:
    from relu_attack.api import ReLUOptimizer
    from relu_attack.config import Configuration
    from relu_attack.result import Result


_WIDE_COLUMNS = 100
"""Width of a terminal with room for every column with the longest names."""

_EVERY = ",".join(METHODS.built_in)


@dataclass(frozen=True)
class ComparedMethod:
    """Outcome of one method: a result, or the message of its error."""

    method: str
    result: Result | None = None
    error: str = ""


def compare(
    config: Config,
    methods: Annotated[str, typer.Option(metavar="NAMES", help="Methods to run, separated by commas.")] = _EVERY,
    time_limit: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Time limit of each method, instead of the limits of the file."),
    ] = None,
    seed: Seed = None,
    change: Change = None,
    as_json: AsJson = False,
    progress: Progress = None,
) -> None:
    """Run methods one after the other on the problem of a configuration, and compare their answers."""
    names = _read_names(methods)
    given = {"seed": seed, "time_limit": time_limit}
    changes = read_changes(change) | {key: value for key, value in given.items() if value is not None}
    if time_limit is not None:
        changes["iterations"] = None
    with plain_messages():
        configuration, optimizer = load_problem(config, changes, None)
        sense = configuration.sense or "maximize"
        rows = _run_all(names, sense, configuration, optimizer, shows_progress(progress))
        best = _best(rows, sense)
        if as_json:
            typer.echo(json.dumps(_to_json(rows, sense, best), indent=2))
        else:
            _show(rows, sense, configuration, optimizer, best)
    if all(row.result is None for row in rows):
        raise typer.Exit(BAD_INPUT)


def _read_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for place, name in enumerate(names):
        if name not in METHODS:
            message = f"{name!r} is no method; {suggest(name, METHODS)}"
            raise typer.BadParameter(message, param_hint="--methods")
        if name in names[:place]:
            raise typer.BadParameter(f"{name!r} is given twice", param_hint="--methods")
    return names


def _run_all(
    names: list[str], sense: str, configuration: Configuration, optimizer: ReLUOptimizer, progress: bool
) -> list[ComparedMethod]:
    """Run each method; one that cannot run does not stop the rest, Ctrl-C ends with those that ran."""
    from relu_attack.config import ConfigError
    from relu_attack.result import Status

    if optimizer.problem.batched:
        raise ConfigError("the configuration", ["has a batch of problems; methods are compared on a single one"])
    search = optimizer.maximize if sense == "maximize" else optimizer.minimize
    arguments, own = configuration.arguments(), configuration.options
    shared = {key: value for key, value in arguments.items() if key not in own and key != "method"}
    rows: list[ComparedMethod] = []
    for name in names:
        # The options of a file are those of its method.
        options = own if name == configuration.method else {}
        if progress:
            print_error(name)
        try:
            rows.append(ComparedMethod(name, search(method=name, **shared, **options, progress=progress)))
        except ReLUAttackError as reason:
            rows.append(ComparedMethod(name, error=str(reason)))
            continue
        if rows[-1].result is not None and rows[-1].result.status is Status.INTERRUPTED:
            break
    return rows


def _best(rows: list[ComparedMethod], sense: str) -> str | None:
    """Return the method with the best feasible value; then the smallest gap, then the shortest time."""
    sign = 1.0 if sense == "maximize" else -1.0
    found = [
        (-sign * float(row.result.value), float(row.result.gap), row.result.runtime, row.method)
        for row in rows
        if row.result is not None and math.isfinite(float(row.result.value))
    ]
    return min(found)[-1] if found else None


def _to_json(rows: list[ComparedMethod], sense: str, best: str | None) -> dict[str, Any]:
    from relu_attack.io import summarize

    methods = [
        {"method": row.method, "error": row.error} if row.result is None else summarize(row.result) for row in rows
    ]
    return {"sense": sense, "best": best, "methods": methods}


def _show(
    rows: list[ComparedMethod], sense: str, configuration: Configuration, optimizer: ReLUOptimizer, best: str | None
) -> None:
    from rich.console import Console
    from rich.table import Table

    from relu_attack.cli._tables import NOT_CERTIFIED, shown_violations, write_number

    objective, kinds = configuration.objective, shown_violations(optimizer.problem)
    unit = f" in {objective.unit}" if objective.unit else ""
    console = Console()
    # Nothing is cut: who found it is left to wide terminals and to --json, the rest is folded where it must.
    wide = console.width >= _WIDE_COLUMNS
    table = Table(title=f"{sense} {objective.name}{unit}", title_justify="left")
    table.add_column("method", no_wrap=True)
    for name in ("value", "bound", "gap", "seconds", "steps", *kinds.values()):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("status", no_wrap=True)
    if wide:
        table.add_column("found by", overflow="fold")
    for row in rows:
        mark = "> " if row.method == best else "  "
        style = "bold" if row.method == best else None
        if row.result is None:
            blank = ("",) * (5 + len(kinds))
            table.add_row(mark + row.method, *blank, "failed")
            continue
        result = row.result
        value, bound, gap = (write_number(float(entry)) for entry in (result.value, result.bound, result.gap))
        caveat = "" if bool(result.certified) else "*"
        table.add_row(
            mark + row.method,
            value,
            f"{bound}{caveat}",
            gap,
            f"{result.runtime:.2f}",
            str(result.iterations),
            *(f"{float(getattr(result, name)):.2g}" for name in kinds),
            result.status.name,
            *([", ".join(result.found_by)] if wide else []),
            style=style,
        )
    caption = ["> the best value"] if best else ["no method found a feasible input"]
    if any(row.result is not None and not bool(row.result.certified) for row in rows):
        caption.append(f"* {NOT_CERTIFIED}: reported by the solver")
    table.caption = "; ".join(caption)
    console.print(table)
    for row in rows:
        if row.result is None:
            console.print(f"{row.method} failed: {row.error}", highlight=False, markup=False, soft_wrap=True)
