"""Builder for values with a batch dimension."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from relu_attack._limits import VALUE_ENTRIES
from relu_attack.errors import ModelError
from relu_attack.io.onnx._node import Node
from relu_attack.network import Builder


class Chain(Builder):
    """`Builder` for values with a batch dimension of 1.

    Products of dense matrices are not formed: their rounding error would widen all bounds.
    """

    multiplies_matrices = False

    def select(self, source: Tensor) -> None:
        """Append a selection of entries, as `Builder.select` does."""
        if source.numel() > VALUE_ENTRIES:
            raise ModelError(f"{self.path} makes a value of {source.numel()} entries; at most {VALUE_ENTRIES} are read")
        super().select(source)

    @contextmanager
    def without_batch(self, node: Node, *, dimensions: range) -> Iterator[None]:
        """Context without the batch dimension, for rules of images."""
        if len(self.shape) - 2 not in dimensions or self.shape[0] != 1:
            spatial = " or ".join(str(number) for number in dimensions)
            raise node.wrong(f"takes a value of shape (1, channels, {spatial} more) but gets one of shape {self.shape}")
        self.reshape(self.shape[1:])
        yield
        self.reshape((1, *self.shape))
