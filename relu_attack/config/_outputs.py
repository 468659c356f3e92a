"""Constraints on the outputs: weighted sums of outputs, by name or index, within limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, TypeAlias

import numpy as np
from pydantic import PlainValidator, ValidationInfo, model_validator
from typing_extensions import Self

from relu_attack.config._base import Real, Section, context_of, read_each, read_index, shown
from relu_attack.config._constraints import at_limit
from relu_attack.config._numbers import Array, read_number
from relu_attack.output_constraints import OutputConstraints


def _read_terms(value: Any, info: ValidationInfo) -> dict[int, float]:
    """Return the weight of each output in a sum, from a mapping or a list of outputs of weight 1."""
    if isinstance(value, list):
        pairs = [(entry, 1.0) for entry in value]
    elif isinstance(value, dict):
        pairs = list(value.items())
    else:
        pairs = []
    if not pairs:
        raise ValueError(
            f"must be names or indices of outputs with their weights, or a list of them; got {shown(value)}"
        )
    terms: dict[int, float] = {}

    def read(output: Any, weight: Any) -> None:
        index = read_index(output, context_of(info).outputs, "output")
        if index in terms:
            raise ValueError(f"{output!r} is listed twice")
        terms[index] = read_number(weight)

    read_each(pairs, read)
    return terms


OutputTerms: TypeAlias = Annotated[dict[int, float], PlainValidator(_read_terms)]


class OutputConstraint(Section):
    """A weighted sum of outputs within limits.

    `expression` has the weight of each output; a list gives weight 1 to each.
    """

    name: str | None = None
    unit: str = ""
    expression: OutputTerms
    lower: Real | None = None
    upper: Real | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.lower is None and self.upper is None:
            raise ValueError("has no limit; give lower, upper or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"has lower {self.lower:g} above upper {self.upper:g}")
        for name, limit in (("lower", self.lower), ("upper", self.upper)):
            if limit is not None and not np.isfinite(limit):
                raise ValueError(f"has {name} {limit:g}; leave {name} out where there is no limit")
        return self

    def outside(self, outputs: int) -> list[str]:
        """Return an error for each output that a model with this number of outputs does not have."""
        return [
            f"{index} is no index; the model has {outputs} outputs, from 0"
            for index in self.expression
            if index >= outputs
        ]

    def inequalities(self, outputs: int) -> list[tuple[Array, float]]:
        """Return rows (outputs,) and right-hand sides with ``row @ f(x) <= value``."""
        row = np.zeros(outputs)
        row[list(self.expression)] = list(self.expression.values())
        limits = ((row, self.upper), (-row, None if self.lower is None else -self.lower))
        return [(side, limit) for side, limit in limits if limit is not None]

    def value(self, outputs: Array) -> float:
        """Return the weighted sum at outputs of shape (outputs,)."""
        return float(sum(weight * outputs[index] for index, weight in self.expression.items()))

    def at_limit(self, outputs: Array) -> str:
        """Return which limit the outputs attain; "" for none."""
        return at_limit(self.value(outputs), self.lower, self.upper)


def join(constraints: Iterable[OutputConstraint], outputs: int) -> OutputConstraints | None:
    """Return the constraints as rows for a model with this number of outputs; None for none."""
    rows = [row for constraint in constraints for row in constraint.inequalities(outputs)]
    if not rows:
        return None
    return OutputConstraints(np.stack([row for row, _ in rows]), np.array([limit for _, limit in rows]))
