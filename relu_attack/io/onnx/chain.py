"""The builder that the rules write to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from relu_attack.io.onnx.node import Node
from relu_attack.network import Affine
from relu_attack.network.lowering.builder import Builder
from relu_attack.network.operators import Composition, Dense, LinearOperator, Sparse


class Chain(Builder):
    """The builder of `relu_attack.network.lowering`, for values that have their batch dimension, which is 1.

    It multiplies no two dense matrices: the product would be rounded, and bounds are to hold for the file's network.
    """

    def affine(self, operator: LinearOperator, bias: Tensor | None, shape: tuple[int, ...] | None = None) -> None:
        """Append an affine map, as `Builder.affine` does."""
        joined = _join(self._pending.operator, operator)
        super().affine(operator, bias, shape)
        if joined is not None:
            self._pending = Affine(joined, self._pending.constants)

    @contextmanager
    def without_batch(self, node: Node, *, dimensions: range) -> Iterator[None]:
        """Take the batch dimension away for the rules of images, and put it back."""
        if len(self.shape) - 2 not in dimensions or self.shape[0] != 1:
            spatial = " or ".join(str(number) for number in dimensions)
            raise node.wrong(f"takes a value of shape (1, channels, {spatial} more) but gets one of shape {self.shape}")
        self.reshape(self.shape[1:])
        yield
        self.reshape((1, *self.shape))


def _join(first: LinearOperator, second: LinearOperator) -> LinearOperator | None:
    """Return `second` after `first` where the usual folding would round or would leave a permutation; else None."""
    operators = first.operators if isinstance(first, Composition) else (first,)
    last = operators[-1]
    if isinstance(last, Dense) and isinstance(second, Dense):
        return Composition((*operators, second))
    if isinstance(last, Sparse) and isinstance(second, Dense) and _is_permutation(last):
        weight = torch.empty_like(second.weight)
        weight[:, last.columns] = second.weight * last.values
    elif isinstance(last, Dense) and isinstance(second, Sparse) and _is_permutation(second):
        weight = last.weight[second.columns] * second.values[:, None]
    else:
        return None
    return Composition((*operators[:-1], Dense(weight))) if len(operators) > 1 else Dense(weight)


def _is_permutation(operator: Sparse) -> bool:
    """Whether each row and each column holds one entry, of whatever size."""
    size = operator.stored
    return size == operator.inputs == operator.outputs == len(operator.rows.unique()) == len(operator.columns.unique())
