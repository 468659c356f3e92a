"""Values of points that differ little from known ones: the first layer is updated, the others are evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from relu_attack.network import Network
from relu_attack.solvers.auto._changes import Moves

# Numbers of a table of columns of the first layer: 128 MiB in float32.
_MAX_TABLE_NUMBERS = 2**25


class NeighborValues:
    """Outputs of a network at points after moves.

    Parameters
    ----------
    network
        The network in float64 on the CPU.
    integer
        Flat indices of the inputs that moves change.
    dtype
        Of what is computed: neighbours are compared in it.
    """

    def __init__(self, network: Network, integer: Sequence[int], dtype: torch.dtype) -> None:
        self._first = network.layers[0].affine if network.layers else network.output
        small = network.to(dtype=dtype)
        self._activate = small.layers[0].activate if small.layers else None
        self._rest = replace(small, layers=small.layers[1:])
        self._dtype, self._inputs = dtype, network.inputs
        self.width = max([network.inputs, network.outputs, *(layer.units for layer in network.layers)])
        self._row = torch.full((network.inputs + 1,), -1)
        self._row[list(integer)] = torch.arange(len(integer))
        self._table = self._columns(list(integer)) if len(integer) * self.width <= _MAX_TABLE_NUMBERS else None

    def _columns(self, inputs: Sequence[int]) -> Tensor:
        """Return the columns of the first layer of some inputs, and one of zeros, (inputs + 1, units)."""
        rows = torch.zeros(len(inputs), self._inputs, dtype=torch.float64)
        rows[torch.arange(len(inputs)), list(inputs)] = 1.0
        found = self._first.operator.apply(rows).to(self._dtype)
        return torch.cat([found, found.new_zeros(1, found.shape[1])])

    def at(self, x: Tensor, moves: Moves) -> Tensor:
        """Return the outputs (moves, outputs) after moves of points x (points, inputs), float64."""
        base = self._first.apply(x).to(self._dtype)
        if self._table is None:
            z = self._first.apply(moves.apply(x)).to(self._dtype)
        else:
            rows = Moves(moves.point, self._row[moves.plus], moves.amount, self._row[moves.minus])
            z = rows.added(base, self._table)
        if self._activate is None:
            return z
        return self._rest.values(self._activate(z, out=z))
