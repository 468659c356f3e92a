"""Fully connected layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relu_attack.network.lowering._builder import Builder, exact
from relu_attack.network.lowering._layer_spec import COUNT, FLAG, LayerSpec
from relu_attack.network.operators import Dense, LinearOperator, UpcastDense, has_subnormal

# Entries from which a float32 matrix stays in float32: 32 MiB in float64.
_LARGE = 2**22


def lower_linear(module: nn.Linear, builder: Builder) -> None:
    """Lower ``nn.Linear``."""
    if builder.size != module.in_features or builder.shape[-1:] != (module.in_features,):
        raise builder.refuse(
            module,
            f"takes {module.in_features} inputs but gets a value of shape {builder.shape}; "
            "put an nn.Flatten before it or correct the input's shape",
        )
    bias = None if module.bias is None else exact(module.bias)
    builder.affine(dense(module.weight), bias, (*builder.shape[:-1], module.out_features))
    builder.note(f"Linear {module.in_features} -> {module.out_features}")


def dense(weight: Tensor) -> LinearOperator:
    """Copy the matrix of a layer to float64, or to float32 if it is large and of at most that precision."""
    if weight.numel() < _LARGE or weight.dtype == torch.float64:
        return Dense(exact(weight))
    single = weight.detach().to("cpu", torch.float32, copy=True)
    # A conversion at each use may flush subnormal numbers.
    return Dense(exact(weight)) if has_subnormal(single) else UpcastDense(single)


LAYERS = (
    LayerSpec(
        (nn.Linear,),
        lower_linear,
        arguments={"in_features": COUNT, "out_features": COUNT, "bias": FLAG},
        words="Linear",
    ),
)
