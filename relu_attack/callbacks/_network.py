"""Selection of the network within a LightningModule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import nn

from relu_attack.callbacks._lightning import LightningModule
from relu_attack.errors import ModelError, OptionError

NetworkOf: TypeAlias = "str | Callable[[LightningModule], nn.Module]"


def check_network(network: NetworkOf) -> None:
    """Raise `OptionError` unless the argument names a network or finds one."""
    if not (isinstance(network, str) and network) and not callable(network):
        raise OptionError(
            f"network must be the name of an attribute, such as 'model', or a function of the module, got {network!r}"
        )


def find_network(module: LightningModule, network: NetworkOf) -> nn.Module:
    """Return the network of a module.

    `network` is the name of an attribute, with dots for one further inside, or a function of the module.
    """
    if isinstance(network, str):
        try:
            return module.get_submodule(network)
        except AttributeError:
            known = ", ".join(name for name, _ in module.named_children()) or "none"
            raise ModelError(
                f"{type(module).__name__} has no network {network!r}; its modules are: {known}. Name one by network=..."
            ) from None
    found = network(module)
    if not isinstance(found, nn.Module):
        raise ModelError(f"network must return an nn.Module, got {type(found).__name__}")
    return found
