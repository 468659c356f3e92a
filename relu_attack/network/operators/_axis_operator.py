"""A small matrix along one dimension of an array, stored as strided runs: the rounds of max pooling."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite

import torch
from torch import Tensor

from relu_attack.network.operators._base import LinearOperator


@dataclass(frozen=True)
class StridedRun:
    """Equal entries at evenly spaced positions: (row, column), (row + row_step, column + column_step), ..."""

    value: float
    count: int
    row: int
    column: int
    row_step: int = 1
    column_step: int = 1

    @property
    def rows(self) -> range:
        """The rows of the entries."""
        return range(self.row, self.row + self.count * self.row_step, self.row_step)

    @property
    def columns(self) -> range:
        """The columns of the entries."""
        return range(self.column, self.column + self.count * self.column_step, self.column_step)


Part = tuple[slice, bool, tuple[tuple[float, slice], ...]]
"""Target slice, whether this is the first write to it, and the value and source slice of each term of the sum."""


@dataclass(frozen=True, eq=False)
class AxisOperator(LinearOperator):
    """The matrix ``I (x) W (x) I`` with a small W, stored as runs of equal entries.

    A row is an array of shape (before, columns, after) and is mapped to one of shape (before, rows, after). The matrix
    is applied by sums of slices: its memory does not depend on the size of the image, and it has neither dtype nor
    device. Use `from_entries` to construct it.

    The matrix has `shape` (rows, columns), and `runs` are its entries, without duplicates.

    >>> entries = [(0, 0, 1.0), (1, 2, 1.0), (0, 1, -1.0), (1, 3, -1.0)]
    >>> pairs = AxisOperator.from_entries(entries, (2, 4), before=1, after=1)
    >>> pairs.apply(torch.tensor([[5.0, 3.0, 2.0, 4.0]]))
    tensor([[ 2., -2.]])
    """

    runs: tuple[StridedRun, ...]
    shape: tuple[int, int]
    before: int
    after: int

    @staticmethod
    def from_entries(
        entries: Iterable[tuple[int, int, float]], shape: tuple[int, int], *, before: int, after: int
    ) -> AxisOperator:
        """Build the operator from (row, column, value) triplets; those of one run must be consecutive."""
        runs: list[StridedRun] = []
        for row, column, value in entries:
            last = runs[-1] if runs else None
            if last is not None and last.value == value:
                steps = row - last.rows[-1], column - last.columns[-1]
                if min(steps) >= 1 and (last.count == 1 or steps == (last.row_step, last.column_step)):
                    runs[-1] = StridedRun(value, last.count + 1, last.row, last.column, *steps)
                    continue
            runs.append(StridedRun(value, 1, row, column))
        return AxisOperator(tuple(runs), shape, before, after)

    @property
    def inputs(self) -> int:
        return self.before * self.shape[1] * self.after

    @property
    def outputs(self) -> int:
        return self.before * self.shape[0] * self.after

    @property
    def row_nnz(self) -> int:
        return self._most([run.rows for run in self.runs], self.shape[0])

    @property
    def column_nnz(self) -> int:
        return self._most([run.columns for run in self.runs], self.shape[1])

    @property
    def copies(self) -> bool:
        return self.row_nnz <= 1 and all(abs(run.value) == 1 for run in self.runs)

    @staticmethod
    def _most(places: list[range], size: int) -> int:
        """Return the largest number of ranges that contain the same index."""
        counts = torch.zeros(size, dtype=torch.long)
        for run in places:
            counts[_slice(run)] += 1
        return int(counts.max())

    @cached_property
    def _parts(self) -> tuple[Part, ...]:
        return _plan([(run.value, run.rows, run.columns) for run in self.runs])

    @cached_property
    def _transposed_parts(self) -> tuple[Part, ...]:
        return _plan([(run.value, run.columns, run.rows) for run in self.runs])

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        result = self._sum(x, self._parts, self.shape[0], self.shape[1])
        return result if bias is None else result.add_(bias)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        return self._sum(y, self._transposed_parts, self.shape[1], self.shape[0])

    def _sum(self, rows: Tensor, parts: tuple[Part, ...], to: int, size: int) -> Tensor:
        source = rows.reshape(len(rows) * self.before, size, self.after)
        result = rows.new_empty(len(source), to, self.after)
        if sum(len(range(to)[target]) for target, fresh, _ in parts if fresh) < to:
            result.zero_()
        for target, fresh, ((value, place), *terms) in parts:
            into = result[:, target]
            if not fresh:
                into.add_(source[:, place], alpha=value)
            elif value == 1:
                into.copy_(source[:, place])
            else:
                into.copy_(source[:, place]).mul_(value)
            for value, place in terms:
                into.add_(source[:, place], alpha=value)
        return result.view(len(rows), self.before * to * self.after)

    def absolute(self) -> AxisOperator:
        return replace(self, runs=tuple(replace(run, value=abs(run.value)) for run in self.runs))

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> AxisOperator:
        return self

    def is_finite(self) -> bool:
        return all(isfinite(run.value) for run in self.runs)

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        values = torch.tensor([run.value for run in self.runs for _ in run.rows], dtype=torch.float64)
        rows = self._places([row for run in self.runs for row in run.rows], self.shape[0])
        columns = self._places([column for run in self.runs for column in run.columns], self.shape[1])
        return rows, columns, values[:, None].expand(self.before, -1, self.after).flatten()

    def _places(self, along: list[int], size: int) -> Tensor:
        """Return the flat offsets of the given indices along the dimension of length `size`."""
        before, after = torch.arange(self.before)[:, None, None], torch.arange(self.after)
        return ((before * size + torch.tensor(along)[:, None]) * self.after + after).flatten()


def _slice(places: range) -> slice:
    return slice(places.start, places[-1] + 1, places.step)


def _plan(runs: list[tuple[float, range, range]]) -> tuple[Part, ...]:
    """Group terms (value, target, source) by target, which minimizes writes."""
    by_target: dict[range, list[tuple[float, slice]]] = defaultdict(list)
    for value, target, source in runs:
        by_target[target].append((value, _slice(source)))
    written: set[int] = set()
    parts = []
    for target, terms in by_target.items():
        parts.append((_slice(target), written.isdisjoint(target), tuple(sorted(terms, key=lambda term: -term[0]))))
        written.update(target)
    return tuple(parts)
