"""One set of inputs and one unsafe clause: what is proven over it, and what counts as a witness against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.domains import Box, Domain
from relu_attack.specification import Clause

_PULLS = (0.0, *(10.0**-power for power in range(9, 0, -1)))
"""Shares of the way to the middle of the set that a rounded point is moved by until it lies inside."""


@dataclass(frozen=True, eq=False)
class Claim:
    """That no input of a set puts the outputs into an unsafe clause.

    Numbers that were decimals are given twice, rounded outward for proofs and inward for witnesses.

    Attributes
    ----------
    domain
        The set for proofs: one set, in float64 on the CPU.
    clause
        What is unsafe, for proofs.
    inner
        The set for witnesses.
    inner_rows
        Rows on the inputs that a witness satisfies besides; None for none.
    inner_clause
        What is unsafe, for witnesses.
    """

    domain: Domain
    clause: Clause
    inner: Domain
    inner_rows: Clause | None
    inner_clause: Clause

    @staticmethod
    def plain(domain: Domain, clause: Clause) -> Claim:
        """Return the claim whose numbers are what they are."""
        exact = domain.to(device="cpu", dtype=torch.float64)
        return Claim(exact, clause, exact, None, clause)

    def contains(self, x: Tensor) -> bool:
        """Say whether a float64 input (inputs,) lies in the set for witnesses, at zero tolerance.

        Linear rows are summed in rational numbers. Equations, which hardly any float64 meets, are the exception: they
        hold to the tolerance of the set.
        """
        inner = self.inner
        if not bool(torch.isfinite(x).all()) or float(inner.integrality(x)) != 0:
            return False
        # A set with a tolerance is a polytope.
        inside = _meets_rows(inner, x) if inner.tolerance else float(inner.violation(x)) == 0
        return inside and (self.inner_rows is None or self.inner_rows.holds(x))

    def place(self, x: Tensor, dtype: torch.dtype) -> Tensor | None:
        """Return a float64 point (inputs,) of the set for witnesses near `x` whose entries are numbers of `dtype`.

        An entry whose range has no such number keeps the nearest float64, which a model of that dtype rounds. None
        if no such point is found.
        """
        if not bool(torch.isfinite(x).all()):
            return None
        middle = self.domain.center()
        for share in _PULLS:
            for point in self._rounded(torch.lerp(x, middle, share), dtype):
                if self.contains(point):
                    return point
        return None

    def _rounded(self, x: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
        near = self.inner.round(self.inner.project(x))
        if isinstance(self.inner, Box):
            low, high = representable(self.inner.lower, self.inner.upper, dtype)
            rounded = torch.clamp(near.to(dtype).double(), low, high)
            yield torch.where(low <= high, rounded, near)
        else:
            yield near.to(dtype).double()
            if self.inner.tolerance:  # equations may have no solution in less than float64
                yield near


def representable(lower: Tensor, upper: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest numbers of `dtype` in ranges of float64, as float64.

    The first is above the second where there is none.

    Examples
    --------
    >>> low, high = representable(*torch.tensor([[0.1], [0.5]]).double(), torch.float32)
    >>> (low.float().tolist(), high.float().tolist()) == (torch.tensor([0.1]).tolist(), [0.5])
    True
    """
    low, high = _neighbors(lower, dtype)[1], _neighbors(upper, dtype)[0]
    return low, high


def _neighbors(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the nearest numbers of `dtype` that are at most, and at least, the float64 `values`; both as float64."""
    near = values.to(dtype)
    infinity = torch.full_like(near, torch.inf)
    below = torch.where(near.double() > values, torch.nextafter(near, -infinity), near)
    above = torch.where(near.double() < values, torch.nextafter(near, infinity), near)
    return below.double(), above.double()


def _meets_rows(domain: Domain, x: Tensor) -> bool:
    rows = domain.inequalities()
    if bool((x < rows.lower_bounds).any()) or bool((x > rows.upper_bounds).any()):
        return False
    exact = Clause(rows.matrix, rows.upper, torch.zeros(len(rows.upper), dtype=torch.bool))
    return exact.holds(x) and bool(domain.contains(x))
