"""Sparse matrices: pooling, padding, selection and sums of entries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from relu_attack.network.operators._base import LinearOperator


@dataclass(frozen=True, eq=False)
class Sparse(LinearOperator):
    """A sparse matrix: pooling, padding, selection and sums of entries. Use `from_triplets` to construct it.

    `apply` gathers by rows and `transpose` by columns. Unlike torch's sparse tensors, both are deterministic on every
    device and work in every dtype and in inference mode.

    Parameters
    ----------
    rows, columns, values
        Each of shape (entries,), sorted by row and column, without duplicates.
    shape
        (outputs, inputs).
    """

    rows: Tensor
    columns: Tensor
    values: Tensor
    shape: tuple[int, int]

    @staticmethod
    def from_triplets(rows: Tensor, columns: Tensor, values: Tensor, *, outputs: int, inputs: int) -> Sparse:
        """Build the matrix from row and column indices and values, each of shape (entries,); duplicates are summed."""
        places, entry = torch.unique(rows * inputs + columns, return_inverse=True)
        total = values.new_zeros(places.shape[0]).index_add_(0, entry, values)
        return Sparse(places // inputs, places % inputs, total, (outputs, inputs))

    @property
    def inputs(self) -> int:
        return self.shape[1]

    @property
    def outputs(self) -> int:
        return self.shape[0]

    @property
    def stored(self) -> int:
        """Number of stored entries."""
        return self.values.shape[0]

    @cached_property
    def row_nnz(self) -> int:
        return int(torch.bincount(self.rows, minlength=1).max())

    @property
    def column_nnz(self) -> int:
        return int(torch.bincount(self.columns, minlength=1).max())

    @property
    def copies(self) -> bool:
        return self.row_nnz <= 1 and bool((self.values.abs() == 1).all())

    @cached_property
    def _by_row(self) -> tuple[Tensor, Tensor]:
        return _padded(self.rows, self.columns, self.values, self.outputs)

    @cached_property
    def _by_column(self) -> tuple[Tensor, Tensor]:
        order = torch.argsort(self.columns, stable=True)
        return _padded(self.columns[order], self.rows[order], self.values[order], self.inputs)

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        result = _gather(x, *self._by_row)
        return result if bias is None else result.add_(bias)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        return _gather(y, *self._by_column)

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.rows, self.columns, self.values

    def after(self, first: Sparse) -> Sparse:
        """Return the matrix product of this matrix and `first`."""
        lengths = torch.bincount(first.rows, minlength=first.outputs)
        starts, meets = lengths.cumsum(0) - lengths, lengths[self.columns]
        mine = torch.arange(self.stored, device=meets.device).repeat_interleave(meets)
        place = torch.arange(mine.shape[0], device=meets.device) - (meets.cumsum(0) - meets)[mine]
        theirs = starts[self.columns[mine]] + place
        products = self.values[mine] * first.values[theirs]
        return Sparse.from_triplets(
            self.rows[mine], first.columns[theirs], products, outputs=self.outputs, inputs=first.inputs
        )

    def products_after(self, first: Sparse) -> int:
        """Return the number of products of coefficients in `after`."""
        return int(torch.bincount(first.rows, minlength=first.outputs)[self.columns].sum())

    @property
    def is_permutation(self) -> bool:
        """Whether each row and each column has exactly one entry, of any value."""
        size = self.stored
        return size == self.inputs == self.outputs == len(self.rows.unique()) == len(self.columns.unique())

    def scale_rows(self, scale: Tensor) -> Sparse:
        """Return the matrix with scaled rows, scales of shape (outputs,)."""
        return self._with_values(self.values * scale[self.rows])

    def scale_columns(self, scale: Tensor) -> Sparse:
        """Return the matrix with scaled columns, scales of shape (inputs,)."""
        return self._with_values(self.values * scale[self.columns])

    def absolute(self) -> Sparse:
        return self._with_values(self.values.abs())

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Sparse:
        rows, columns = self.rows.to(device=device), self.columns.to(device=device)
        return Sparse(rows, columns, self.values.to(device=device, dtype=dtype), self.shape)

    def is_finite(self) -> bool:
        return bool(torch.isfinite(self.values).all())

    def _with_values(self, values: Tensor) -> Sparse:
        return Sparse(self.rows, self.columns, values, self.shape)


def _padded(rows: Tensor, columns: Tensor, values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return columns and values as tables (longest row, count), padded by value 0."""
    # The tables are cached; tensors created in inference mode could not be used with autograd later.
    with torch.inference_mode(False):
        lengths = torch.bincount(rows, minlength=count)
        starts = lengths.cumsum(0) - lengths
        longest = max(int(lengths.max()), 1)
        place = torch.arange(rows.shape[0], device=rows.device) - starts[rows]
        first = rows.new_zeros(count)
        first[rows[place == 0]] = columns[place == 0]
        index, weight = first.repeat(longest, 1), values.new_zeros(longest, count)
        index[place, rows], weight[place, rows] = columns, values
        return index, weight


def _gather(x: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Return the sums of weighted entries, shape (batch, count), for tables of shape (terms, count)."""
    if index.shape[0] > 16:  # one gather of all terms is faster than one for each
        entries = x.index_select(1, index.flatten()).view(len(x), *index.shape)
        return (entries * weight).sum(1)
    result = x.index_select(1, index[0]) * weight[0]
    for column, factor in zip(index[1:], weight[1:], strict=True):
        result.addcmul_(x.index_select(1, column), factor)
    return result
