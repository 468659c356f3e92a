"""A dense matrix along one dimension of an array."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.network.operators._base import Weighted


@dataclass(frozen=True, eq=False)
class Kronecker(Weighted):
    """The matrix ``I (x) W (x) I``: W applied along one dimension of the array in a row.

    A row is an array of shape (before, columns, after) and is mapped to one of shape (before, rows, after). Only W is
    stored, not its ``before * after`` copies in the whole matrix.

    >>> both = Kronecker(torch.tensor([[1.0, 2.0]]), before=1, after=2)
    >>> both.apply(torch.tensor([[3.0, 4.0, 10.0, 20.0]]))
    tensor([[23., 44.]])
    """

    before: int
    after: int

    @property
    def inputs(self) -> int:
        return self.before * self.weight.shape[1] * self.after

    @property
    def outputs(self) -> int:
        return self.before * self.weight.shape[0] * self.after

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        result = self._multiply(self.weight, x)
        return result if bias is None else result.add_(bias)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        return self._multiply(self.weight.t(), y)

    def _multiply(self, matrix: Tensor, rows: Tensor) -> Tensor:
        arrays = rows.reshape(len(rows), self.before, matrix.shape[1], self.after)
        if self.after == 1:
            return (arrays[..., 0] @ matrix.t()).flatten(1)
        return (matrix @ arrays).flatten(1)

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        row, column = torch.nonzero(self.weight, as_tuple=True)
        values = self.weight[row, column][None, :, None].expand(self.before, -1, self.after)
        rows, columns = (
            self._places(place, size) for place, size in zip((row, column), self.weight.shape, strict=True)
        )
        return rows, columns, values.flatten()

    def _places(self, along: Tensor, size: int) -> Tensor:
        """Return the flat offsets of the given indices along the dimension of length `size`."""
        before = torch.arange(self.before, device=along.device)[:, None, None]
        return ((before * size + along[:, None]) * self.after + torch.arange(self.after, device=along.device)).flatten()
