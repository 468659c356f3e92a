"""Concatenation of operators on the same input: a layer that computes one value and carries others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from relu_attack.network.operators._base import Combined, LinearOperator
from relu_attack.network.operators._composition import chain, split_shared, steps_of, sum_of_transposes
from relu_attack.network.operators._dense import Dense


@dataclass(frozen=True, eq=False)
class Stacked(Combined):
    """Operators on the same input with concatenated outputs. Use `stack` to construct it."""

    @property
    def outputs(self) -> int:
        return sum(self._sizes)

    @property
    def _sizes(self) -> list[int]:
        return [operator.outputs for operator in self.operators]

    @property
    def row_nnz(self) -> int:
        return max(operator.row_nnz for operator in self.operators)

    @property
    def rounds_triplets(self) -> bool:
        return any(operator.rounds_triplets for operator in self.operators)

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        biases: Sequence[Tensor | None] = [None] * len(self.operators) if bias is None else bias.split(self._sizes)
        parts = [operator.apply(x, bias=part) for operator, part in zip(self.operators, biases, strict=True)]
        return torch.cat(parts, 1, out=out)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        parts = zip(self.operators, y.split(self._sizes, 1), strict=True)
        return sum_of_transposes(parts, y.new_zeros(len(y), self.inputs))

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns, values, before = [], [], [], 0
        for operator in self.operators:
            row, column, value = operator.triplets()
            rows.append(row.cpu() + before)
            columns.append(column.cpu())
            values.append(value.cpu().double())
            before += operator.outputs
        return torch.cat(rows), torch.cat(columns), torch.cat(values)


def stack(operators: Sequence[LinearOperator]) -> LinearOperator:
    """Return the concatenation of operators on the same input; common leading factors of neighbors are applied once."""
    groups = [list(group) for _, group in groupby(operators, lambda operator: id(steps_of(operator)[0]))]
    if len(groups) > 1:
        return _join([stack(group) for group in groups])
    if len(operators) == 1:
        return operators[0]
    shared, rests = split_shared(operators)
    return chain(*shared, _join(rests))


def _join(operators: Sequence[LinearOperator]) -> LinearOperator:
    flat = [part for each in operators for part in (each.operators if isinstance(each, Stacked) else (each,))]
    weights = [part.weight for part in flat if isinstance(part, Dense)]
    return Dense(torch.cat(weights)) if len(weights) == len(flat) else Stacked(tuple(flat))
