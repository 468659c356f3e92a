"""Bounds that the rows of a program imply for columns that have none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_EPSILON = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)
_ROUNDS = 5


def implied_bounds(matrix: Any, row_lower: Array, row_upper: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """Fill infinite bounds of columns from the rows; finite ones are kept.

    Parameters
    ----------
    matrix
        CSR array, shape (rows, columns).
    row_lower, row_upper
        Shape (rows,).
    lower, upper
        Shape (columns,).

    Returns
    -------
    lower, upper
        Bounds that every feasible point satisfies in real arithmetic, still infinite where no row implies one.

    Notes
    -----
    From ``a_j x_j <= row_upper - min of the other terms``, in a few rounds, widened by the error of the sums.
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
    # The row as it is bounds its terms from above; its negative does the same from the other side.
    for sign, limit in ((1.0, row_upper), (-1.0, -row_lower)):
        scaled = sign * coefficient
        best = np.where(scaled > 0, low[column], high[column])
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            term = scaled * best
            rest, size = _rest_of_row(term, rows, matrix.shape[0], np.diff(matrix.indptr))
            margin = (np.abs(limit[rows]) + size) * (4 * _EPSILON) + size * 1e-12 + matrix.shape[1] * _TINY
            room = limit[rows] - rest + margin
            quotient = room / scaled
            outward = np.abs(quotient) * (4 * _EPSILON) + _TINY
            usable = np.isfinite(quotient) & (scaled != 0)
        above, below = usable & (scaled > 0), usable & (scaled < 0)
        np.minimum.at(ceiling, column[above], (quotient + outward)[above])
        np.maximum.at(floor, column[below], (quotient - outward)[below])
    return floor, ceiling


def _rest_of_row(term: Array, rows: NDArray[np.int64], count: int, entries: NDArray[np.int64]) -> tuple[Array, Array]:
    """Sum the other terms of each entry's row, -inf where one is; and an error scale of that sum."""
    finite = np.isfinite(term)
    known = np.where(finite, term, 0.0)
    total = np.bincount(rows, weights=known, minlength=count)
    # In units of 1e-12: n terms are off by n epsilon times their magnitudes at most.
    size = np.bincount(rows, weights=np.abs(known), minlength=count) * np.maximum(1.0, entries * (4 * _EPSILON / 1e-12))
    unknown = np.bincount(rows, weights=~finite, minlength=count)
    others_known = unknown[rows] - ~finite == 0
    return np.where(others_known, total[rows] - known, -np.inf), size[rows]
