"""The exact oracle: torch modules evaluated in fractions, by the mathematical definition of each module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
from torch import Tensor, nn

Values = np.ndarray  # of Fractions, in the shape of one input without the batch

# Digits of a square root, the one irrational number of the modules here: far beyond what a bound rounds by.
ROOT_DIGITS = 120


class Residual(nn.Module):
    """A block ``x + body(x)``."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Scaled(nn.Module):
    """A normalization of inputs, ``(x - mean) / deviation``."""

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation


def exact_outputs(model: nn.Module, x: Sequence[Fraction], shape: tuple[int, ...]) -> list[Fraction]:
    """Return the outputs of a model at an exact point, shape (inputs,) in the order of the flattened input."""
    values = np.empty(len(x), dtype=object)
    values[:] = list(x)
    return list(_evaluate(model, values.reshape(shape)).reshape(-1))


def exact_dot(row: Tensor, values: Sequence[Fraction]) -> Fraction:
    """Return the product of a row of floats with exact values."""
    return sum((Fraction(c) * v for c, v in zip(row.tolist(), values, strict=True)), Fraction(0))


def fractions_of(tensor: Tensor) -> Values:
    """Return the entries of a tensor as fractions, in its shape."""
    flat = np.empty(tensor.numel(), dtype=object)
    flat[:] = [Fraction(value) for value in tensor.detach().double().reshape(-1).tolist()]
    return flat.reshape(tuple(tensor.shape))


def square_root(value: Fraction) -> Fraction:
    """Return the square root of a fraction, to `ROOT_DIGITS` digits."""
    with localcontext() as context:
        context.prec = ROOT_DIGITS
        return Fraction((Decimal(value.numerator) / Decimal(value.denominator)).sqrt())


def _evaluate(module: nn.Module, x: Values) -> Values:
    rule = RULES.get(type(module))
    if rule is None:
        raise TypeError(f"the oracle has no rule for {type(module).__name__}")
    return rule(module, x)


def _sequential(module: nn.Sequential, x: Values) -> Values:
    for part in module:
        x = _evaluate(part, x)
    return x


def _linear(module: nn.Linear, x: Values) -> Values:
    result = fractions_of(module.weight).dot(x)
    return result if module.bias is None else result + fractions_of(module.bias)


def _per_channel(numbers: Tensor, x: Values) -> Values:
    return fractions_of(numbers).reshape(-1, *[1] * (x.ndim - 1))


def _batch_norm(module: Any, x: Values) -> Values:
    spread = [square_root(value + Fraction(module.eps)) for value in fractions_of(module.running_var)]
    divisor = np.array(spread, dtype=object).reshape(-1, *[1] * (x.ndim - 1))
    x = (x - _per_channel(module.running_mean, x)) / divisor
    return x if module.weight is None else x * _per_channel(module.weight, x) + _per_channel(module.bias, x)


def _windows(x: Values, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]) -> Values:
    """Return the windows of channels first values: shape (channels, *places, *kernel)."""
    padded = np.pad(x, [(0, 0), *((size, size) for size in padding)], constant_values=Fraction(0))
    axes = tuple(range(1, x.ndim))
    views = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel), axis=axes)
    return views[(slice(None), *(slice(None, None, step) for step in stride))]


def _many(size: Any, dimensions: int) -> tuple[int, ...]:
    return (size,) * dimensions if isinstance(size, int) else tuple(size)


def _convolution(module: Any, x: Values) -> Values:
    dimensions = x.ndim - 1
    windows = _windows(x, module.kernel_size, module.stride, module.padding)
    weight = fractions_of(module.weight)
    places = list(range(1, 1 + dimensions))
    kernel = list(range(1 + dimensions, 1 + 2 * dimensions))
    result = np.tensordot(weight, windows, axes=([1, *range(2, 2 + dimensions)], [0, *kernel]))
    assert result.ndim == 1 + len(places)
    return result if module.bias is None else result + _per_channel(module.bias, result)


def _pooling(reduce: Callable[[list[Fraction]], Fraction]) -> Callable[[Any, Values], Values]:
    def pool(module: Any, x: Values) -> Values:
        dimensions = x.ndim - 1
        kernel, stride = _many(module.kernel_size, dimensions), _many(module.stride, dimensions)
        windows = _windows(x, kernel, stride, (0,) * dimensions)
        places = windows.shape[: 1 + dimensions]
        rows = windows.reshape(*places, -1)
        result = np.empty(places, dtype=object)
        for place in np.ndindex(*places):
            result[place] = reduce(list(rows[place]))
        return result

    return pool


def _elementwise(function: Callable[[Any, Fraction], Fraction]) -> Callable[[Any, Values], Values]:
    def apply(module: Any, x: Values) -> Values:
        result = np.empty(x.shape, dtype=object)
        for place in np.ndindex(*x.shape):
            result[place] = function(module, x[place])
        return result

    return apply


def _prelu(module: nn.PReLU, x: Values) -> Values:
    slope = np.broadcast_to(_per_channel(module.weight, x), x.shape)
    return np.where(x > 0, x, slope * x)


def _hardtanh(module: nn.Hardtanh, value: Fraction) -> Fraction:
    return min(max(value, Fraction(module.min_val)), Fraction(module.max_val))


RULES: dict[type[nn.Module], Callable[[Any, Values], Values]] = {
    nn.Sequential: _sequential,
    Residual: lambda module, x: x + _evaluate(module.body, x),
    Scaled: lambda module, x: (x - fractions_of(module.mean)) / fractions_of(module.deviation),
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.ReLU: _elementwise(lambda module, value: max(value, Fraction(0))),
    nn.LeakyReLU: _elementwise(lambda module, value: value if value > 0 else Fraction(module.negative_slope) * value),
    nn.PReLU: _prelu,
    nn.Hardtanh: _elementwise(_hardtanh),
    nn.ReLU6: _elementwise(_hardtanh),
    nn.MaxPool1d: _pooling(max),
    nn.MaxPool2d: _pooling(max),
    nn.AvgPool1d: _pooling(lambda values: sum(values, Fraction(0)) / len(values)),
    nn.AvgPool2d: _pooling(lambda values: sum(values, Fraction(0)) / len(values)),
    nn.Flatten: lambda module, x: x.reshape(-1),
    nn.Identity: lambda module, x: x,
    nn.Dropout: lambda module, x: x,
}
