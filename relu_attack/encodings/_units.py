"""Columns and rows of one layer's units, by the stability of each unit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from relu_attack.encodings._assembly import Array, Assembly, Block, Indices, single
from relu_attack.rounding import dot_error, up


@dataclass(frozen=True, eq=False)
class UnitStability:
    """Stability of the units of a layer, from slopes and ranges, each of shape (units,)."""

    slope: Array
    lower: Array
    upper: Array

    @cached_property
    def active(self) -> NDArray[np.bool_]:
        """Units with h = z over the whole range."""
        active: NDArray[np.bool_] = (self.lower >= 0) | (self.slope == 1)
        return active

    @cached_property
    def unstable(self) -> NDArray[np.bool_]:
        """Unstable units, which can switch."""
        return ~self.active & (self.upper > 0)

    @cached_property
    def nonzero(self) -> NDArray[np.bool_]:
        """Units that are not constantly 0."""
        return self.active | self.unstable | (self.slope > 0)

    @cached_property
    def scaled(self) -> NDArray[np.bool_]:
        """Stable units with h = a z, slope a other than 0 and 1."""
        return self.nonzero & ~self.active & ~self.unstable

    @cached_property
    def switching(self) -> tuple[Array, Array, Array]:
        """Slope and range of the unstable units."""
        return self.slope[self.unstable], self.lower[self.unstable], self.upper[self.unstable]


@dataclass(frozen=True, eq=False)
class UnitColumns:
    """The columns of a layer's activations, preactivations and binaries, each of shape (units,); -1 for none."""

    activation: Indices
    preactivation: Indices
    binary: Indices


def add_columns(assembly: Assembly, kinds: UnitStability, *, relaxed: bool) -> UnitColumns:
    """Add the columns of a layer."""
    places = UnitColumns(*(np.full(len(kinds.slope), -1, dtype=np.int64) for _ in range(3)))
    leaky = np.where(kinds.slope > 0, -_up(-kinds.slope * kinds.lower), 0.0)
    lower = np.where(kinds.active, kinds.lower, leaky)
    upper = np.where(kinds.scaled, _up(kinds.slope * kinds.upper), kinds.upper)
    places.activation[kinds.nonzero] = assembly.columns.add(lower[kinds.nonzero], upper[kinds.nonzero])
    slope, low, high = kinds.switching
    places.preactivation[kinds.unstable] = assembly.columns.add(low, high)
    if not relaxed:
        binaries = assembly.columns.add(np.zeros(len(slope)), np.ones(len(slope)), integral=True)
        places.binary[kinds.unstable] = binaries
    return places


def add_equations(
    assembly: Assembly, kinds: UnitStability, places: UnitColumns, entries: Block, bias: Array, error: Array
) -> None:
    """Add the row of each unit: z, h or, for a unit that is never active, h / a equals ``A h' + b`` within `error`."""
    nonzero = kinds.nonzero
    scale = np.where(kinds.scaled, kinds.slope, 1.0)
    result = np.where(kinds.unstable, places.preactivation, places.activation)
    row, mine = np.cumsum(nonzero) - 1, nonzero[entries[0]]
    unit, column, value = entries[0][mine], entries[1][mine], entries[2][mine]
    constant, error = (scale * bias)[nonzero], error[nonzero]
    block = row[unit], column, -scale[unit] * value
    low, high = (np.where(error > 0, side, constant) for side in (-_up(error - constant), _up(constant + error)))
    assembly.rows.add(low, high, single(result[nonzero], 1.0), block)


def add_activations(assembly: Assembly, kinds: UnitStability, places: UnitColumns, *, relaxed: bool) -> None:
    """Add the rows between h, z and s of each unstable unit."""
    slope, lower, upper = kinds.switching
    activation, preactivation, binary = (
        columns[kinds.unstable] for columns in (places.activation, places.preactivation, places.binary)
    )
    rows, zero, infinite = assembly.rows, np.zeros(len(slope)), np.full(len(slope), np.inf)
    leaky = slope > 0  # else h >= a z is the bound of the column
    h, z = single(activation, 1.0), single(preactivation, -1.0)
    own = np.flatnonzero(leaky), preactivation[leaky], -slope[leaky]
    rows.add(zero, infinite, h, z)
    rows.add(zero[leaky], infinite[leaky], single(activation[leaky], 1.0), single(preactivation[leaky], -slope[leaky]))
    if relaxed:
        # The right side is relaxed by the rounding error of the coefficients.
        rise = upper - slope * lower
        error = dot_error(torch.from_numpy(rise * (upper - lower)), 6, torch.from_numpy(rise + upper - lower)).numpy()
        rows.add(
            -infinite,
            _up((slope - 1) * upper * lower + error),
            single(activation, upper - lower),
            single(preactivation, -rise),
        )
        return
    below, above = (slope - 1) * lower, (1 - slope) * upper
    below, above = (np.where(leaky, _up(side), side) for side in (below, above))
    rows.add(-infinite, below, h, z, single(binary, below))
    rows.add(-infinite, zero, h, own, single(binary, -above))


def _up(x: Array) -> Array:
    """Return the next number above each, see `relu_attack.rounding.up`."""
    raised: Array = up(torch.from_numpy(np.ascontiguousarray(x))).numpy()
    return raised
