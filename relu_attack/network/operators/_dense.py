"""Dense matrices, diagonal matrices, and rows of a batch of problems."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from relu_attack.errors import OptionError
from relu_attack.network.operators._base import Weighted


@dataclass(frozen=True, eq=False)
class Dense(Weighted):
    """A dense matrix.

    Parameters
    ----------
    weight
        Shape (outputs, inputs).
    """

    writes_out = True

    @cached_property
    def _transposed(self) -> Tensor:
        return self.weight.t()

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        if bias is None:
            return torch.mm(x, self._transposed, out=out)
        return torch.addmm(bias, x, self._transposed, out=out)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        return torch.mm(y, self.weight, out=out)

    def rows_of(self, index: Tensor, *, dtype: torch.dtype) -> Tensor:
        return self.weight[index]

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns = torch.nonzero(self.weight, as_tuple=True)
        return rows, columns, self.weight[rows, columns]


@dataclass(frozen=True, eq=False)
class Diagonal(Weighted):
    """Diagonal matrix.

    Parameters
    ----------
    weight
        The scales, shape (inputs,).
    """

    writes_out = True

    @property
    def inputs(self) -> int:
        return self.weight.shape[0]

    @property
    def row_nnz(self) -> int:
        return 1

    @property
    def column_nnz(self) -> int:
        return 1

    @property
    def copies(self) -> bool:
        return bool((self.weight.abs() == 1).all())

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        if bias is None:
            return torch.mul(x, self.weight, out=out)
        return torch.addcmul(bias, x, self.weight, out=out)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        return torch.mul(y, self.weight, out=out)

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        place = torch.arange(self.inputs, device=self.weight.device)
        return place, place, self.weight


@dataclass(frozen=True, eq=False)
class PerProblem(Weighted):
    """One row for each problem: block p of the batch is multiplied by row p.

    This is the last affine map with an objective for each problem folded into it: the batch consists of the walkers of
    problem 0, then those of problem 1, and so on.
    """

    @property
    def outputs(self) -> int:
        return 1

    @property
    def column_nnz(self) -> int:
        return 1

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        if self.weight.shape[0] == 1:
            product = torch.mm(x, self.weight.t(), out=out)
        else:
            blocks = x.view(self.weight.shape[0], -1, self.inputs)
            product = torch.bmm(blocks, self.weight.unsqueeze(2)).view(-1, 1)
        return product if bias is None else product.add_(bias)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        blocks = y.view(self.weight.shape[0], -1, 1)
        return torch.mul(blocks, self.weight.unsqueeze(1)).view(-1, self.inputs)

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        problems = self.weight.shape[0]
        if problems != 1:
            raise OptionError(f"the rows of {problems} problems are not one matrix; use one problem at a time")
        return Dense(self.weight).triplets()

    def rows(self, batch: int) -> Tensor:
        """Return the row of each walker, shape (batch, inputs)."""
        problems = self.weight.shape[0]
        if problems == 1:
            return self.weight.expand(batch, -1)
        return self.weight.repeat_interleave(batch // problems, dim=0)
