"""Neighbourhood of an input as a program: the linear regions around it, for local search by programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relu_attack.encodings._assembly import Array, Assembly
from relu_attack.encodings._big_m import add_set
from relu_attack.encodings._encoding import Ranges, auxiliary_values
from relu_attack.network import Network
from relu_attack.problem import Problem
from relu_attack.programs import Program


@dataclass(frozen=True, eq=False)
class Piece:
    """A network with fixed activation pattern except for free units, whose activations are variables.

    All preactivations and outputs are then affine in y = (x, activations of the free units). Units are fixed to active
    or inactive by `pattern`, one boolean tensor (units,) for each layer; `free` marks the free ones likewise.
    """

    network: Network
    pattern: Sequence[Tensor]
    free: Sequence[Tensor]

    @cached_property
    def _rates(self) -> list[Tensor]:
        sides = zip(self.network.layers, self.pattern, self.free, strict=True)
        return [torch.where(free, 0.0, torch.where(side, 1.0, layer.slope)) for layer, side, free in sides]

    @cached_property
    def columns(self) -> int:
        """Number of entries of y."""
        return self.network.inputs + sum(int(free.sum()) for free in self.free)

    def forward(self, y: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the preactivations of each layer (units,) and the outputs (outputs,) at y (columns,)."""
        place, h = self.network.inputs, y[None, : self.network.inputs]
        preactivations = []
        for layer, rate, free in zip(self.network.layers, self._rates, self.free, strict=True):
            preactivation = layer.affine.apply(h)
            preactivations.append(preactivation[0])
            h = preactivation * rate
            count = int(free.sum())
            if count:
                h[0, free] = y[place : place + count]
                place += count
        return preactivations, self.network.output.apply(h)[0]

    def rows(self, layer: int, units: Tensor) -> Tensor:
        """Return the coefficients over y of some preactivations of a layer, shape (units, columns)."""
        basis = torch.zeros(len(units), self.network.layers[layer].units, dtype=torch.float64)
        basis[torch.arange(len(units)), units] = 1.0
        return self._back(layer, self.network.layers[layer].affine.operator.transpose(basis))

    def output_rows(self, matrix: Tensor) -> Tensor:
        """Return the coefficients over y of ``matrix outputs``, shape (rows, columns)."""
        return self._back(len(self.network.layers), self.network.output.operator.transpose(matrix))

    def _back(self, layer: int, rows: Tensor) -> Tensor:
        """Substitute the layers before `layer` into coefficients of its inputs, shape (rows, units)."""
        later = sum(int(free.sum()) for free in self.free[layer:])
        parts = [rows.new_zeros(len(rows), later)]
        for index in range(layer - 1, -1, -1):
            parts.append(rows[:, self.free[index]])
            rows = self.network.layers[index].affine.operator.transpose(rows * self._rates[index])
        return torch.cat([rows, *reversed(parts)], 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighborhood:
    """Program over the inputs that preserve the pattern of all units except the free ones.

    Without free units it is the linear program of one linear region. The facets, rows that preserve the sign of a unit,
    are not part of the program: few are active at the optimum, so `violated` generates them lazily.

    Attributes
    ----------
    program
        Maximization of the objective over the set, the free units and the output constraints.
    piece
        The affine piece of the network, with its free units.
    places
        The columns of y in the program, shape (piece.columns,).
    start
        The point of the central input, shape (columns,).
    """

    program: Program
    piece: Piece
    places: NDArray[np.int64]
    start: Array

    def violated(self, point: Array, *, tolerance: float, limit: int) -> NDArray[np.int64]:
        """Return the units, numbered over all layers, whose facets a point (columns,) violates.

        The result has at most `limit` units, those with the largest violation relative to their preactivations at the
        start.
        """
        violation = self._violation(point)
        units = torch.nonzero(violation > tolerance).flatten()
        order = violation[units].argsort(descending=True)
        return units[order][:limit].numpy()

    def nearest(self, limit: int) -> NDArray[np.int64]:
        """Return the units whose facets are nearest to the start, by their preactivations."""
        if not self._at_start:
            return np.zeros(0, dtype=np.int64)
        sizes = torch.cat([z.abs() for z in self._at_start])
        sizes[~torch.cat(self._fixed)] = torch.inf
        order = sizes.argsort()[:limit]
        return order[torch.isfinite(sizes[order])].numpy()

    def facets(self, units: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return the facets of units as rows ``matrix @ point <= upper``, scaled to norm 1."""
        matrix, upper = np.zeros((len(units), self.program.columns)), np.zeros(len(units))
        y = torch.as_tensor(self.start[self.places])
        first = 0
        for index, z in enumerate(self._at_start):
            here = np.flatnonzero((units >= first) & (units < first + len(z)))
            own = torch.as_tensor(units[here] - first)
            if len(here):
                rows = self.piece.rows(index, own)
                sign = rows.new_ones(len(rows)).masked_fill_(self.piece.pattern[index][own], -1.0)
                norm = torch.linalg.vector_norm(rows, dim=1)
                factor = (sign / torch.where(norm > 0, norm, 1.0))[:, None]
                # The start satisfies every facet exactly, whatever the rounding.
                limit = torch.maximum((rows @ y - z[own]) * factor[:, 0], (rows * factor) @ y)
                matrix[here[:, None], self.places] = (rows * factor).numpy()
                upper[here] = limit.numpy()
            first += len(z)
        return matrix, upper

    @cached_property
    def _at_start(self) -> list[Tensor]:
        return self.piece.forward(torch.as_tensor(self.start[self.places]))[0]

    @cached_property
    def _fixed(self) -> list[Tensor]:
        layers = zip(self.piece.network.layers, self.piece.free, strict=True)
        return [(layer.slope < 1) & ~free for layer, free in layers]

    def _violation(self, point: Array) -> Tensor:
        preactivations, _ = self.piece.forward(torch.as_tensor(point[self.places]))
        parts = []
        for z, here, side, fixed in zip(preactivations, self._at_start, self.piece.pattern, self._fixed, strict=True):
            size = torch.maximum(here.abs(), (z - here).abs()).clamp_min(torch.finfo(torch.float64).tiny)
            violation = torch.where(side, -z, z) / size
            parts.append(torch.where(fixed, violation, -torch.inf))
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def neighborhood(
    problem: Problem,
    x: Tensor,
    pattern: Sequence[Tensor],
    *,
    free: Sequence[Tensor] | None = None,
    ranges: Ranges | None = None,
) -> Neighborhood:
    """Encode the linear regions around an input as a program.

    Parameters
    ----------
    problem
        A single problem over a polyhedral set.
    x
        An input of the set, float64, shape (inputs,), in the closure of the region of `pattern`.
    pattern
        Fixed activation pattern, true for active; one boolean tensor (units,) for each layer.
    free
        Units without a fixed sign, likewise; none by default.
    ranges
        Bounds of the preactivations for the big-M of the free units; required if there are any.

    Returns
    -------
    Neighborhood
        The program without its facets.

    Raises
    ------
    DomainError
        For a set without linear rows, such as an `L2Ball`.
    """
    network = problem.network
    free = [torch.zeros_like(side) for side in pattern] if free is None else list(free)
    piece = Piece(network, tuple(pattern), tuple(free))
    assembly = Assembly()
    add_set(problem, assembly, relaxed=False)
    aside = assembly.columns.count
    z_start = network.forward(x[None]).preactivations
    h_start = torch.cat(
        [x, *(layer.activate(z)[0, mask] for layer, z, mask in zip(network.layers, z_start, free, strict=True))]
    )
    places = np.concatenate([np.arange(network.inputs), np.arange(aside, aside + piece.columns - network.inputs)])
    binaries = np.zeros(0, dtype=np.int64)
    if piece.columns > network.inputs:
        binaries = _add_free_units(assembly, piece, places, ranges, h_start)
    weight = problem.objective
    row, outputs = piece.output_rows(weight)[0], piece.forward(h_start)[1]
    columns = assembly.columns.count
    if problem.constraints is not None:
        matrix = piece.output_rows(problem.constraints.matrix)
        limit = problem.constraints.aim(mixed_integer=len(binaries) > 0 or bool(problem.domain.integer))
        upper = limit - problem.constraints.matrix @ outputs + matrix @ h_start
        assembly.rows.add(np.full(len(upper), -np.inf), upper.numpy(), _block(matrix.numpy(), places))
    objective = np.zeros(columns)
    objective[places] = row.numpy()
    (low, high), (row_lower, row_upper) = assembly.columns.bounds, assembly.rows.sides
    start = np.zeros(columns)
    start[places] = h_start.numpy()
    auxiliary = auxiliary_values(problem.domain.require_linear_rows(), x)
    start[network.inputs : network.inputs + len(auxiliary)] = auxiliary
    if len(binaries):
        active = torch.cat([z[0, mask] > 0 for z, mask in zip(z_start, free, strict=True)])
        start[binaries] = active.double().numpy()
    program = Program(
        objective=objective,
        matrix=assembly.rows.matrix(columns),
        row_lower=row_lower,
        row_upper=row_upper,
        lower=low,
        upper=high,
        integral=assembly.columns.integral,
        constant=float(weight[0] @ outputs - row @ h_start),
    )
    return Neighborhood(program=program, piece=piece, places=places, start=start)


def _add_free_units(
    assembly: Assembly, piece: Piece, places: NDArray[np.int64], ranges: Ranges | None, y: Tensor
) -> NDArray[np.int64]:
    """Add two columns and four rows for each free unit: h and a binary, ``h = max(z, slope z)``, z affine in y."""
    if ranges is None:
        raise ValueError("free units need ranges")
    layers = zip(piece.network.layers, ranges, piece.free, strict=True)
    parts = [(layer.slope[mask], lower[mask], upper[mask]) for layer, (lower, upper), mask in layers]
    slope, lower, upper = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    lower, upper = np.minimum(lower, 0.0), np.maximum(upper, 0.0)
    assembly.columns.add(slope * lower, upper)
    z = [values[mask] for values, mask in zip(piece.forward(y)[0], piece.free, strict=True)]
    rows = [piece.rows(index, torch.nonzero(mask).flatten()) for index, mask in enumerate(piece.free)]
    matrix = torch.cat(rows)
    constant = (torch.cat(z) - matrix @ y).numpy()
    count = len(slope)
    binaries = assembly.columns.add(np.zeros(count), np.ones(count), integral=True)
    own = np.zeros((count, piece.columns))
    own[np.arange(count), np.arange(piece.columns - count, piece.columns)] = 1.0
    z_rows, none = matrix.numpy(), np.full(count, np.inf)
    for rate, big in ((np.ones(count), -(1 - slope) * lower), (slope, (1 - slope) * upper)):
        difference = own - rate[:, None] * z_rows
        assembly.rows.add(rate * constant, none, _block(difference, places))
        # h - rate z <= big (1 - s) on the active side, <= big s on the inactive one.
        active = rate is not slope
        sign, room = (1.0, big) if active else (-1.0, np.zeros(count))
        switch = (np.arange(count), binaries, sign * big)
        assembly.rows.add(-none, rate * constant + room, _block(difference, places), switch)
    return binaries


def _block(matrix: Array, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    rows, columns = np.nonzero(matrix)
    return rows, places[columns], matrix[rows, columns]
