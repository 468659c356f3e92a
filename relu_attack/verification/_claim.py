"""Claim: a set of inputs and an unsafe clause, with the form that proofs use and the test of witnesses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.domains import Domain, LinearConstraints
from relu_attack.specification import Clause

_SHRINK_FACTORS = (0.0, *(10.0**-power for power in range(9, 0, -1)))
"""Factors by which a rounded point is moved toward the center of the set, in order, until it lies inside."""


@dataclass(frozen=True, eq=False)
class Claim:
    """The statement that no input of a set leads to outputs in an unsafe clause.

    Decimal numbers of files are stored twice, rounded outward for proofs and inward for witnesses.

    Attributes
    ----------
    domain
        The set for proofs: one set, in float64 on the CPU.
    clause
        Unsafe clause, for proofs.
    inner
        The set for witnesses.
    inner_rows
        Further rows that a witness has to satisfy; None for none.
    inner_clause
        Unsafe clause, for witnesses.
    """

    domain: Domain
    clause: Clause
    inner: Domain
    inner_rows: Clause | None
    inner_clause: Clause

    @staticmethod
    def plain(domain: Domain, clause: Clause) -> Claim:
        """Return the claim with the same set and clause for proofs and witnesses."""
        exact = domain.to(device="cpu", dtype=torch.float64)
        return Claim(exact, clause, exact, None, clause)

    def contains(self, x: Tensor) -> bool:
        """Return whether a float64 input (inputs,) lies in the set for witnesses, at zero tolerance.

        Linear inequalities are evaluated in rational numbers. Equations, which hardly any float64 point satisfies, hold
        to the tolerance of the set.
        """
        inner = self.inner
        if not bool(torch.isfinite(x).all()) or float(inner.integrality(x)) != 0:
            return False
        rows = inner.linear_rows() if inner.tolerance else None
        if rows is None or rows.auxiliary:
            inside = float(inner.violation(x)) == 0
        else:
            inside = _meets(rows, x) and bool(inner.contains(x))
        return inside and (self.inner_rows is None or self.inner_rows.holds(x))

    def place(self, x: Tensor, dtype: torch.dtype) -> Tensor | None:
        """Return a float64 point (inputs,) of the set for witnesses near `x` whose entries are numbers of `dtype`.

        An entry whose range has no such number keeps the nearest float64, which a model of that dtype rounds. None
        if no such point is found.
        """
        if not bool(torch.isfinite(x).all()):
            return None
        middle = self.domain.center()
        for share in _SHRINK_FACTORS:
            for point in self._rounded(torch.lerp(x, middle, share), dtype):
                if self.contains(point):
                    return point
        return None

    def _rounded(self, x: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
        near = self.inner.round(self.inner.project(x))
        yield from self.inner.representable(near, dtype)


def _meets(rows: LinearConstraints, x: Tensor) -> bool:
    """Return whether an input satisfies bounds and inequalities exactly."""
    if bool((x < rows.lower).any()) or bool((x > rows.upper).any()):
        return False
    matrix, limit, equation = rows.one_sided
    free = ~equation
    return Clause(matrix[free], limit[free], torch.zeros(int(free.sum()), dtype=torch.bool)).holds(x)
