"""Selection of consecutive entries: one of several values in a layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from relu_attack.network.operators._base import LinearOperator


@dataclass(frozen=True, eq=False)
class Selection(LinearOperator):
    """Selection of `size` consecutive entries from `start`, without coefficients; the identity if it selects all.

    Parameters
    ----------
    start, size
        First entry and number of entries.
    length
        Length of an input row.
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
        """Whether every entry is selected."""
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
        selected = x.narrow(1, self.start, self.size)
        return selected.clone() if bias is None else torch.add(selected, bias, out=out)

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
