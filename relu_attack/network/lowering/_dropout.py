"""Dropout is the identity in evaluation mode."""

from __future__ import annotations

from torch import nn
from torch.nn import functional

from relu_attack.network.lowering._builder import Builder
from relu_attack.network.lowering._layer_spec import NUMBER, Factory, LayerSpec


def lower_dropout(module: nn.Module, builder: Builder) -> None:
    """Lower every kind of dropout."""
    if module.training:
        raise builder.refuse(module, "is in training mode, where its result is random; call model.eval()")
    builder.note(f"{type(module).__name__} vanishes in evaluation mode")


def _from_function(module: type[nn.Module]) -> Factory:
    def make(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
        return module(p).train(training)

    return make


LAYERS = (
    LayerSpec(
        (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
        lower_dropout,
        functions={
            functional.dropout: _from_function(nn.Dropout),
            functional.dropout1d: _from_function(nn.Dropout1d),
            functional.dropout2d: _from_function(nn.Dropout2d),
        },
        arguments={"p": NUMBER},
        words="Dropout",
    ),
)
