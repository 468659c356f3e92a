"""Large dense matrices in single precision, used in double precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relu_attack._checks import all_finite
from relu_attack.network.operators._base import LinearOperator
from relu_attack.network.operators._dense import Dense

# Numbers that are widened at once: 16 MiB.
_BLOCK = 2**21


@dataclass(frozen=True, eq=False)
class UpcastDense(LinearOperator):
    """A dense matrix in float64 whose numbers are kept in float32, which they are all taken from.

    A block of rows is widened when it is needed, to the last bit what it would be in a copy in float64, which is twice
    as large again. In float32 the matrix is `Dense`, and shares the numbers.

    Parameters
    ----------
    weight
        Float32, shape (outputs, inputs).
    of_magnitudes
        Whether the matrix holds the magnitudes of the numbers.

    Examples
    --------
    >>> matrix = UpcastDense(torch.tensor([[1.0, -2.0], [0.5, 4.0]]))
    >>> matrix.apply(torch.ones(1, 2, dtype=torch.float64))
    tensor([[-1.0000,  4.5000]], dtype=torch.float64)
    """

    weight: Tensor
    of_magnitudes: bool = False

    @property
    def inputs(self) -> int:
        return self.weight.shape[1]

    @property
    def outputs(self) -> int:
        return self.weight.shape[0]

    @property
    def row_nnz(self) -> int:
        return self.inputs

    @property
    def column_nnz(self) -> int:
        return self.outputs

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield the rows of each block and their numbers in float64.

        They share a buffer, which the next block overwrites, unless autograd may have to come back to them.
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
        return replace(self, weight=weight)

    def is_finite(self) -> bool:
        return all_finite(self.weight)

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns = torch.nonzero(self.weight, as_tuple=True)
        values = self.weight[rows, columns].double()
        return rows, columns, values.abs_() if self.of_magnitudes else values
