"""Bound propagation: column bounds that the rows of a program imply."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from relu_attack.rounding import dot_error, outward, up

Array = NDArray[np.float64]

_ROUNDS = 5


def implied_bounds(matrix: Any, row_lower: Array, row_upper: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """Tighten infinite column bounds from the rows; finite bounds stay unchanged.

    `matrix` is a CSR array. Every feasible point satisfies the result in real arithmetic; it is infinite where no row
    implies a bound.

    From ``a_j x_j <= row_upper - min of the other terms``, in a few rounds, widened by the `dot_error` of the sums.
    """
    low, high = lower.copy(), upper.copy()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    for _ in range(_ROUNDS):
        open_low, open_high = np.isinf(low), np.isinf(high)
        if not (open_low.any() or open_high.any()) or matrix.nnz == 0:
            break
        floor, ceiling = _candidates(matrix, rows, row_lower, row_upper, low, high)
        low, high = np.where(open_low, floor, low), np.where(open_high, ceiling, high)
        if (np.isinf(low) == open_low).all() and (np.isinf(high) == open_high).all():
            break
    return low, high


def _candidates(
    matrix: Any, rows: NDArray[np.int64], row_lower: Array, row_upper: Array, low: Array, high: Array
) -> tuple[Array, Array]:
    floor, ceiling = np.full(len(low), -np.inf), np.full(len(high), np.inf)
    coefficient, column = matrix.data, matrix.indices
    # A row bounds its terms from above, its negative from below.
    for sign, limit in ((1.0, row_upper), (-1.0, -row_lower)):
        scaled = sign * coefficient
        best = np.where(scaled > 0, low[column], high[column])
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            quotient = _room(scaled, best, rows, limit) / scaled
            usable = np.isfinite(quotient) & (scaled != 0)
            below, above = (end.numpy() for end in outward(*[torch.as_tensor(quotient)] * 2))
        positive, negative = usable & (scaled > 0), usable & (scaled < 0)
        np.minimum.at(ceiling, column[positive], above[positive])
        np.maximum.at(floor, column[negative], below[negative])
    return floor, ceiling


def _room(coefficient: Array, best: Array, rows: NDArray[np.int64], limit: Array) -> Array:
    """Return for each entry the largest value of its term: the row's limit less the minimum of the other terms."""
    term, count = coefficient * best, len(limit)
    finite = np.isfinite(term)
    known = np.where(finite, term, 0.0)

    def total(values: Array) -> Array:
        sums: Array = np.bincount(rows, weights=values, minlength=count).astype(np.float64)
        return sums[rows]

    size = torch.as_tensor(total(np.abs(known)) + np.abs(limit[rows]))
    operands = torch.as_tensor(total(np.abs(coefficient) + np.where(np.isfinite(best), np.abs(best), 0.0)))
    longest = int(np.bincount(rows, minlength=count).max(initial=0))
    others_known = total((~finite).astype(np.float64)) - ~finite == 0
    rest = np.where(others_known, total(known) - known, -np.inf)
    room = torch.as_tensor(limit[rows] - rest) + dot_error(size, longest + 4, operands)
    return up(room).numpy()
