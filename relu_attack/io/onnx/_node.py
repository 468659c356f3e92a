"""Node of an ONNX graph for the lowering rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relu_attack.errors import ModelError, UnsupportedModuleError
from relu_attack.rounding import to_double


@dataclass(frozen=True, eq=False)
class Node:
    """A node with one or several inputs that depend on the network's input; its other inputs are constants.

    `kind` is the type of its operator; `where` has file, name and type, for messages. `place` is the index of the
    input-dependent value among its inputs, or of the first of several; `constants` are the others, by index. Text in
    `attributes` is bytes.
    """

    kind: str
    where: str
    place: int
    constants: Mapping[int, np.ndarray[Any, Any]]
    attributes: Mapping[str, Any]

    def tensor(self, place: int) -> Tensor:
        """Return a constant in float64, exactly."""
        if place not in self.constants:
            raise self.wrong(f"lacks its input {place}")
        array = self.constants[place]
        if array.dtype.kind in "cOSU":
            raise self.wrong(f"has an input {place} of type {array.dtype}; it must be real numbers")
        if array.dtype == np.float32:
            return to_double(torch.from_numpy(array.copy()))
        return torch.from_numpy(np.array(array, dtype=np.float64))

    def integers(self, name: str, place: int | None = None) -> tuple[int, ...] | None:
        """Return integers from an attribute or, in newer opsets, from the input at `place`; None if absent."""
        if place is not None and place in self.constants:
            return tuple(int(number) for number in self.tensor(place).flatten().tolist())
        numbers = self.attributes.get(name)
        if numbers is None:
            return None
        if isinstance(numbers, str | bytes) or not isinstance(numbers, Sequence):
            raise self.wrong(f"has {name}={numbers!r}; it must be a list of integers")
        return tuple(int(number) for number in numbers)

    def number(self, name: str, default: float) -> float:
        """Return a number from an attribute."""
        number = self.attributes.get(name, default)
        if not isinstance(number, int | float):
            raise self.wrong(f"has {name}={number!r}; it must be a number")
        return number

    def wrong(self, reason: str) -> ModelError:
        """Return the error of a node that does not fit its value, for a rule to raise."""
        return ModelError(f"{self.where} {reason}")

    def unsupported(self, reason: str) -> UnsupportedModuleError:
        """Return the error of a node without an exact form, for a rule to raise."""
        return UnsupportedModuleError(f"{self.where} {reason}")
