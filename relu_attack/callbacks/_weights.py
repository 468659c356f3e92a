"""Snapshot of the weights that validation runs on, which other callbacks may swap out before a monitor runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

from relu_attack._checks import warn


class Weights:
    """Copies of the parameters and buffers of a network.

    Callbacks such as those that average weights put others in for the validation only, before or after the hooks of a
    monitor, as the order of the callbacks is.
    """

    def __init__(self, model: nn.Module) -> None:
        self._copies = {name: tensor.detach().clone() for name, tensor in _tensors(model)}

    @contextmanager
    def within(self, model: nn.Module) -> Iterator[None]:
        """Put the copies into a network for a while, and its own numbers back to the last bit."""
        own = {name: tensor.detach() for name, tensor in _tensors(model)}
        if own.keys() != self._copies.keys() or any(_differ(own[name], copy) for name, copy in self._copies.items()):
            warn("the network was replaced during the validation; the new one is evaluated")
            yield
            return
        moved = {name: (own[name], copy) for name, copy in self._copies.items() if not torch.equal(own[name], copy)}
        kept = {name: tensor.clone() for name, (tensor, _) in moved.items()}
        try:
            for tensor, copy in moved.values():
                tensor.data.copy_(copy)
            yield
        finally:
            for name, (tensor, _) in moved.items():
                tensor.data.copy_(kept[name])


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(model.named_parameters(), model.named_buffers())


def _differ(one: Tensor, other: Tensor) -> bool:
    return one.shape != other.shape or one.dtype != other.dtype or one.device != other.device
