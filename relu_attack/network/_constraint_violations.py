"""Output constraints as one more layer: ReLU outputs that a linear objective can penalize."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.network._affine import Affine, identity
from relu_attack.network._layers import Layer
from relu_attack.network._network import Network
from relu_attack.network.operators import Dense


def with_constraint_violations(network: Network, matrix: Tensor, upper: Tensor) -> Network:
    """Append the violations of linear output constraints to the outputs of a network.

    The constraints are ``matrix f(x) <= upper``, float64; the outputs are f(x), unchanged, and ``relu(matrix f(x) -
    upper)``.

    >>> from relu_attack.network import dense_chain
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> network = with_constraint_violations(dense_chain([one], [torch.zeros(1, dtype=torch.float64)]), 2 * one, one[0])
    >>> network.forward(torch.tensor([[3.0], [0.25]], dtype=torch.float64)).outputs
    tensor([[3.0000, 5.0000],
            [0.2500, 0.0000]], dtype=torch.float64)
    """
    passed = torch.eye(network.outputs, dtype=network.dtype, device=network.device)
    rows, limits = matrix.to(network.device, network.dtype), upper.to(network.device, network.dtype)
    split = Affine(Dense(torch.cat([passed, rows])), torch.cat([limits.new_zeros(network.outputs), -limits]))
    slope = torch.cat([limits.new_ones(network.outputs), torch.zeros_like(limits)])
    layer = Layer(split.after(network.output), slope)
    last = identity(len(slope), dtype=network.dtype).to(device=network.device)
    return Network((*network.layers, layer), last, network.input_shape, (len(slope),))
