"""Incremental assembly of a program from blocks of columns and rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = "NDArray[np.float64]"
Indices: TypeAlias = "NDArray[np.int64]"
Block: TypeAlias = "tuple[Indices, Indices, Array]"


class Columns:
    """Columns of a program under construction."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[tuple[Array, Array, NDArray[np.bool_]]] = []

    def add(self, lower: ArrayLike, upper: ArrayLike, *, integral: ArrayLike = False) -> Indices:
        """Add columns with these bounds, each of shape (columns,), and return their indices."""
        low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
        self._parts.append((low, high, np.broadcast_to(np.asarray(integral, dtype=bool), low.shape)))
        self.count += len(low)
        return np.arange(self.count - len(low), self.count)

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds, each of shape (columns,)."""
        return np.concatenate([part[0] for part in self._parts]), np.concatenate([part[1] for part in self._parts])

    @property
    def integral(self) -> NDArray[np.bool_]:
        """Mask of the integral columns, shape (columns,)."""
        return np.concatenate([part[2] for part in self._parts])


class Rows:
    """Rows of a program under construction."""

    def __init__(self) -> None:
        self.count = 0
        self._blocks: list[Block] = []
        self._sides: list[tuple[Array, Array]] = []

    def add(self, lower: ArrayLike, upper: ArrayLike, *blocks: Block) -> None:
        """Add rows with these sides, of shape (rows,), and the entries of `blocks`.

        A block consists of row indices from 0, column indices and values; blocks must not overlap.
        """
        low, high = np.broadcast_arrays(np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64))
        self._blocks.extend((rows + self.count, columns, values) for rows, columns, values in blocks)
        self._sides.append((low, high))
        self.count += len(low)

    def matrix(self, columns: int) -> Any:
        """Return the matrix as a CSR array, shape (rows, columns)."""
        return stack(self._blocks, (self.count, columns))

    @property
    def sides(self) -> tuple[Array, Array]:
        """Lower and upper sides, each of shape (rows,)."""
        low, high = ([side[index] for side in self._sides] for index in range(2))
        return np.concatenate([np.zeros(0), *low]), np.concatenate([np.zeros(0), *high])


@dataclass(frozen=True)
class Assembly:
    """A program under construction."""

    columns: Columns = field(default_factory=Columns)
    rows: Rows = field(default_factory=Rows)


def stack(blocks: list[Block], shape: tuple[int, int]) -> Any:
    """Return the CSR array of this shape with the entries of all blocks."""
    if not any(len(values) for _, _, values in blocks):
        return scipy.sparse.csr_array(shape)
    empty = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
    rows, columns, values = (np.concatenate(parts) for parts in zip(empty, *blocks, strict=True))
    matrix = scipy.sparse.csr_array(scipy.sparse.coo_array((values, (rows, columns)), shape=shape))
    matrix.sum_duplicates()
    return matrix


def single(columns: Indices, values: ArrayLike) -> Block:
    """Return a block with one entry in each row, row i in column `columns[i]`; `values` is a number or one a row."""
    return np.arange(len(columns)), columns, np.broadcast_to(np.asarray(values, dtype=np.float64), columns.shape)


def relocate(matrix: Any, columns: Indices) -> Block:
    """Return the entries of a CSR array with column j renumbered to `columns[j]`, and left out for -1."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    moved = columns[matrix.indices]
    present = moved >= 0
    return rows[present], moved[present], matrix.data[present]


def dense_block(matrix: Array) -> Block:
    """Return the nonzero entries of a dense matrix."""
    rows, columns = np.nonzero(matrix)
    return rows, columns, matrix[rows, columns]
