"""Result of the bound methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Bounds:
    """Certified ranges over a set, for a batch of P sets.

    Attributes
    ----------
    lower, upper
        Range of each objective row (or output), float64, shape (P, rows).
    layers
        Range (lower, upper) of the preactivations of each hidden layer, each of shape (P, units).
    method
        Name of the method.
    sound
        Whether they hold in real arithmetic, rounding included.
    """

    lower: Tensor
    upper: Tensor
    layers: tuple[tuple[Tensor, Tensor], ...]
    method: str
    sound: bool

    @staticmethod
    def join(parts: Sequence[Bounds]) -> Bounds:
        """Concatenate the ranges of different sets."""
        if len(parts) == 1:
            return parts[0]
        layers = tuple(
            (torch.cat([low for low, _ in layer]), torch.cat([high for _, high in layer]))
            for layer in zip(*(part.layers for part in parts), strict=True)
        )
        lower, upper = torch.cat([part.lower for part in parts]), torch.cat([part.upper for part in parts])
        return replace(parts[0], lower=lower, upper=upper, layers=layers)

    def select(self, sets: slice) -> Bounds:
        """Return the ranges of a subset of the sets."""
        layers = tuple((low[sets], high[sets]) for low, high in self.layers)
        return replace(self, lower=self.lower[sets], upper=self.upper[sets], layers=layers)

    def double(self) -> Bounds:
        """Return the ranges in float64."""
        layers = tuple((low.double(), high.double()) for low, high in self.layers)
        return replace(self, lower=self.lower.double(), upper=self.upper.double(), layers=layers)
