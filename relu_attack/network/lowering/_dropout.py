"""Dropout: nothing is left of it in evaluation mode."""

from __future__ import annotations

from torch import nn

from relu_attack.network.lowering._builder import Builder, Rule


def lower_dropout(module: nn.Module, builder: Builder) -> None:
    """Lower every kind of dropout."""
    if module.training:
        raise builder.refuse(module, "is in training mode, where its result is random; call model.eval()")
    builder.note(f"{type(module).__name__} vanishes in evaluation mode")


RULES: dict[type[nn.Module], Rule] = dict.fromkeys(
    (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout), lower_dropout
)
