"""Sums of operators on the same input: the end of a skip connection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from relu_attack.network.operators._base import Combined, LinearOperator
from relu_attack.network.operators._composition import as_sparse, chain, split_shared, sum_of_transposes
from relu_attack.network.operators._sparse import Sparse


@dataclass(frozen=True, eq=False)
class Summed(Combined):
    """The sum of operators of the same inputs and outputs. Use `add` to construct it."""

    @property
    def outputs(self) -> int:
        return self.operators[0].outputs

    @property
    def row_nnz(self) -> int:
        return sum(operator.row_nnz for operator in self.operators)

    @property
    def rounds_triplets(self) -> bool:
        return True

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        first, *others = self.operators
        total = first.apply(x, bias=bias)
        return reduce(torch.add, (operator.apply(x) for operator in others), total)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        return sum_of_transposes(((operator, y) for operator in self.operators), y.new_zeros(len(y), self.inputs))

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        parts = zip(*(as_sparse(operator).triplets() for operator in self.operators), strict=True)
        rows, columns, values = (torch.cat(part) for part in parts)
        return Sparse.from_triplets(rows, columns, values, outputs=self.outputs, inputs=self.inputs).triplets()


def add(first: LinearOperator, second: LinearOperator) -> LinearOperator:
    """Return the sum of two operators without adding coefficients; common leading factors are applied once."""
    shared, rests = split_shared((first, second))
    flat = [part for rest in rests for part in (rest.operators if isinstance(rest, Summed) else (rest,))]
    return chain(*shared, Summed(tuple(flat)))
