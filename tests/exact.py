"""Exact arithmetic on small ReLU networks, by fractions: every float is one, so nothing here is rounded."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor, nn

Vector = list[Fraction]
Matrix = list[Vector]
Polygon = list[Vector]


def fractions(values: Tensor) -> list[Fraction]:
    """Return the entries of a vector exactly."""
    return [Fraction(value) for value in values.detach().double().reshape(-1).tolist()]


@dataclass(frozen=True)
class Layer:
    """An affine map, and the slope below zero of the activation of each unit that follows; 1 for none."""

    weight: Matrix
    bias: Vector
    slope: Vector

    def apply(self, x: Sequence[Fraction]) -> Vector:
        """Return ``weight x + bias``."""
        return [
            sum((w * v for w, v in zip(row, x, strict=True)), b) for row, b in zip(self.weight, self.bias, strict=True)
        ]

    def activate(self, values: Vector) -> Vector:
        """Return ``max(z, slope z)``."""
        return [max(value, slope * value) for value, slope in zip(values, self.slope, strict=True)]


def layers_of(model: nn.Sequential, objective: Tensor | None = None) -> list[Layer]:
    """Return the layers of a model that alternates Linear and ReLU or LeakyReLU, an objective folded into the last."""
    layers = []
    for index in range(0, len(model), 2):
        linear, after = model[index], model[index + 1] if index + 1 < len(model) else nn.Identity()
        slopes = {nn.ReLU: 0.0, nn.LeakyReLU: getattr(after, "negative_slope", 0.0), nn.Identity: 1.0}
        weight = [fractions(row) for row in linear.weight]
        layers.append(Layer(weight, fractions(linear.bias), [Fraction(slopes[type(after)])] * len(weight)))
    if objective is not None:
        row, last = fractions(objective), layers.pop()
        weight = [
            sum((c * w for c, w in zip(row, column, strict=True)), Fraction(0))
            for column in zip(*last.weight, strict=True)
        ]
        bias = sum((c * b for c, b in zip(row, last.bias, strict=True)), Fraction(0))
        layers.append(Layer([weight], [bias], [Fraction(1)]))
    return layers


def residual_layers(stem: nn.Linear, first: nn.Linear, second: nn.Linear, head: nn.Linear) -> list[Layer]:
    """Return the layers of ``head(relu(x + second(relu(first(x)))))`` with ``x = relu(stem(input))``.

    Units of slope 1 pass x on.
    """
    width = stem.out_features
    zeros, ones = [Fraction(0)] * width, [Fraction(1)] * width
    unit = [[Fraction(int(row == column)) for column in range(width)] for row in range(width)]
    weights = [[fractions(row) for row in layer.weight] for layer in (stem, first, second, head)]
    biases = [fractions(layer.bias) for layer in (stem, first, second, head)]
    joined = [row + passed for row, passed in zip(weights[2], unit, strict=True)]
    return [
        Layer(weights[0], biases[0], zeros),
        Layer(weights[1] + unit, biases[1] + zeros, zeros + ones),
        Layer(joined, biases[2], zeros),
        Layer(weights[3], biases[3], [Fraction(1)] * head.out_features),
    ]


def forward(layers: list[Layer], x: Tensor) -> Vector:
    """Return the outputs at one point."""
    values = fractions(x)
    for layer in layers:
        values = layer.activate(layer.apply(values))
    return values


def interval(layers: list[Layer], lower: Tensor, upper: Tensor) -> list[tuple[Vector, Vector]]:
    """Return the range of each affine map by interval arithmetic, layer by layer, the outputs last."""
    low, high = fractions(lower), fractions(upper)
    ranges = []
    for layer in layers:
        ends = [[[w * v for w, v in zip(row, end, strict=True)] for end in (low, high)] for row in layer.weight]
        low = [sum(map(min, *pair), b) for pair, b in zip(ends, layer.bias, strict=True)]
        high = [sum(map(max, *pair), b) for pair, b in zip(ends, layer.bias, strict=True)]
        ranges.append((low, high))
        low, high = layer.activate(low), layer.activate(high)
    return ranges


def _cut(polygon: Polygon, values: Vector, *, sign: int) -> Polygon:
    """Return the part of a convex polygon on which a linear function, given at its corners, has the sign or is 0."""
    kept = []
    for here, value, there, next_value in zip(
        polygon, values, polygon[1:] + polygon[:1], values[1:] + values[:1], strict=True
    ):
        if sign * value >= 0:
            kept.append(here)
        if value * next_value < 0:
            share = value / (value - next_value)
            kept.append([a + share * (b - a) for a, b in zip(here, there, strict=True)])
    return kept


def maximum(layers: list[Layer], lower: Tensor, upper: Tensor) -> Fraction:
    """Return the largest value of the one output over a box of two inputs.

    Every activation pattern that occurs is visited: the box is cut along the line of each unit, layer by layer, into
    the cells on which the network is affine; an affine function is largest at a corner.
    """
    (left, bottom), (right, top) = fractions(lower), fractions(upper)
    corners = [[left, bottom], [right, bottom], [right, top], [left, top]]
    # A cell is its corners and the activations at each of them.
    cells = [(corners, corners)]
    for layer in layers:
        cells = [(polygon, [layer.apply(at) for at in activations]) for polygon, activations in cells]
        for unit, slope in enumerate(layer.slope):
            if slope < 1:
                cells = [part for cell in cells for part in _split(*cell, unit)]
        cells = [(polygon, [layer.activate(at) for at in values]) for polygon, values in cells]
    return max(at[0] for _, outputs in cells for at in outputs)


def _split(polygon: Polygon, values: Matrix, unit: int) -> list[tuple[Polygon, Matrix]]:
    """Cut a cell along the line on which one unit is zero; `values` are the preactivations at its corners."""
    switch = [at[unit] for at in values]
    if min(switch) >= 0 or max(switch) <= 0:
        return [(polygon, values)]
    # Preactivations are affine on the cell, so those of a new corner lie between those of its edge's ends.
    joined = [corner + at for corner, at in zip(polygon, values, strict=True)]
    parts = [_cut(joined, switch, sign=sign) for sign in (1, -1)]
    return [([point[:2] for point in part], [point[2:] for point in part]) for part in parts]
