"""Compositions of operators."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from relu_attack.network.operators._base import Combined, LinearOperator
from relu_attack.network.operators._dense import Dense
from relu_attack.network.operators._selection import Selection
from relu_attack.network.operators._sparse import Sparse


@dataclass(frozen=True, eq=False)
class Composition(Combined):
    """Composition of operators, applied in order."""

    @property
    def outputs(self) -> int:
        return self.operators[-1].outputs

    @property
    def row_nnz(self) -> int:
        return sum(operator.row_nnz for operator in self.operators)

    @property
    def rounds_triplets(self) -> bool:
        return True

    @property
    def copies(self) -> bool:
        return all(operator.copies for operator in self.operators)

    @cached_property
    def gain(self) -> float:
        # An underflow of a step passes through all later ones; that of a coefficient is proportional to the sum of the
        # row that enters the step.
        gain = float(len(self.operators))
        for operator in self.operators:
            step = operator.absolute().to(device="cpu", dtype=torch.float64)
            ones = (torch.ones(1, size, dtype=torch.float64) for size in (step.inputs, step.outputs))
            rows, columns = step.apply(next(ones)), step.transpose(next(ones))
            gain *= operator.gain * max(1.0, float(rows.amax()), float(columns.amax()))
        return gain

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        for operator in self.operators[:-1]:
            x = operator.apply(x)
        return self.operators[-1].apply(x, bias=bias, out=out)

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        for operator in self.operators[:0:-1]:
            y = operator.transpose(y)
        return self.operators[0].transpose(y, out=out)

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        dense = next((operator.weight for operator in self.operators if isinstance(operator, Dense)), None)
        if dense is not None:  # the product is dense too
            few = torch.eye(min(self.outputs, self.inputs), dtype=dense.dtype, device=dense.device)
            return Dense(self.transpose(few) if self.outputs <= self.inputs else self.apply(few).T).triplets()
        product, *others = map(as_sparse, self.operators)
        for operator in others:
            product = operator.after(product)
        return product.triplets()


def steps_of(operator: LinearOperator) -> tuple[LinearOperator, ...]:
    """Return the factors of a composition in order of application, or the operator itself."""
    return operator.operators if isinstance(operator, Composition) else (operator,)


def split_shared(operators: Sequence[LinearOperator]) -> tuple[tuple[LinearOperator, ...], list[LinearOperator]]:
    """Return the common leading factors, compared by identity, and the rest of each operator."""
    steps = [steps_of(operator) for operator in operators]
    count = 0
    for same in zip(*steps, strict=False):
        if any(step is not same[0] for step in same):
            break
        count += 1
    shared = steps[0][:count]
    width = shared[-1].outputs if shared else operators[0].inputs
    return shared, [chain(*step[count:]) if step[count:] else Selection(0, width, width) for step in steps]


def chain(*operators: LinearOperator) -> LinearOperator:
    """Return the composition of operators in order of application, without folding."""
    flat = tuple(step for operator in operators for step in steps_of(operator))
    return flat[0] if len(flat) == 1 else Composition(flat)


def sum_of_transposes(operators: Iterable[tuple[LinearOperator, Tensor]], zeros: Tensor) -> Tensor:
    """Return the sum of ``A' y`` over operators of the same inputs, accumulated in `zeros` of shape (batch, inputs).

    An operator that begins with a `Selection` adds to the selected columns only.
    """
    for operator, rows in operators:
        first, *rest = steps_of(operator)
        if isinstance(first, Selection):
            part = zeros.narrow(1, first.start, first.size)
        else:
            part, rest = zeros, [first, *rest]
        for step in reversed(rest):
            rows = step.transpose(rows)
        part.add_(rows)
    return zeros


def as_sparse(operator: LinearOperator) -> Sparse:
    """Return an operator as a sparse matrix, float64 on the CPU."""
    rows, columns, values = (part.cpu() for part in operator.triplets())
    return Sparse.from_triplets(rows, columns, values.double(), outputs=operator.outputs, inputs=operator.inputs)
