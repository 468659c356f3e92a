"""S-expressions and their values."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from relu_attack.io.vnnlib._formulas import Formula, Variable


class Term(NamedTuple):
    """A linear term: a constant, and a coefficient for each of its variables."""

    coefficients: dict[Variable, Fraction]
    constant: Fraction


Value: TypeAlias = "Term | Formula | str | None"
"""Value of an expression; arguments of a command are text, and a command has no value."""


@dataclass(eq=False, slots=True)
class Expression:
    """An operator and its arguments during parsing."""

    position: int
    operator: str | None = None
    arguments: list[Value] = field(default_factory=list)
