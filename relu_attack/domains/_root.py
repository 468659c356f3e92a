"""The root of a monotone function of one multiplier, for a batch of multipliers at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Evaluate = Callable[[Tensor], "tuple[Tensor, Tensor]"]


def find_root(evaluate: Evaluate, *, feasible: Tensor, infeasible: Tensor, tolerance: Tensor) -> Tensor:
    """Find where a monotone excess crosses zero, by Newton steps inside a shrinking bracket.

    `evaluate` maps multipliers (...) to the excess there, and to a proposal for the root, which may be anything: a
    finite one is used when it falls into the bracket. The excess is at most 0 at `feasible`; where it is at most 0 at
    `infeasible` as well, that is the answer. An excess up to `tolerance`, up or down, counts as zero. Each third step
    bisects, so a poor proposal costs a factor of three in steps at most, and the root is always found to the resolution
    of the dtype.
    """
    steps = 3 * (torch.finfo(infeasible.dtype).bits + 16)
    position = infeasible
    for step in range(steps):
        excess, proposal = evaluate(position)
        inside = excess <= 0
        feasible, infeasible = torch.where(inside, position, feasible), torch.where(inside, infeasible, position)
        low, high = torch.minimum(feasible, infeasible), torch.maximum(feasible, infeasible)
        usable = (proposal >= low) & (proposal <= high) & (proposal != infeasible)
        if step % 3 == 2:
            usable = torch.zeros_like(usable)
        following = torch.where(usable, proposal, low + (high - low) / 2)
        settled = (excess.abs() <= tolerance) | (following == position) | (feasible == infeasible)
        position = torch.where(settled, position, following)
        if bool(settled.all()):
            break
    return position
