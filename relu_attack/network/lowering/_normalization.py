"""Batch normalization in evaluation mode: a scale and a shift for each channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relu_attack.network.lowering._builder import Builder, exact
from relu_attack.network.lowering._layer_spec import COUNT, FLAG, NUMBER, OPTIONAL_NUMBER, LayerSpec
from relu_attack.network.operators import Diagonal


def lower_batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, builder: Builder) -> None:
    """Lower ``nn.BatchNorm1d`` and ``nn.BatchNorm2d``."""
    name = type(module).__name__
    if module.training:
        raise builder.refuse(module, "is in training mode, where its result depends on the batch; call model.eval()")
    if module.running_mean is None or module.running_var is None:
        raise builder.refuse(module, "has no running statistics (track_running_stats=False), so its map is not fixed")
    ranks = (3,) if isinstance(module, nn.BatchNorm2d) else (1, 2)
    if len(builder.shape) not in ranks or builder.shape[0] != module.num_features:
        places = "height, width" if isinstance(module, nn.BatchNorm2d) else "[length]"
        raise builder.refuse(
            module, f"takes a value of shape ({module.num_features}, {places}) but gets one of shape {builder.shape}"
        )
    side = "before" if builder.follows_map else "after"
    normalize(builder, module.running_mean, module.running_var, module.weight, module.bias, eps=module.eps)
    builder.note(f"{name} folded into the map {side} it")


def normalize(
    builder: Builder, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, *, eps: float
) -> None:
    """Append ``(x - mean) / sqrt(variance + eps) * weight + bias``, with one of each number for a channel."""
    # The maps are composed for each channel, and the result is repeated for the entries of a channel.
    channels = Builder((len(mean),), builder.path)
    channels.shift(exact(mean), -1.0)
    # The sum and its root are rounded, which is at most two roundings of the divisor.
    channels.divide(torch.sqrt(exact(variance) + eps), roundings=2)
    if weight is not None:
        channels.affine(Diagonal(exact(weight)), None)
    if bias is not None:
        channels.shift(exact(bias))
    builder.repeat(channels)


LAYERS = (
    LayerSpec(
        (nn.BatchNorm1d, nn.BatchNorm2d),
        lower_batch_norm,
        arguments={
            "num_features": COUNT,
            "eps": NUMBER,
            "momentum": OPTIONAL_NUMBER,
            "affine": FLAG,
            "track_running_stats": FLAG,
            "bias": FLAG,
        },
        words="BatchNorm1d/2d",
    ),
)
