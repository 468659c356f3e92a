"""Samples and labels in the batches of a data loader."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, MutableSequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from relu_attack._checks import is_whole
from relu_attack.errors import OptionError
from relu_attack.robustness import read_samples

Keys: TypeAlias = "tuple[int | str, int | str]"


@dataclass(frozen=True)
class BatchKeys:
    """Location of samples and labels in a batch: indices of a sequence, or keys of a mapping."""

    keys: Keys

    def __post_init__(self) -> None:
        pair = isinstance(self.keys, tuple | list) and len(self.keys) == 2
        if not pair or not all(isinstance(key, int | str) and not isinstance(key, bool) for key in self.keys):
            raise OptionError(f"keys must be two indices or names, of the samples and the labels, got {self.keys!r}")

    def read(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return samples and labels."""
        try:
            x, label = (batch[key] for key in self.keys)
        except (KeyError, IndexError, TypeError):
            raise OptionError(f"keys is {self.keys!r}, but a batch is {_describe(batch)}") from None
        if not isinstance(x, Tensor) or not isinstance(label, Tensor):
            raise OptionError(f"keys {self.keys!r} must name two tensors, but a batch is {_describe(batch)}")
        return x, label

    def replace(self, batch: Any, x: Tensor) -> Callable[[], None]:
        """Put other samples in the place of those of a batch, and return a function that undoes it.

        Lists and mappings take another tensor. Tuples cannot, so there the numbers of the tensor are written over,
        which may be the user's own data: that is what the undoing is for.
        """
        key = self.keys[0]
        before = batch[key]
        mutable = isinstance(batch, MutableSequence | MutableMapping)
        clean = before if mutable else before.clone()

        def put(samples: Tensor) -> None:
            if mutable:
                batch[key] = samples
            else:
                before.copy_(samples)

        put(x)
        return lambda: put(clean)


class Samples:
    """Fixed samples with their labels: given ones, or the first of the validation data.

    `samples` is a pair (x, label), x of shape (samples, \\*shape), or a number of them; `keys` are those of a batch.
    """

    def __init__(self, samples: int | tuple[Tensor, Tensor], keys: BatchKeys) -> None:
        self._keys = keys
        self._parts: list[tuple[Tensor, Tensor]] = []
        if is_whole(samples) and samples >= 1:
            self._missing = samples
        elif isinstance(samples, tuple | list) and len(samples) == 2:
            self._missing = 0
            x, label = read_samples(samples[0]), torch.as_tensor(samples[1])
            if label.shape != x.shape[:1]:
                raise OptionError(f"samples has {len(x)} inputs, and labels of shape {tuple(label.shape)}")
            self._parts.append((x, label))
        else:
            got = repr(samples) if isinstance(samples, int | float | str) else type(samples).__name__
            raise OptionError(f"samples must be a pair (x, label) or a number of at least 1, got {got}")

    def offer(self, batch: Any) -> None:
        """Take what is still missing from a batch of the validation data."""
        if self._missing:
            x, label = (part[: self._missing] for part in self._keys.read(batch))
            # Copies made here are no tensors of the inference mode in which validation runs.
            with torch.inference_mode(False), torch.no_grad():
                self._parts.append((x.clone(), label.clone()))
            self._missing -= len(x)

    def get(self) -> tuple[Tensor, Tensor]:
        """Return samples and labels; from the first call on they stay the same."""
        if not self._parts:
            raise OptionError("samples are to be taken from the validation data, but there were none; give (x, label)")
        self._missing = 0
        if len(self._parts) > 1:
            x, label = zip(*self._parts, strict=True)
            self._parts = [(torch.cat(x), torch.cat(label))]
        return self._parts[0]


def _describe(batch: Any) -> str:
    if isinstance(batch, dict):
        return f"a mapping with the keys {', '.join(map(str, batch))}; give keys=(of the samples, of the labels)"
    if isinstance(batch, list | tuple):
        parts = ", ".join(type(part).__name__ for part in batch)
        return f"a {type(batch).__name__} of {parts}; give keys=(of the samples, of the labels)"
    return f"of type {type(batch).__name__}; it must be a sequence or a mapping"
