"""Interface of linear operators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import Self

from relu_attack._checks import all_finite


class LinearOperator(ABC):
    """A linear map A between flat vectors."""

    writes_out: ClassVar[bool] = False
    """Whether `apply` and `transpose` write to `out`; other operators return a new tensor."""

    @property
    @abstractmethod
    def inputs(self) -> int:
        """Length of an input row."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Length of an output row."""

    @property
    @abstractmethod
    def row_nnz(self) -> int:
        """Largest number of products in the sum of one output, which bounds the rounding error; over all factors."""

    @property
    @abstractmethod
    def column_nnz(self) -> int:
        """Largest number of products in the sum of one entry of a transposed row; over all factors."""

    @abstractmethod
    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        """Return ``A x + bias`` for each row of `x`, shape (batch, outputs); `out` may be used as the buffer."""

    @abstractmethod
    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return ``A' y`` for each row of `y`, shape (batch, inputs); `out` may be used as the buffer."""

    @abstractmethod
    def absolute(self) -> LinearOperator:
        """Return the operator |A| of entrywise magnitudes.

        For a composition the result is the upper bound |A2| |A1|, for a sum |A1| + |A2|.
        """

    @abstractmethod
    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LinearOperator:
        """Return the operator on another device or in another dtype."""

    @abstractmethod
    def is_finite(self) -> bool:
        """Whether every coefficient is a finite number."""

    @abstractmethod
    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows, columns and values of the coefficients, each of shape (entries,), without duplicates.

        Structural zeros are left out, so a convolution stays sparse.
        """

    @property
    def rounds_triplets(self) -> bool:
        """Whether the values of `triplets` are rounded sums or products of coefficients."""
        return False

    @property
    def copies(self) -> bool:
        """Whether each output is one input, its negation, or zero, so that `apply` is exact; False if unknown."""
        return False

    @property
    def gain(self) -> float:
        """Upper bound of the factor by which later steps amplify an underflow of an earlier one; 1 for one step."""
        return 1.0

    def rows_of(self, index: Tensor, *, dtype: torch.dtype) -> Tensor:
        """Return the rows `index` (...) of A, which has coefficients of `dtype`, shape (..., inputs)."""
        flat = index.reshape(-1)
        unit = torch.zeros(len(flat), self.outputs, dtype=dtype, device=index.device)
        unit.scatter_(1, flat[:, None], 1.0)
        return self.transpose(unit).view(*index.shape, self.inputs)

    def matrix(self, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64) -> Tensor:
        """Return A as a dense matrix, shape (outputs, inputs)."""
        basis = torch.eye(self.inputs, dtype=dtype, device=device)
        return self.to(device=device, dtype=dtype).apply(basis).T


@dataclass(frozen=True, eq=False)
class Weighted(LinearOperator):
    """Base of operators with one tensor of coefficients: by default a matrix of shape (outputs, inputs)."""

    weight: Tensor

    @property
    def inputs(self) -> int:
        return self.weight.shape[1]

    @property
    def outputs(self) -> int:
        return self.weight.shape[0]

    @property
    def row_nnz(self) -> int:
        return self.weight.shape[1]

    @property
    def column_nnz(self) -> int:
        return self.weight.shape[0]

    def with_weight(self, weight: Tensor) -> Self:
        """Return the operator with other coefficients."""
        return replace(self, weight=weight)

    def absolute(self) -> Self:
        return self.with_weight(self.weight.abs())

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> LinearOperator:
        return self.with_weight(self.weight.to(device=device, dtype=dtype))

    def is_finite(self) -> bool:
        return all_finite(self.weight)


@dataclass(frozen=True, eq=False)
class Combined(LinearOperator):
    """Base of operators that consist of others; the first one receives the input."""

    operators: tuple[LinearOperator, ...]

    @property
    def inputs(self) -> int:
        return self.operators[0].inputs

    @property
    def column_nnz(self) -> int:
        return sum(operator.column_nnz for operator in self.operators)

    @cached_property
    def gain(self) -> float:
        return max(operator.gain for operator in self.operators)

    def _each(self, change: Callable[[LinearOperator], LinearOperator]) -> Self:
        return replace(self, operators=tuple(change(operator) for operator in self.operators))

    def absolute(self) -> Self:
        return self._each(lambda operator: operator.absolute())

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        return self._each(lambda operator: operator.to(device=device, dtype=dtype))

    def is_finite(self) -> bool:
        return all(operator.is_finite() for operator in self.operators)
