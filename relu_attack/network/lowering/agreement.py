"""A check of a lowered model: what it computes itself must be what its chain computes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relu_attack.errors import ModelError
from relu_attack.network.network import Network

# How far the model's own forward pass may be from the chain's, relative to the size of the outputs.
_AGREEMENT = {torch.float64: 1e-8, torch.float32: 1e-2, torch.float16: 0.2, torch.bfloat16: 0.5}


def check_agreement(model: nn.Module, network: Network, x: Tensor, shape: tuple[int, ...]) -> None:
    """Run the model itself once and compare.

    Parameters
    ----------
    model
        A module.
    network
        Its chain in float64.
    x
        Some inputs, flat, of which the first is taken, shape (..., inputs).
    shape
        Shape of one input as the model takes it.

    Raises
    ------
    ModelError
        When the model cannot evaluate such an input, returns another shape, or other numbers.
    """
    x = x.reshape(-1, network.inputs)[:1].to("cpu", torch.float64)
    parameter = next(model.parameters(), x)
    try:
        own = model(x.view(1, *shape).to(parameter.device, parameter.dtype))
    except (RuntimeError, TypeError, ValueError) as reason:
        raise ModelError(f"the model cannot evaluate an input of shape (1, *{shape}): {reason}") from None
    if tuple(own.shape) != (1, *network.output_shape):
        raise ModelError(
            f"the model returns shape {tuple(own.shape)} for one input; "
            f"expected (1, *{network.output_shape}): keep the batch dimension"
        )
    chain = network.forward(x)
    last = network.layers[-1].activate(chain.preactivations[-1]) if network.layers else x
    size = network.output.operator.absolute().apply(last.abs(), bias=network.output.bias.abs()).amax()
    difference = (own.reshape(1, -1).to("cpu", torch.float64) - chain.outputs).abs().amax()
    if not bool(difference <= _AGREEMENT[own.dtype] * size):
        raise ModelError(
            f"the model's own forward pass is {float(difference):.3g} away from its chain at the set's centre; "
            "does it overflow its dtype, or does a module override a method?"
        )
