"""Recipe report: inputs and constraints with units, beside the best row of a table of measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relu_attack.config import Array, Configuration, RecipeReport, at_limit, reading_step
from relu_attack.domains import Domain
from relu_attack.output_constraints import TOLERANCE
from relu_attack.problem import Problem

# Measurements are rounded: a row may leave the set by this much, relative to the constraint.
_ROUNDED = 1e-6


@dataclass(frozen=True)
class RecipeRow:
    """One line of the recipe: an input or a constraint.

    `limit` is the one that the answer is at, or nothing; `step` is what to round to for a reader, 0 for not at all.
    """

    name: str
    unit: str
    value: float
    reference: float | None
    limit: str
    step: float


@dataclass(frozen=True)
class Reference:
    """The best measured row inside the set: its inputs, the measured value and the prediction of the model."""

    inputs: dict[str, float]
    measured: float
    predicted: float


@dataclass(frozen=True)
class Recipe:
    """Inputs, constraints and output constraints in words, and the reference if a row of the table is feasible."""

    inputs: tuple[RecipeRow, ...]
    constraints: tuple[RecipeRow, ...]
    output_constraints: tuple[RecipeRow, ...]
    reference: Reference | None

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        reference = None if self.reference is None else vars(self.reference)
        parts = (
            ("inputs", self.inputs),
            ("constraints", self.constraints),
            ("output_constraints", self.output_constraints),
        )
        lines = {
            kind: {line.name: {"value": line.value, "unit": line.unit, "limit": line.limit} for line in part}
            for kind, part in parts
        }
        return {**lines, "reference": reference}


def find_reference(configuration: Configuration, problem: Problem, *, largest: bool) -> Reference | None:
    """Return the best measured row of the configuration's table that is feasible, or None."""
    report, names = configuration.report, configuration.names
    if not isinstance(report, RecipeReport) or names is None:
        return None
    inputs, measured = report.rows(names)
    if not inputs:
        return None
    points = torch.tensor(inputs, dtype=torch.float64)
    exact = problem.domain.to(device="cpu", dtype=torch.float64)
    predicted, violation = (entry[0] for entry in problem.evaluate(points[None]))
    feasible = exact.contains(points, tolerance=_ROUNDED) & (violation <= TOLERANCE)
    inside = torch.nonzero(feasible).flatten().tolist()
    if not inside:
        return None
    best = max(inside, key=lambda row: measured[row] if largest else -measured[row])
    return Reference(dict(zip(names, inputs[best], strict=True)), measured[best], float(predicted[best]))


def make_recipe(configuration: Configuration, problem: Problem, x: Tensor, reference: Reference | None) -> Recipe:
    """Put an answer, one point of the set, in words."""
    point = x.detach().to("cpu", torch.float64).flatten().numpy()
    other = None if reference is None else np.array(list(reference.inputs.values()))
    lower, upper = _limits(problem.domain)
    inputs = [
        RecipeRow(
            name,
            unit,
            float(point[i]),
            None if other is None else float(other[i]),
            at_limit(point[i], lower[i], upper[i]),
            reading_step(lower[i], upper[i]),
        )
        for i, (name, unit) in enumerate((configuration.inputs or {}).items())
    ]
    constraints = [
        RecipeRow(
            constraint.name or f"constraint {number}",
            constraint.unit,
            constraint.value(point),
            None if other is None else constraint.value(other),
            constraint.at_limit(point),
            reading_step(constraint.lower, constraint.upper),
        )
        for number, constraint in enumerate(configuration.constraints)
    ]
    outputs = output_lines(configuration, problem, point, other)
    return Recipe(tuple(inputs), tuple(constraints), outputs, reference)


def output_lines(
    configuration: Configuration, problem: Problem, point: Array, reference: Array | None = None
) -> tuple[RecipeRow, ...]:
    """Put the output constraints in words, at one input (inputs,) and maybe at another."""
    inputs = [entry for entry in (point, reference) if entry is not None]
    outputs = problem.network.forward(torch.tensor(np.stack(inputs), dtype=torch.float64)).outputs.numpy()
    return tuple(
        RecipeRow(
            constraint.name or f"output constraint {number}",
            constraint.unit,
            constraint.value(outputs[0]),
            None if reference is None else constraint.value(outputs[1]),
            constraint.at_limit(outputs[0]),
            reading_step(constraint.lower, constraint.upper),
        )
        for number, constraint in enumerate(configuration.output_constraints)
    )


def _limits(domain: Domain) -> tuple[list[float], list[float]]:
    exact = domain.to(device="cpu", dtype=torch.float64)
    rows = exact.linear_rows()
    if rows is not None and not rows.auxiliary:
        return rows.lower.tolist(), rows.upper.tolist()
    box = exact.bounding_box()
    return box.lower.tolist(), box.upper.tolist()
