"""Classes that configurations of tests name by their dotted names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from relu_attack import Box, Linear


class Cube(Box):
    """All inputs within the same two numbers."""

    def __init__(self, low: float, high: float, inputs: int) -> None:
        super().__init__(low, high, shape=(inputs,))


class Mean(Linear):
    """The mean of some outputs."""

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__(torch.tensor(weights) / len(weights))


class Wide(nn.Sequential):
    """A network with as many hidden units as are asked for."""

    def __init__(self, units: int) -> None:
        super().__init__(nn.Linear(3, units), nn.ReLU(), nn.Linear(units, 2))


class Failing(Box):
    """A set that cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no\nluck")
