"""The value that every bound method returns."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        How they were made.
    sound
        Whether they hold in real arithmetic, rounding accounted for.
    """

    lower: Tensor
    upper: Tensor
    layers: tuple[tuple[Tensor, Tensor], ...]
    method: str
    sound: bool

    def double(self) -> Bounds:
        """Return the same ranges as float64."""
        layers = tuple((low.double(), high.double()) for low, high in self.layers)
        return replace(self, lower=self.lower.double(), upper=self.upper.double(), layers=layers)
