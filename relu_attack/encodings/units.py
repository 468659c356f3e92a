"""The columns and rows of one layer's units, by what the ranges say of each unit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from relu_attack.encodings.assembly import Array, Assembly, Block, Indices, single

_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Kinds:
    """What the units of a layer can do, from slope and range, each of shape (units,)."""

    slope: Array
    lower: Array
    upper: Array

    @cached_property
    def active(self) -> NDArray[np.bool_]:
        """Units that always pass z on."""
        active: NDArray[np.bool_] = (self.lower >= 0) | (self.slope == 1)
        return active

    @cached_property
    def unstable(self) -> NDArray[np.bool_]:
        """Units that can switch."""
        return ~self.active & (self.upper > 0)

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """All units but those that are always 0."""
        return self.active | self.unstable | (self.slope > 0)

    @cached_property
    def switching(self) -> tuple[Array, Array, Array]:
        """Slope and range of the units that can switch."""
        return self.slope[self.unstable], self.lower[self.unstable], self.upper[self.unstable]


@dataclass(frozen=True, eq=False)
class Places:
    """The columns of a layer's activations, negative parts and binaries, each of shape (units,); -1 for none."""

    activation: Indices
    negative: Indices
    binary: Indices


def add_columns(assembly: Assembly, kinds: Kinds, *, relaxed: bool) -> Places:
    """Add the columns of a layer."""
    places = Places(*(np.full(len(kinds.slope), -1, dtype=np.int64) for _ in range(3)))
    leaky = np.where(kinds.slope > 0, np.nextafter(kinds.slope * kinds.lower, -np.inf), 0.0)
    lower = np.where(kinds.active, kinds.lower, leaky)
    upper = np.where(kinds.active | kinds.unstable, kinds.upper, np.nextafter(kinds.slope * kinds.upper, np.inf))
    places.activation[kinds.kept] = assembly.columns.add(lower[kinds.kept], upper[kinds.kept])
    count = int(kinds.unstable.sum())
    places.negative[kinds.unstable] = assembly.columns.add(np.zeros(count), -kinds.lower[kinds.unstable])
    if not relaxed:
        places.binary[kinds.unstable] = assembly.columns.add(np.zeros(count), np.ones(count), integral=True)
    return places


def add_equations(assembly: Assembly, kinds: Kinds, places: Places, entries: Block, bias: Array, error: Array) -> None:
    """Add ``h - (1 - a) p = A h' + b``, or ``h = a (A h' + b)`` for a unit that is never active, within `error`."""
    kept, unstable = kinds.kept, kinds.unstable
    scale = np.where(kinds.active | unstable, 1.0, kinds.slope)
    row = np.cumsum(kept) - 1
    mine = kept[entries[0]]
    unit, column, value = entries[0][mine], entries[1][mine], entries[2][mine]
    constant = (scale * bias)[kept]
    assembly.rows.add(
        constant - error[kept],
        constant + error[kept],
        single(places.activation[kept], 1.0),
        (row[unstable], places.negative[unstable], kinds.slope[unstable] - 1.0),
        (row[unit], column, -scale[unit] * value),
    )


def add_activations(assembly: Assembly, kinds: Kinds, places: Places, *, relaxed: bool) -> None:
    """Add the rows that tie the positive part u = h + a p and the negative part p of each unit that can switch."""
    slope, lower, upper = kinds.switching
    activation, negative, binary = (
        column[kinds.unstable] for column in (places.activation, places.negative, places.binary)
    )
    none = np.full(len(slope), -np.inf)
    leaky = slope > 0  # else u is the column h, which is at least 0
    assembly.rows.add(
        np.zeros(leaky.sum()), -none[leaky], single(activation[leaky], 1.0), single(negative[leaky], slope[leaky])
    )
    if relaxed:
        # -L u + U p <= -L U, and on the right what rounding of U - a L and L U may have taken.
        room = 4 * _EPSILON * (upper - slope * lower) * -lower
        assembly.rows.add(
            none, -lower * upper + room, single(activation, -lower), single(negative, upper - slope * lower)
        )
        return
    negative_part = np.flatnonzero(leaky), negative[leaky], slope[leaky]
    assembly.rows.add(none, 0 * upper, single(activation, 1.0), negative_part, single(binary, -upper))
    assembly.rows.add(none, -lower, single(negative, 1.0), single(binary, -lower))
