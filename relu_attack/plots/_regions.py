"""Exact linear regions of two-input networks, with unit boundaries, contours and maxima.

The box is cut by the boundary of each unit, layer by layer, without a grid. The preactivation of a unit is affine in
each cell of the layers before it, so that its boundary is a straight segment there and bends between cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from relu_attack.domains import Box
from relu_attack.errors import OptionError
from relu_attack.network import Affine, Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.tri import TriContourSet

Array = npt.NDArray[np.float64]

# A preactivation below this share of the cell's largest is zero there: it is rounding of the corner on the boundary.
_ON_BOUNDARY = 1e-12
# Corners nearer than this, in units of the input, are one corner that two cells have computed.
_SAME_POINT = 1e-9


@dataclass(frozen=True, eq=False)
class Cell:
    """One linear region within the box, and the affine piece of the network on it.

    Attributes
    ----------
    polygon
        Corners in order, shape (corners, 2).
    weight, bias
        f(x) = weight x + bias on the cell, shapes (outputs, 2) and (outputs,).
    """

    polygon: Array
    weight: Array
    bias: Array

    @property
    def area(self) -> float:
        """Area of the cell."""
        x, y = (self.polygon - self.polygon[0]).T
        return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2

    @property
    def values(self) -> Array:
        """The first output at the corners, shape (corners,)."""
        values: Array = self.polygon @ self.weight[0] + self.bias[0]
        return values

    def at(self, point: Array) -> npt.NDArray[np.bool_]:
        """Return which corners are that point, up to rounding, shape (corners,)."""
        distances: Array = np.linalg.norm(self.polygon - point, axis=1)
        return distances < _SAME_POINT


@dataclass(frozen=True, eq=False)
class Boundary:
    """Boundary of one unit: a segment for each cell of the earlier layers that it crosses.

    Attributes
    ----------
    layer, unit
        Indices of the layer and of the unit in it, from 0.
    segments
        Ends of the segments, shape (segments, 2, 2).
    gradients
        Gradient of the preactivation beside each segment, shape (segments, 2), which points to the active side; in the
        first layer the weight of the unit.
    """

    layer: int
    unit: int
    segments: Array
    gradients: Array

    @property
    def longest(self) -> int:
        """Index of the longest piece."""
        return int(np.linalg.norm(self.segments[:, 1] - self.segments[:, 0], axis=1).argmax())


@dataclass(frozen=True, eq=False)
class Arrangement:
    """The linear regions of a network in a box, and the boundaries between them.

    Attributes
    ----------
    cells
        Linear regions, which tile the box.
    boundaries
        Boundary of each unit that switches inside the box, ordered by layer and unit.
    """

    cells: tuple[Cell, ...]
    boundaries: tuple[Boundary, ...]

    def maximum(self) -> tuple[Array, float]:
        """Return where the first output is largest over the box, and how large: a corner of a cell."""
        best = max(self.cells, key=lambda cell: float(cell.values.max()))
        return best.polygon[best.values.argmax()], float(best.values.max())

    def local_maxima(self) -> list[tuple[Array, float]]:
        """Return the corners at which the first output has a strict local maximum over the box, the best first.

        A piecewise-linear function has one where a corner beats every other corner of each cell that it belongs to.
        """
        found: dict[tuple[float, ...], tuple[Array, float]] = {}
        for candidate in self.cells:
            corner, value = candidate.polygon[candidate.values.argmax()], float(candidate.values.max())
            around = [cell.at(corner) for cell in self.cells]
            if all(
                (cell.values[~same] < value).all() for cell, same in zip(self.cells, around, strict=True) if same.any()
            ):
                found.setdefault(tuple(corner.round(6)), (corner, value))
        return sorted(found.values(), key=lambda entry: -entry[1])


def arrange(network: Network, box: Box) -> Arrangement:
    """Cut a box into the linear regions of a network with two inputs.

    Parameters
    ----------
    network
        Chain with two inputs, from `relu_attack.network.lower`.
    box
        Box with two inputs of positive width.

    Returns
    -------
    Arrangement
        Cells and boundaries in float64.

    Raises
    ------
    OptionError
        For a network or a box with another number of inputs than two, or a box that is a batch or flat.

    Examples
    --------
    >>> import torch
    >>> from relu_attack import Box
    >>> from relu_attack.network import dense_chain
    >>> network = dense_chain([torch.eye(2), torch.ones(1, 2)], [torch.full((2,), -0.5), torch.zeros(1)])
    >>> arrangement = arrange(network, Box(0.0, 1.0, shape=(2,)))
    >>> [round(cell.area, 6) for cell in arrangement.cells], len(arrangement.boundaries)
    ([0.25, 0.25, 0.25, 0.25], 2)
    """
    lower, upper = (bound.reshape(-1).double().cpu().numpy() for bound in (box.lower, box.upper))
    if network.inputs != 2 or lower.size != 2 or box.batch is not None:
        raise OptionError(
            f"linear regions are drawn for 2 inputs and one box; the network has {network.inputs} inputs, "
            f"the box {box.inputs}" + ("" if box.batch is None else f" in a batch of {box.batch}")
        )
    if not (upper > lower).all():
        raise OptionError("the box is flat, so it has no area to draw; its two inputs need positive widths")
    network = network.to(device="cpu", dtype=torch.float64)
    square = np.array([[lower[0], lower[1]], [upper[0], lower[1]], [upper[0], upper[1]], [lower[0], upper[1]]])
    cells, boundaries = [Cell(square, np.eye(2), np.zeros(2))], []
    for index, layer in enumerate(network.layers):
        slope = layer.slope.numpy()
        before = [_apply(layer.affine, cell) for cell in cells]
        switching = [unit for unit in range(layer.units) if slope[unit] < 1]
        found = (_boundary(before, index, unit) for unit in switching)
        boundaries += [boundary for boundary in found if boundary is not None]
        cells = [_activate(piece, slope) for cell in before for piece in _split_all(cell, switching)]
    cells = [_apply(network.output, cell) for cell in cells]
    return Arrangement(tuple(cells), tuple(boundaries))


def _apply(affine: Affine, cell: Cell) -> Cell:
    matrix, bias = affine.operator.matrix().numpy(), affine.bias.numpy()
    return Cell(cell.polygon, matrix @ cell.weight, matrix @ cell.bias + bias)


def _heights(cell: Cell, unit: int) -> Array:
    """Return the preactivation of a unit at the corners of a cell, exactly zero where it is only rounding."""
    heights = cell.polygon @ cell.weight[unit] + cell.bias[unit]
    size = float(np.abs(cell.polygon).max() * np.abs(cell.weight[unit]).sum() + abs(cell.bias[unit]))
    return np.where(np.abs(heights) <= _ON_BOUNDARY * size, 0.0, heights)


def _crossings(polygon: Array, heights: Array) -> tuple[Array, Array]:
    """Add a corner wherever an edge crosses height zero; return the corners and their heights."""
    corners, levels = [], []
    for start, end, low, high in zip(polygon, np.roll(polygon, -1, 0), heights, np.roll(heights, -1), strict=True):
        corners.append(start)
        levels.append(low)
        if low * high < 0:
            corners.append(start + low / (low - high) * (end - start))
            levels.append(0.0)
    return np.array(corners), np.array(levels)


def _boundary(cells: list[Cell], layer: int, unit: int) -> Boundary | None:
    """Return the boundary of a unit through the cells of the layers before it, None if it meets none of them."""
    segments, gradients = [], []
    for cell in cells:
        heights = _heights(cell, unit)
        if heights.min() < 0 < heights.max():
            corners, levels = _crossings(cell.polygon, heights)
            segments.append(corners[levels == 0])
            gradients.append(cell.weight[unit])
    return Boundary(layer, unit, np.array(segments), np.array(gradients)) if segments else None


def _split_all(cell: Cell, units: list[int]) -> list[Cell]:
    """Cut a cell by the lines of some units of one layer."""
    pieces = [cell]
    for unit in units:
        pieces = [part for piece in pieces for part in _split(piece, unit)]
    return pieces


def _split(cell: Cell, unit: int) -> list[Cell]:
    heights = _heights(cell, unit)
    if not heights.min() < 0 < heights.max():
        return [cell]
    corners, levels = _crossings(cell.polygon, heights)
    return [Cell(corners[side], cell.weight, cell.bias) for side in (levels >= 0, levels <= 0)]


def _activate(cell: Cell, slope: Array) -> Cell:
    """Apply the activation, whose side is the same all over the cell."""
    middle = cell.polygon.mean(0)
    factor = np.where(cell.weight @ middle + cell.bias > 0, 1.0, slope)
    return Cell(cell.polygon, factor[:, None] * cell.weight, factor * cell.bias)


def draw_contours(axes: Axes, arrangement: Arrangement, *, levels: int = 12, **style: Any) -> TriContourSet:
    """Fill the contours of the first output; they are exact, since the output is affine on each triangle of a cell.

    Parameters
    ----------
    axes
        Axes to draw on.
    arrangement
        Result of `arrange`.
    levels
        Approximate number of bands.
    style
        Arguments of matplotlib's ``tricontourf``, such as ``cmap``.

    Returns
    -------
    TriContourSet
        Contours, for a color bar.
    """
    from matplotlib.tri import Triangulation

    corners = np.concatenate([cell.polygon for cell in arrangement.cells])
    values = np.concatenate([cell.values for cell in arrangement.cells])
    # Cells share their corners, so that the bands join without seams.
    _, first, shared = np.unique(corners.round(9), axis=0, return_index=True, return_inverse=True)
    fans, start = [], 0
    for cell in arrangement.cells:
        fans += [(start, start + corner, start + corner + 1) for corner in range(1, len(cell.polygon) - 1)]
        start += len(cell.polygon)
    x, y = corners[first].T
    triangles = Triangulation(x, y, shared.reshape(-1)[np.array(fans)])
    return axes.tricontourf(triangles, values[first], levels=levels, **style)


def draw_boundaries(
    axes: Axes, arrangement: Arrangement, *, styles: Sequence[Mapping[str, Any]], labels: bool = True
) -> None:
    """Draw the boundary of each unit, bent where it meets the boundary of a unit of an earlier layer.

    Parameters
    ----------
    axes
        Axes to draw on.
    arrangement
        Result of `arrange`.
    styles
        Line properties of each hidden layer, such as ``{"color": "black", "linestyle": "--"}``.
    labels
        Whether each layer has an entry in the legend.
    """
    from matplotlib.collections import LineCollection

    for layer in sorted({boundary.layer for boundary in arrangement.boundaries}):
        segments = [
            piece for boundary in arrangement.boundaries if boundary.layer == layer for piece in boundary.segments
        ]
        label = f"switches of layer {layer + 1}" if labels else "_"
        axes.add_collection(LineCollection(segments, label=label, **styles[layer]), autolim=False)


def draw_directions(axes: Axes, arrangement: Arrangement, *, length: float = 0.15, **style: Any) -> None:
    """Draw an arrow on each boundary to the side where its unit is active, of length proportional to the gradient.

    For a unit behind the first layer it is the gradient on the longest segment.

    Parameters
    ----------
    axes
        Axes to draw on.
    arrangement
        Result of `arrange`.
    length
        Length of the longest arrow, in units of the input.
    style
        Properties of matplotlib's ``FancyArrowPatch``, such as ``color``.
    """
    longest = [(boundary, boundary.longest) for boundary in arrangement.boundaries]
    scale = length / max((float(np.linalg.norm(boundary.gradients[piece])) for boundary, piece in longest), default=1.0)
    style = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 10, **style}
    for boundary, piece in longest:
        # Not all in the middle, so that arrows of different layers do not meet.
        share = 0.35 if boundary.layer % 2 else 0.5
        foot = np.array([1 - share, share]) @ boundary.segments[piece]
        axes.annotate("", foot + scale * boundary.gradients[piece], foot, arrowprops=style)
