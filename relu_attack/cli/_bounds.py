"""``relu-attack bounds``: certified ranges of every output, and of the objective, over the set of a configuration."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relu_attack._files import write_files
from relu_attack._names import one_of
from relu_attack.bounds import BOUNDS
from relu_attack.cli._messages import plain_messages
from relu_attack.cli._optimize import AsJson, Change, Config
from relu_attack.cli._problem import load_problem, read_changes
from relu_attack.errors import OptionError
from relu_attack.solvers import SearchArguments

if TYPE_CHECKING:
    from rich.table import Table

    from relu_attack.api import ReLUOptimizer
    from relu_attack.bounds import Bounds
    from relu_attack.config import Configuration

# Digits that the table shows, and sets of a batch.
_DIGITS, _SETS = 6, 20

_KNOWN = ", ".join(BOUNDS.built_in)


@dataclass(frozen=True)
class BoundRow:
    """Bounds of an output or of the objective, with its description and the index of the set in a batch."""

    name: str
    unit: str
    set: int


@dataclass(frozen=True)
class Found:
    """Range of each row by one method, whether the ranges are certified, and the time."""

    method: str
    ranges: tuple[tuple[float, float], ...]
    certified: bool
    seconds: float


def bounds(
    config: Config,
    method: Annotated[
        list[str] | None,
        typer.Option(help=f"One or several of {_KNOWN}, to be compared; by default that of the file."),
    ] = None,
    change: Change = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the bounds as JSON here as well.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bound every output, and the objective, over the set of a configuration: no input gives less or more."""
    with plain_messages():
        names = _checked(method or [])
        configuration, optimizer = load_problem(config, read_changes(change), None)
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
        rows = _rows(configuration, optimizer)
        found = [_bound(optimizer, name) for name in names or [configuration.bound or SearchArguments.bound]]
        plain = json.dumps(_to_json(rows, found, optimizer), indent=2)
        if as_json:
            typer.echo(plain)
        else:
            from rich.console import Console

            Console().print(_table(rows, found, optimizer))
        if output is not None:
            write_files({output: plain + "\n"})
            if not as_json:
                typer.echo(f"wrote {output.resolve()}")


def _checked(names: list[str]) -> list[str]:
    for place, name in enumerate(names):
        one_of(name, BOUNDS, name="--method")
        if name in names[:place]:
            raise OptionError(f"--method {name} is given twice; once is enough")
    return names


def _rows(configuration: Configuration, optimizer: ReLUOptimizer) -> list[BoundRow]:
    """Return the rows that `_bound` bounds, in its order."""
    problem, objective = optimizer.problem, configuration.objective
    named = configuration.outputs or {f"output {index}": "" for index in range(problem.network.outputs)}
    sets, asked = problem.domain.batch or 1, 1 if problem.domain.batch else problem.problems
    objectives = [objective.name] if asked == 1 else [f"{objective.name} {number}" for number in range(asked)]
    entries = [*named.items(), *((name, objective.unit) for name in objectives)]
    return [BoundRow(name, unit, number) for number in range(sets) for name, unit in entries]


def _bound(optimizer: ReLUOptimizer, method: str) -> Found:
    """Bound each output and then the objective, set by set."""
    import torch

    from relu_attack.bounds import bound_rows

    problem = optimizer.problem
    outputs = torch.eye(problem.network.outputs, dtype=torch.float64)
    asked = problem.objective
    if problem.domain.batch is None:
        rows = torch.cat([outputs, asked])
    else:
        rows = torch.cat([outputs.expand(problem.domain.batch, -1, -1), asked[:, None]], dim=1)
    began = time.perf_counter()
    with torch.inference_mode(False), torch.no_grad():
        ends: Bounds = bound_rows(problem.network, problem.domain, rows, method)
    seconds = time.perf_counter() - began
    ranges = zip(ends.lower.flatten().tolist(), ends.upper.flatten().tolist(), strict=True)
    return Found(method, tuple(ranges), ends.sound, seconds)


def _to_json(rows: list[BoundRow], found: list[Found], optimizer: ReLUOptimizer) -> dict[str, Any]:
    def number(value: float) -> float | str:
        return value if math.isfinite(value) else str(value)  # JSON has no infinity

    methods = [
        {
            "method": one.method,
            "certified": one.certified,
            "seconds": one.seconds,
            "ranges": [
                {**vars(row), "lower": number(low), "upper": number(high), "width": number(high - low)}
                for row, (low, high) in zip(rows, one.ranges, strict=True)
            ],
        }
        for one in found
    ]
    return {"domain": type(optimizer.problem.domain).__name__, "methods": methods}


def _table(rows: list[BoundRow], found: list[Found], optimizer: ReLUOptimizer) -> Table:
    from rich.table import Table

    domain = optimizer.problem.domain
    sets = "" if domain.batch is None else f", first {_SETS} sets" if domain.batch > _SETS else " of each set"
    several = len(found) > 1
    table = Table(title=f"bounds over the {type(domain).__name__}{sets}", title_justify="left", show_lines=several)
    if domain.batch is not None:
        table.add_column("set", justify="right")
    for name in ("output", "unit", "method"):
        table.add_column(name)
    for name in ("lower", "upper", "width"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, row in enumerate(rows):
        if row.set == _SETS:
            break
        # Methods stand below each other in a row: beside each other, three would be wider than a terminal.
        ranges = [one.ranges[place] for one in found]
        cells = zip(*(_write_range(low, high) for low, high in ranges), strict=True)
        methods = "\n".join(one.method for one in found)
        table.add_row(
            *([] if domain.batch is None else [str(row.set)]), row.name, row.unit, methods, *map("\n".join, cells)
        )
    caption = [f"{one.method}: {one.seconds:.2f} s" for one in found]
    caption += [f"{one.method} is not sound to rounding" for one in found if not one.certified]
    if optimizer.problem.constraints is not None:
        caption.append("constraints on the outputs are left aside")
    table.caption = "; ".join(caption)
    return table


def _write_range(low: float, high: float) -> tuple[str, str, str]:
    return _write(low, ROUND_FLOOR), _write(high, ROUND_CEILING), _write(high - low, ROUND_CEILING)


def _write(value: float, rounding: str) -> str:
    """Write a number to a few digits, rounded outward, so that the printed range holds as well."""
    if math.isinf(value):
        return "none"
    return f"{float(Context(prec=_DIGITS, rounding=rounding).create_decimal(value)) + 0.0:.{_DIGITS}g}"
