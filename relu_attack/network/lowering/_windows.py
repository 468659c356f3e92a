"""Index tables of pooling windows.

A table has one row for each window and one column for each position in it: the index of the entry there, or `PADDING`
or `OUTSIDE` without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from relu_attack.network.lowering._builder import Builder

Size = TypeVar("Size", int, "int | None")

PADDING = -1
"""Index of a position in the declared padding."""

OUTSIDE = -2
"""Index of a position beyond the padding: only with `ceil_mode` and windows of unequal length."""


def per_dimension(value: Size | Sequence[Size], dimensions: int) -> tuple[Size, ...]:
    """Return one number for each dimension, in the convention of the pooling modules."""
    numbers = tuple(value) if isinstance(value, Sequence) else (value,)
    return numbers * dimensions if len(numbers) == 1 else numbers


def sliding(size: int, *, kernel: int, stride: int, padding: tuple[int, int], dilation: int, ceil_mode: bool) -> Tensor:
    """Return the table of a window that slides along one dimension, padded on both sides, shape (windows, kernel).

    The table is empty if the window does not fit.
    """
    begin, end = padding
    slack = size + begin + end - dilation * (kernel - 1) - 1
    windows = (slack + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (windows - 1) * stride >= size + begin:
        windows -= 1  # a window may not start in the padding at the end
    places = torch.arange(max(windows, 0))[:, None] * stride - begin + torch.arange(kernel) * dilation
    table = places.masked_fill((places < 0) | (places >= size), PADDING)
    return table.masked_fill(places >= size + end, OUTSIDE)


def adaptive(size: int, windows: int) -> Tensor:
    """Return the table of a given number of windows that cover one dimension, shape (windows, longest)."""
    index = torch.arange(windows)
    start, end = index * size // windows, -(-(index + 1) * size // windows)
    places = start[:, None] + torch.arange(int((end - start).max()))
    return places.masked_fill(places >= end[:, None], OUTSIDE)


def product(tables: Sequence[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Return the product table of the last dimensions of `shape`, repeated for each index of the leading dimensions."""
    leading = len(shape) - len(tables)
    joined = torch.arange(torch.Size(shape[:leading]).numel())[:, None]
    for table, size in zip(tables, shape[leading:], strict=True):
        first, second = joined[:, None, :, None], table[None, :, None, :]
        nowhere = (first < 0) | (second < 0)
        joined = torch.where(nowhere, torch.minimum(first, second), first * size + second)
        joined = joined.reshape(joined.shape[0] * joined.shape[1], -1)
    return joined


def pooling_windows(
    module: nn.AvgPool1d | nn.AvgPool2d | nn.MaxPool1d | nn.MaxPool2d,
    builder: Builder,
    *,
    dimensions: int,
    dilation: int | Sequence[int] = 1,
) -> tuple[list[Tensor], tuple[int, ...]]:
    """Return the table of each pooled dimension of a module, and the shape of its result."""
    check_rank(module, builder, dimensions=dimensions)
    kernels, strides, paddings, dilations = (
        per_dimension(value, dimensions) for value in (module.kernel_size, module.stride, module.padding, dilation)
    )
    if min(*kernels, *strides, *dilations) < 1:
        raise builder.refuse(module, f"has kernel {kernels}, stride {strides}, dilation {dilations}; they start at 1")
    reaches = [dilate * (kernel - 1) + 1 for kernel, dilate in zip(kernels, dilations, strict=True)]
    if any(not 0 <= 2 * padding <= reach for padding, reach in zip(paddings, reaches, strict=True)):
        raise builder.refuse(module, f"has padding {paddings}; it may be at most half of its window {tuple(reaches)}")
    tables = [
        sliding(size, kernel=kernel, stride=stride, padding=(pad, pad), dilation=dilate, ceil_mode=module.ceil_mode)
        for size, kernel, stride, pad, dilate in zip(
            builder.shape[-dimensions:], kernels, strides, paddings, dilations, strict=True
        )
    ]
    shape = (*builder.shape[:-dimensions], *(table.shape[0] for table in tables))
    if min(shape) < 1:
        raise builder.refuse(
            module, f"has a window {tuple(reaches)} that is larger than a value of shape {builder.shape}"
        )
    if any(bool((table < 0).all(1).any()) for table in tables):
        raise builder.refuse(module, f"has a window that sees padding only, on a value of shape {builder.shape}")
    return tables, shape


def check_rank(module: nn.Module, builder: Builder, *, dimensions: int) -> None:
    """Raise unless the value has the pooled dimensions, optionally after a channel dimension."""
    if len(builder.shape) not in (dimensions, dimensions + 1):
        places = "length" if dimensions == 1 else "height, width"
        raise builder.refuse(
            module, f"takes a value of shape (channels, {places}) but gets one of shape {builder.shape}"
        )
