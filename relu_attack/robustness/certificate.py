"""Certified upper bounds on margins."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.bounds import bound_rows
from relu_attack.network import Network
from relu_attack.robustness.samples import Sets

# Sets that are bounded at once.
_AT_ONCE = 64


def certified_margins(network: Network, sets: Sets, label: Tensor, method: str = "crown") -> Tensor:
    """Bound the largest margin of any wrong class over each set from above.

    Parameters
    ----------
    network
        The chain in float64 on the CPU.
    sets
        The sets of P samples.
    label
        Shape (P,).
    method
        A name in `relu_attack.bounds.BOUNDS`.

    Returns
    -------
    Tensor
        Float64, shape (P,), on the labels' device; it holds in real arithmetic.
    """
    identity = torch.eye(network.outputs, dtype=torch.float64)
    bounds = []
    for index in torch.arange(len(label), device=label.device).split(_AT_ONCE):
        own = identity[label[index].cpu()]
        wrong = (identity - own[:, None])[own == 0].view(len(index), -1, network.outputs)
        bounds.append(bound_rows(network, sets.at(index).domain, wrong, method).upper.amax(1))
    return torch.cat(bounds).to(label.device)
