"""Tables of an answer for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.table import Table

from relu_attack.cli._recipe import Recipe, RecipeRow
from relu_attack.config import ObjectiveSection
from relu_attack.problem import Problem
from relu_attack.result import Result, Status

# Problems of a batch that the table shows, and inputs of an answer without names.
_SHOWN = 20

NOT_CERTIFIED = "not certified"
"""Mark of a bound that a solver reported and that was not independently verified."""

_UNANSWERED = {
    Status.INFEASIBLE: "infeasible; the nearest input",
    Status.NOT_FOUND: "nothing feasible found; the nearest input",
}


def write_number(value: float, step: float = 0.0) -> str:
    """Write a number to five digits, but no finer than `step`; "none" for an infinite one."""
    if math.isinf(value):
        return "none"
    rounded = round(value / step) * step if step else value
    return f"{rounded + 0.0:.5g}"


def shown_violations(problem: Problem) -> dict[str, str]:
    """Return the names of the violations that apply to a problem, with their descriptions."""
    kinds = {"violation": "set"}
    if problem.constraints is not None:
        kinds["output_violation"] = "output constraints"
    if problem.domain.integer:
        kinds["integrality"] = "whole numbers"
    return kinds if len(kinds) > 1 else {}


def recipe_table(recipe: Recipe, result: Result, sense: str, objective: ObjectiveSection) -> Table:
    """Return the inputs and constraints in words, beside the reference."""
    title = _UNANSWERED.get(result.status, f"{sense} {objective.name}")
    table = Table(title=title, title_justify="left")
    table.add_column("input")
    table.add_column("unit")
    table.add_column("answer", justify="right")
    if recipe.reference is not None:
        table.add_column("best measured", justify="right")
    table.add_column("at its")

    def add(lines: Iterable[RecipeRow]) -> None:
        for line in lines:
            reference = () if line.reference is None else (write_number(line.reference, line.step),)
            table.add_row(line.name, line.unit, write_number(line.value, line.step), *reference, line.limit)
        table.add_section()

    add(recipe.inputs)
    add(recipe.constraints)
    add(recipe.output_constraints)
    unit, value = objective.unit, write_number(float(result.value))
    if recipe.reference is None:
        table.add_row("predicted", unit, value, "")
    else:
        table.add_row("predicted", unit, value, write_number(recipe.reference.predicted), "")
        table.add_row("measured", unit, "", write_number(recipe.reference.measured), "")
    return table


def summary_table(
    result: Result,
    sense: str,
    objective: ObjectiveSection,
    kinds: dict[str, str],
    constraints: Iterable[RecipeRow] | None,
) -> Table:
    """Return a table of value, bound, gap, violations of these kinds, origin of the answer, and the run.

    `constraints` are those on the outputs; None where a recipe shows them, and the input.
    """
    title = None if constraints is None else _UNANSWERED.get(result.status, sense)
    table = Table(show_header=False, title=title, title_justify="left")
    unit = f" {objective.unit}" if objective.unit else ""

    def add(name: str, text: str) -> None:
        table.add_row(name, text)

    add(objective.name, write_number(float(result.value)) + (unit if math.isfinite(float(result.value)) else ""))
    add("bound", _bound_in_words(result, sense, unit))
    if math.isfinite(float(result.gap)) and result.status is not Status.INFEASIBLE:
        share = float(result.relative_gap)
        add("gap", f"{write_number(float(result.gap))}{unit} ({share:.2%} relative)")
    if constraints is not None and result.x.numel() <= _SHOWN:
        add("x", ", ".join(write_number(entry) for entry in result.x.flatten().tolist()))
    for line in constraints or ():
        limit = f", at its {line.limit}" if line.limit else ""
        add(line.name, f"{write_number(line.value, line.step)} {line.unit}".rstrip() + limit)
    if kinds:
        add("violation", ", ".join(f"{words} {float(getattr(result, name)):.2g}" for name, words in kinds.items()))
    add("status", f"{result.status.name}: {result.message}")
    add("found by", ", ".join(result.found_by))
    add("run", _run(result))
    return table


def batch_table(result: Result, sense: str, objective: ObjectiveSection, kinds: dict[str, str]) -> Table:
    """Return a table with a row for each of the first problems."""
    problems = len(result.value)
    shown = f", first {_SHOWN}" if problems > _SHOWN else ""
    table = Table(title=f"{sense} {objective.name} in {problems} problems{shown}")
    for name in ("problem", "value", "bound", "gap", *kinds.values()):
        table.add_column(name, justify="right")
    table.add_column("found by")
    for number in range(min(problems, _SHOWN)):
        value, bound, gap = (write_number(float(entry[number])) for entry in (result.value, result.bound, result.gap))
        mark = "" if bool(result.certified[number]) else "*"
        violations = (f"{float(getattr(result, name)[number]):.2g}" for name in kinds)
        table.add_row(str(number), value, f"{bound}{mark}", gap, *violations, result.found_by[number])
    caveat = "" if bool(result.certified.all()) else f"; * {NOT_CERTIFIED}: reported by the solver"
    table.caption = f"{result.status.name}: {result.message}; {_run(result)}{caveat}"
    return table


def _bound_in_words(result: Result, sense: str, unit: str) -> str:
    caveat = "" if bool(result.certified) else f" ({NOT_CERTIFIED}: reported by the solver)"
    if result.status is Status.INFEASIBLE:
        return f"none: no input of the set is feasible{caveat}"
    side = "above" if sense == "maximize" else "below"
    return f"{write_number(float(result.bound))}{unit}: no input of the set is {side} it{caveat}"


def _run(result: Result) -> str:
    hint = "; interrupted" if result.status is Status.INTERRUPTED else ""
    rate = result.iterations / max(result.runtime, 1e-9)
    return f"{result.method}, {result.iterations} steps in {result.runtime:.2f} s ({rate:.0f} a second){hint}"
