"""Large dense matrices stored in float32 and applied in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relu_attack.network.operators._base import LinearOperator, Weighted
from relu_attack.network.operators._dense import Dense

# Entries that are converted at once: 16 MiB in float64.
_BLOCK = 2**21


@dataclass(frozen=True, eq=False)
class UpcastDense(Weighted):
    """A dense float64 matrix stored in float32, in which all its entries are representable.

    Blocks of rows are converted on demand and equal those of a float64 copy, which would take twice the memory. `to`
    float32 gives a `Dense` operator that shares the storage.

    `of_magnitudes` is whether the matrix consists of the magnitudes of the entries.

    >>> matrix = UpcastDense(torch.tensor([[1.0, -2.0], [0.5, 4.0]]))
    >>> matrix.apply(torch.ones(1, 2, dtype=torch.float64))
    tensor([[-1.0000,  4.5000]], dtype=torch.float64)
    """

    of_magnitudes: bool = False

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the rows of each block and their entries in float64.

        Blocks share a buffer, which the next one overwrites, unless autograd is enabled.
        """
        count = max(_BLOCK // self.inputs, 1)
        shared = None if torch.is_grad_enabled() else self.weight.new_empty(count, self.inputs, dtype=torch.float64)
        for start in range(0, self.outputs, count):
            rows = slice(start, min(start + count, self.outputs))
            numbers = self.weight[rows]
            wide = numbers.double() if shared is None else shared[: len(numbers)].copy_(numbers)
            yield rows, wide.abs_() if self.of_magnitudes else wide

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        result = x.new_empty(len(x), self.outputs)
        for rows, wide in self._blocks():
            result[:, rows] = x @ wide.t()
        return result if bias is None else result.add_(bias)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        result = y.new_zeros(len(y), self.inputs)
        for rows, wide in self._blocks():
            result.addmm_(y[:, rows], wide)
        return result

    def rows_of(self, index: Tensor, *, dtype: torch.dtype) -> Tensor:
        rows = self.weight[index].to(dtype)
        return rows.abs_() if self.of_magnitudes else rows

    def absolute(self) -> UpcastDense:
        return replace(self, of_magnitudes=True)

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LinearOperator:
        weight = self.weight.to(device=device)
        if dtype == torch.float32:
            return Dense(weight.abs() if self.of_magnitudes else weight)
        return self.with_weight(weight)

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns = torch.nonzero(self.weight, as_tuple=True)
        values = self.weight[rows, columns].double()
        return rows, columns, values.abs_() if self.of_magnitudes else values
