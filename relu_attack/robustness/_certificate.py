"""Certified upper bounds on margins."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds import bound_rows
from relu_attack.network import Network
from relu_attack.robustness._samples import PerturbationSets

# Sets that are bounded at once, at most, and numbers in their inputs: a tenth of a second of one core.
_AT_ONCE, _NUMBERS = 64, 2**17


def certified_margins(
    network: Network, sets: PerturbationSets, label: Tensor, method: str = "crown", *, deadline: Deadline = NEVER
) -> Tensor:
    """Bound the largest margin of any wrong class over each set from above.

    The result is float64, (samples,), on the labels' device, and holds in real arithmetic. Sets that are not reached by
    the deadline have the bounds of intervals, or infinite ones; the first ones are bounded in any case.
    """
    identity = torch.eye(network.outputs, dtype=torch.float64)
    size, bounds = max(min(_NUMBERS // network.inputs, _AT_ONCE), 1), list[Tensor]()
    for index in torch.arange(len(label), device=label.device).split(size):
        if bounds and deadline.passed:
            bounds.append(torch.full((len(index),), torch.inf, dtype=torch.float64))
            continue
        own = identity[label[index].cpu()]
        part = deadline.share(len(index) / (len(label) - int(index[0])))
        wrong = (identity - own[:, None])[own == 0].view(len(index), -1, network.outputs)
        bounds.append(bound_rows(network, sets.at(index).domain, wrong, method, deadline=part).upper.amax(1))
    return torch.cat(bounds).to(label.device)
