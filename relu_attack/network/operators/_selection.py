"""A stretch of the entries: how one value is taken out of a layer that holds several."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from relu_attack.network.operators._base import LinearOperator


@dataclass(frozen=True, eq=False)
class Selection(LinearOperator):
    """The entries from `start` on, `size` of them; the identity where those are all. It has no coefficients.

    Parameters
    ----------
    start, size
        Which entries.
    length
        Length of a row that goes in.
    """

    start: int
    size: int
    length: int

    @property
    def inputs(self) -> int:
        return self.length

    @property
    def outputs(self) -> int:
        return self.size

    @property
    def is_identity(self) -> bool:
        """Whether it takes every entry."""
        return self.size == self.length

    @property
    def row_nnz(self) -> int:
        return 1

    @property
    def column_nnz(self) -> int:
        return 1

    @property
    def copies(self) -> bool:
        return True

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        stretch = x.narrow(1, self.start, self.size)
        return stretch.clone() if bias is None else torch.add(stretch, bias, out=out)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        return functional.pad(y, (self.start, self.length - self.start - self.size))

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        place = torch.arange(self.size)
        return place, place + self.start, torch.ones(self.size, dtype=torch.float64)

    def absolute(self) -> Selection:
        return self

    def to(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Selection:
        return self

    def is_finite(self) -> bool:
        return True
