"""Functions and methods that do what a module does: each is lowered by that module's rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional


def _flatten(start_dim: int = 0, end_dim: int = -1) -> nn.Module:
    return nn.Flatten(start_dim, end_dim)


def _clamp(min: Any = None, max: Any = None, inplace: bool = False) -> nn.Module:
    if min == 0 and max is None:
        return nn.ReLU(inplace)
    if not (isinstance(min, int | float) and isinstance(max, int | float) and min < max):
        raise ValueError(f"min={min}, max={max}; supported: two numbers, the smaller one first, or min=0 alone")
    return nn.Hardtanh(float(min), float(max), inplace)


def _pooling(module: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def make(
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> nn.Module:
        return module(kernel_size, stride or kernel_size, padding, dilation, return_indices, ceil_mode)

    return make


def _dropout(module: type[nn.Module]) -> Callable[..., nn.Module]:
    def make(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
        return module(p).train(training)

    return make


def _pad(pad: Any, mode: str = "constant", value: float | None = None) -> nn.Module:
    kinds: dict[int, Callable[..., nn.Module]] = {2: nn.ConstantPad1d, 4: nn.ConstantPad2d, 6: nn.ConstantPad3d}
    if mode != "constant" or len(pad) not in kinds:
        raise ValueError(f"pad={pad}, mode={mode!r}; supported: 2, 4 or 6 widths, mode='constant'")
    return kinds[len(pad)](tuple(pad), 0.0 if value is None else value)


MODULES: dict[object, Callable[..., nn.Module]] = {
    **dict.fromkeys((functional.relu, torch.relu, "relu"), nn.ReLU),
    **dict.fromkeys((functional.relu_, torch.relu_, "relu_"), partial(nn.ReLU, inplace=True)),
    functional.leaky_relu: nn.LeakyReLU,
    functional.relu6: nn.ReLU6,
    functional.hardtanh: nn.Hardtanh,
    **dict.fromkeys((torch.clamp, "clamp"), _clamp),
    **dict.fromkeys((torch.clamp_, "clamp_"), partial(_clamp, inplace=True)),
    **dict.fromkeys((torch.flatten, "flatten"), _flatten),
    functional.max_pool1d: _pooling(nn.MaxPool1d),
    functional.max_pool2d: _pooling(nn.MaxPool2d),
    functional.avg_pool1d: nn.AvgPool1d,
    functional.avg_pool2d: nn.AvgPool2d,
    functional.adaptive_avg_pool1d: nn.AdaptiveAvgPool1d,
    functional.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    functional.dropout: _dropout(nn.Dropout),
    functional.dropout1d: _dropout(nn.Dropout1d),
    functional.dropout2d: _dropout(nn.Dropout2d),
    functional.pad: _pad,
    **dict.fromkeys(("contiguous", "detach"), nn.Identity),
}
"""For each function the module, made from what the function takes after the value."""
