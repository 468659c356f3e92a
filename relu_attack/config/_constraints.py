"""Linear constraints by name: weighted sums and ratios of inputs within limits."""

from __future__ import annotations

import math

import numpy as np
from pydantic import model_validator
from typing_extensions import Self

from relu_attack.config._base import Real, Section
from relu_attack.config._numbers import Array, Terms

# How near a limit counts as at it, relative to the limit: a walk ends near a constraint, not on it.
NEAR = 1e-3


class Ratio(Section):
    """A quotient of two weighted sums; the divisor must not be negative in the set."""

    of: Terms
    to: Terms


class Constraint(Section):
    """A weighted sum or a ratio within limits.

    ``lower <= of / to <= upper`` becomes ``lower to <= of <= upper to``, which is linear.
    """

    name: str | None = None
    unit: str = ""
    expression: Terms | None = None
    ratio: Ratio | None = None
    lower: Real | None = None
    upper: Real | None = None
    equals: Real | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.expression is None) == (self.ratio is None):
            raise ValueError("needs either an expression or a ratio")
        if self.equals is not None and (self.lower is not None or self.upper is not None):
            raise ValueError("has both equals and lower or upper; give one kind of limit")
        if self.equals is None and self.lower is None and self.upper is None:
            raise ValueError("has no limit; give lower, upper or equals")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"has lower {self.lower:g} above upper {self.upper:g}")
        return self

    def inequalities(self) -> list[tuple[Array, float]]:
        """Return rows and right-hand sides with ``row @ x <= value``."""
        rows = []
        if self.upper is not None:
            rows.append(self._row(self.upper))
        if self.lower is not None:
            row, value = self._row(self.lower)
            rows.append((-row, -value))
        return rows

    def equations(self) -> list[tuple[Array, float]]:
        """Return rows and right-hand sides with ``row @ x == value``."""
        return [] if self.equals is None else [self._row(self.equals)]

    def _row(self, limit: float) -> tuple[Array, float]:
        if self.ratio is not None:
            return self.ratio.of - limit * self.ratio.to, 0.0
        return np.asarray(self.expression), limit

    def value(self, x: Array) -> float:
        """Return the weighted sum or the ratio at a point of shape (inputs,)."""
        if self.ratio is None:
            return float(np.asarray(self.expression) @ x)
        divisor = float(self.ratio.to @ x)
        return float(self.ratio.of @ x) / divisor if divisor else float("nan")

    def at_limit(self, x: Array) -> str:
        """Return which limit a point attains; "" for none."""
        if self.equals is not None:
            return "fixed"
        return at_limit(self.value(x), self.lower, self.upper)


def at_limit(value: float, lower: float | None, upper: float | None) -> str:
    """Return which of two limits a value attains, up to `NEAR`; "" for none."""
    if lower is not None and lower == upper:
        return "fixed"
    for words, limit in (("lower limit", lower), ("upper limit", upper)):
        if limit is not None and abs(value - limit) <= NEAR * max(abs(limit), _width(lower, upper)):
            return words
    return ""


def reading_step(lower: float | None, upper: float | None) -> float:
    """Return what to round a value between two limits to for a reader: a power of ten far below their width."""
    width = _width(lower, upper)
    return 10.0 ** (math.floor(math.log10(width)) - 3) if width else 0.0


def _width(*limits: float | None) -> float:
    given = [limit for limit in limits if limit is not None and math.isfinite(limit)]
    return max(given) - min(given) if given else 0.0
