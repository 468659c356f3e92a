"""Recombination: the weakest walkers begin anew between the best ones."""

from __future__ import annotations

import torch
from torch import Tensor

from relu_attack.solvers.walk import Walk


@torch.inference_mode()
def recombine(walk: Walk, share: float, generator: torch.Generator) -> None:
    """Let a share of the walkers of each problem, the weakest, begin anew where two of the best are mixed.

    Each child takes every coordinate from one of its parents, from the first with a probability of its own. Parents
    come from the best quarter, the better ones more often.

    Parameters
    ----------
    walk
        The walkers.
    share
        Share of them that begin anew, rounded down.
    generator
        Source of randomness, on the walk's device.
    """
    prepared = walk.prepared
    points, values = walk.best_of_walkers()
    problems, restarts, inputs = points.shape
    order = values.argsort(1, descending=True)
    count, elite = int(share * restarts), max(restarts // 4, 1)
    if count == 0:
        return
    device = points.device

    def parents() -> Tensor:
        # The better the walker, the likelier: the smaller of two draws.
        drawn = torch.randint(elite, (2, problems, count), generator=generator, device=device).amin(0)
        places = order.gather(1, drawn)
        return points.gather(1, places[:, :, None].expand(-1, -1, inputs))

    mother, father = parents(), parents()
    likely = torch.rand(problems, count, 1, generator=generator, device=device)
    mixed = torch.rand(problems, count, inputs, generator=generator, device=device) < likely
    weakest = order[:, restarts - count :]
    chosen = torch.zeros(problems, restarts, dtype=torch.bool, device=device)
    chosen.scatter_(1, weakest, True)
    rows = prepared.by_problem(walk.x).clone()
    rows.scatter_(1, weakest[:, :, None].expand(-1, -1, inputs), torch.where(mixed, mother, father))
    walk.restart(chosen.view(-1), prepared.project(rows.view(prepared.batch, -1)))
