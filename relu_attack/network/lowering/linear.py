"""Fully connected layers."""

from __future__ import annotations

from torch import nn

from relu_attack.network.lowering.builder import Builder, Rule, exact
from relu_attack.network.operators import Dense


def lower_linear(module: nn.Linear, builder: Builder) -> None:
    """Lower ``nn.Linear``."""
    if builder.size != module.in_features or builder.shape[-1:] != (module.in_features,):
        raise builder.refuse(
            module,
            f"takes {module.in_features} inputs but gets a value of shape {builder.shape}; "
            "put an nn.Flatten before it or correct the input's shape",
        )
    bias = None if module.bias is None else exact(module.bias)
    builder.affine(Dense(exact(module.weight)), bias, (*builder.shape[:-1], module.out_features))
    builder.note(f"Linear {module.in_features} -> {module.out_features}")


RULES: dict[type[nn.Module], Rule] = {nn.Linear: lower_linear}
