"""Convolutions."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional, grad

from relu_attack.network.operators._base import Weighted

_IMAGE_CHANNELS = 3

# Largest number of entries in a table of all windows: 64 MiB in float64.
_MAX_WINDOW_ENTRIES = 2**23


@dataclass(frozen=True, eq=False)
class Convolution(Weighted):
    """A convolution over one or two spatial dimensions with zero padding.

    Parameters
    ----------
    weight
        Shape (out_channels, in_channels / groups, \\*kernel).
    input_shape
        Shape of one input, (in_channels, \\*spatial).
    stride, padding, dilation
        One number for each spatial dimension.
    groups
        Number of channel groups.
    """

    input_shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def inputs(self) -> int:
        return math.prod(self.input_shape)

    @property
    def outputs(self) -> int:
        return math.prod(self.output_shape)

    @cached_property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one output, (out_channels, \\*spatial)."""
        spatial = tuple(
            (size + 2 * pad - dilate * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, pad, dilate in zip(
                self.input_shape[1:], self.weight.shape[2:], self.stride, self.padding, self.dilation, strict=True
            )
        )
        return (self.weight.shape[0], *spatial)

    @property
    def row_nnz(self) -> int:
        return math.prod(self.weight.shape[1:])

    @property
    def column_nnz(self) -> int:
        return math.prod((self.weight.shape[0] // self.groups, *self.weight.shape[2:]))

    def apply(self, x: Tensor, *, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        convolve = functional.conv1d if len(self.input_shape) == 2 else functional.conv2d
        image = x.reshape(len(x), *self.input_shape)
        if bias is not None and len(bias) != len(self.weight):  # one number for each position, not for each channel
            return self.apply(x).add_(bias)
        if self._spares_windows:
            result = self._by_places(image)
            return result.flatten(1) if bias is None else result.add_(bias[:, None]).flatten(1)
        return convolve(image, self.weight, bias, self.stride, self.padding, self.dilation, self.groups).flatten(1)

    @property
    def _spares_windows(self) -> bool:
        """Whether to avoid the table of all windows that torch creates for float64 on the CPU."""
        if self.weight.dtype != torch.float64 or self.weight.device.type != "cpu" or self.groups != 1:
            return False
        return len(self.input_shape) == 3 and self.row_nnz * math.prod(self.output_shape[1:]) > _MAX_WINDOW_ENTRIES

    def _by_places(self, image: Tensor) -> Tensor:
        """Return the convolution as a sum of one product for each kernel position, (batch, channels, positions)."""
        (high, wide), (down, right) = self.padding, self.stride
        padded = functional.pad(image, (wide, wide, high, high))
        _, rows, columns = self.output_shape
        result = image.new_zeros(len(image), len(self.weight), rows * columns)
        for row, column in itertools.product(*map(range, self.weight.shape[2:])):
            top, left = row * self.dilation[0], column * self.dilation[1]
            seen = padded[:, :, top::down, left::right][:, :, :rows, :columns]
            weight = self.weight[:, :, row, column].expand(len(image), -1, -1)
            result.baddbmm_(weight, seen.flatten(2))
        return result

    @property
    def _folds(self) -> bool:
        """Whether the transpose is faster as a product and `fold`: on a CPU, for an image in float32."""
        image = len(self.input_shape) == 3 and self.input_shape[0] <= _IMAGE_CHANNELS and self.groups == 1
        return image and self.weight.dtype == torch.float32 and self.weight.device.type == "cpu"

    def transpose(self, y: Tensor, *, out: Tensor | None = None) -> Tensor:
        if self._folds:
            windows = self.weight.flatten(1).t() @ y.reshape(len(y), *self.output_shape).flatten(2)
            kernel, size = self.weight.shape[2:], self.input_shape[1:]
            return functional.fold(windows, size, kernel, self.dilation, self.padding, self.stride).flatten(1)
        backward = grad.conv1d_input if len(self.input_shape) == 2 else grad.conv2d_input
        image = y.reshape(len(y), *self.output_shape)
        size = (image.shape[0], *self.input_shape)
        result: Tensor = backward(size, self.weight, image, self.stride, self.padding, self.dilation, self.groups)  # type: ignore[no-untyped-call]
        return result.flatten(1)

    def rows_of(self, index: Tensor, *, dtype: torch.dtype) -> Tensor:
        flat, places = index.reshape(-1), math.prod(self.output_shape[1:])
        channel = flat // places
        seen, inside = self._windows(flat % places)
        # Positions outside have value 0, so their column is arbitrary.
        columns = self._sources(channel)[..., None] + torch.where(inside, seen, 0)[:, None]
        values = self.weight.flatten(2)[channel] * inside[:, None]
        rows = torch.zeros(len(channel), self.inputs, dtype=dtype, device=index.device)
        rows.scatter_add_(1, columns.flatten(1), values.flatten(1).to(dtype))
        return rows.view(*index.shape, self.inputs)

    def triplets(self) -> tuple[Tensor, Tensor, Tensor]:
        channels, each = self.weight.shape[:2]
        device, places = self.weight.device, math.prod(self.output_shape[1:])
        # One table over (output channel, channel of its group, output position, kernel position).
        seen, inside = self._windows(torch.arange(places, device=device))
        table = (channels, each, *seen.shape)
        rows = torch.arange(self.outputs, device=device).view(channels, 1, places, 1)
        columns = self._sources(torch.arange(channels, device=device))[..., None, None] + seen
        values, kept = self.weight.flatten(2)[:, :, None], inside.expand(table)
        return rows.expand(table)[kept], columns[kept], values.expand(table)[kept]

    def _sources(self, channel: Tensor) -> Tensor:
        """Return the offsets of the input channels of output channels (n,), (n, channels of a group)."""
        channels, each = self.weight.shape[:2]
        first = channel // (channels // self.groups) * each
        return (first[:, None] + torch.arange(each, device=channel.device)) * math.prod(self.input_shape[1:])

    def _windows(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Return the positions in a channel under the kernel at output positions (n,), and which exist, (n, taps)."""
        seen = torch.zeros(len(place), 1, dtype=torch.long, device=place.device)
        inside = torch.ones_like(seen, dtype=torch.bool)
        for index, size in enumerate(self.input_shape[1:]):
            # The first call of torch.unravel_index imports sympy, which takes more than a second.
            at = place // math.prod(self.output_shape[2 + index :]) % self.output_shape[1 + index]
            reach = torch.arange(self.weight.shape[2 + index], device=place.device) * self.dilation[index]
            position = at[:, None] * self.stride[index] - self.padding[index] + reach
            inside = (inside[:, :, None] & ((position >= 0) & (position < size))[:, None]).flatten(1)
            seen = (seen[:, :, None] * size + position[:, None]).flatten(1)
        return seen, inside

    def scale_outputs(self, scale: Tensor) -> Convolution:
        """Return the convolution followed by a scale of each output channel, shape (out_channels,)."""
        return self.with_weight(self.weight * scale.reshape(-1, *[1] * (self.weight.dim() - 1)))

    def scale_inputs(self, scale: Tensor) -> Convolution:
        """Return the convolution after a scale of each input channel, shape (in_channels,)."""
        shape = self.weight.shape
        grouped = self.weight.reshape(self.groups, -1, *shape[1:])
        channels = scale.reshape(self.groups, 1, shape[1], *[1] * (len(shape) - 2))
        return self.with_weight((grouped * channels).reshape(shape))
