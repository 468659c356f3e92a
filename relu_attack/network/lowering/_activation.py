"""Activations: each becomes ``max(z, slope z)``, one or two units for each entry."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from relu_attack.network.lowering._builder import Builder, exact
from relu_attack.network.lowering._layer_spec import COUNT, NUMBER, LayerSpec
from relu_attack.network.operators import Diagonal


def lower_relu(module: nn.ReLU, builder: Builder) -> None:
    """Lower ``nn.ReLU``."""
    if module.inplace:
        builder.check_in_place()
    builder.note(f"ReLU, {builder.activate()} units")


def lower_leaky_relu(module: nn.LeakyReLU, builder: Builder) -> None:
    """Lower ``nn.LeakyReLU``."""
    if not math.isfinite(module.negative_slope):
        raise builder.refuse(module, f"has a negative_slope of {module.negative_slope}; it must be a finite number")
    if module.inplace:
        builder.check_in_place()
    units = builder.activate(float(module.negative_slope))
    builder.note(f"LeakyReLU, {units} units of slope {module.negative_slope:g}")


def lower_prelu(module: nn.PReLU, builder: Builder) -> None:
    """Lower ``nn.PReLU`` with one slope, or one for each channel."""
    channels = builder.shape[0]
    if module.num_parameters not in (1, channels):
        raise builder.refuse(
            module, f"has {module.num_parameters} slopes but gets a value of shape {builder.shape}, {channels} channels"
        )
    slope = exact(module.weight).expand(channels).repeat_interleave(builder.size // channels)
    builder.note(f"PReLU, {builder.activate(slope)} units with {module.num_parameters} slopes")


def lower_hardtanh(module: nn.Hardtanh, builder: Builder) -> None:
    """Lower ``nn.Hardtanh`` and ``nn.ReLU6``.

    The form ``high - relu((high - low) - relu(z - low))`` keeps interval bounds within [low, high] and loses
    no digits to a large z, which the sum of two units side by side would.
    """
    if module.inplace:
        builder.check_in_place()
    low, high = float(module.min_val), float(module.max_val)
    ones = torch.ones(builder.size, dtype=torch.float64)
    builder.affine(Diagonal(ones), -low * ones)
    builder.activate()
    builder.affine(Diagonal(-ones), high * ones)
    builder.shift(-low * ones)
    builder.activate()
    builder.affine(Diagonal(-ones), high * ones)
    builder.note(f"{type(module).__name__} [{low:g}, {high:g}], {2 * builder.size} units in two layers")


def _clamp(min: Any = None, max: Any = None, inplace: bool = False) -> nn.Module:
    if min == 0 and max is None:
        return nn.ReLU(inplace)
    if not (isinstance(min, int | float) and isinstance(max, int | float) and min < max):
        raise ValueError(f"min={min}, max={max}; supported: two numbers, the smaller one first, or min=0 alone")
    return nn.Hardtanh(float(min), float(max), inplace)


def _leaky_relu_of_onnx(alpha: float = 0.009999999776482582) -> nn.Module:
    # The default is 0.01 in single precision, as the file would hold it.
    return nn.LeakyReLU(alpha)


LAYERS = (
    LayerSpec(
        (nn.ReLU,),
        lower_relu,
        functions={
            **dict.fromkeys((functional.relu, torch.relu, "relu"), nn.ReLU),
            **dict.fromkeys((functional.relu_, torch.relu_, "relu_"), partial(nn.ReLU, inplace=True)),
        },
        onnx={"Relu": nn.ReLU},
        words="ReLU",
    ),
    LayerSpec(
        (nn.LeakyReLU,),
        lower_leaky_relu,
        functions={functional.leaky_relu: nn.LeakyReLU},
        arguments={"negative_slope": NUMBER},
        onnx={"LeakyRelu": _leaky_relu_of_onnx},
        words="LeakyReLU",
    ),
    LayerSpec((nn.PReLU,), lower_prelu, arguments={"num_parameters": COUNT}, words="PReLU"),
    LayerSpec((nn.ReLU6,), lower_hardtanh, functions={functional.relu6: nn.ReLU6}, words="ReLU6"),
    LayerSpec(
        (nn.Hardtanh,),
        lower_hardtanh,
        functions={
            functional.hardtanh: nn.Hardtanh,
            **dict.fromkeys((torch.clamp, "clamp"), _clamp),
            **dict.fromkeys((torch.clamp_, "clamp_"), partial(_clamp, inplace=True)),
        },
        arguments={"min_val": NUMBER, "max_val": NUMBER},
        words="Hardtanh",
    ),
)
