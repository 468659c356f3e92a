"""What stands between two parentheses, and what it may mean."""

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
"""A command's arguments stay text, and a command means nothing to the one around it."""


@dataclass(eq=False, slots=True)
class Expression:
    """An operator and its arguments while they are read.

    Attributes
    ----------
    position
        Where in the text its parenthesis stands.
    operator
        The first word, as soon as it is read.
    arguments
        What the others mean.
    """

    position: int
    operator: str | None = None
    arguments: list[Value] = field(default_factory=list)
