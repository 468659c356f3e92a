"""The value that every bound method returns."""

from __future__ import annotations

from dataclasses import dataclass

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
