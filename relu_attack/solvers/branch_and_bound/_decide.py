"""Verification as a search: whether the smallest of some rows over the outputs reaches zero somewhere in a set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack._progress import progress_bar
from relu_attack.domains import Domain
from relu_attack.network import Network
from relu_attack.result import Status
from relu_attack.rounding import tiny
from relu_attack.solvers.branch_and_bound._min_of_rows import MinOfRows
from relu_attack.solvers.branch_and_bound._search import BoxSearch
from relu_attack.solvers.core import Budget

_BATCH, _PERIOD = 256, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """Whether ``min(matrix f(x) + offset)`` reaches 0 on a set.

    Attributes
    ----------
    x
        The best point that was found, in the set, shape (inputs,).
    value
        The smallest row there, by a float64 forward pass.
    upper
        No point of the set has more, in real arithmetic.
    regions
        Boxes that were bounded.
    status
        OPTIMAL when it is decided; else why the search ended.
    """

    x: Tensor
    value: float
    upper: float
    regions: int
    status: Status


@torch.inference_mode()
def decide(
    network: Network,
    domain: Domain,
    matrix: Tensor,
    offset: Tensor,
    *,
    budget: Budget,
    progress: bool = False,
) -> Decision:
    """Decide whether ``min(matrix f(x) + offset)`` reaches 0 somewhere in a set.

    Parameters
    ----------
    network
        The chain in float64.
    domain
        One set.
    matrix, offset
        Float64, shape (rows, outputs) and (rows,).
    budget
        What the search may spend; an iteration is a batch of boxes.
    progress
        Whether to show open boxes, the best value and the bound.

    Returns
    -------
    Decision
        Decided when its `value` is at least 0 or its `upper` below 0.
    """
    below = -tiny(torch.float64)
    search = BoxSearch(
        network,
        domain,
        MinOfRows(matrix, offset),
        closes=lambda value: below,
        batch=_BATCH,
        period=_PERIOD,
        deadline=budget.deadline,
    )
    steps, status = 0, None
    with progress_bar(desc="boxes", unit="batch", shown=progress) as bar:
        while search.open and not search.full and search.value < 0 and status is None:
            search.step()
            steps += 1
            status = budget.spent(steps)
            bar.set_postfix(open=search.open, best=f"{search.value:.4g}", bound=f"{search.upper:.4g}", refresh=False)
            bar.update()
    decided = search.value >= 0 or search.upper < 0
    return Decision(
        x=search.x,
        value=search.value,
        upper=search.upper,
        regions=search.regions,
        status=Status.OPTIMAL if decided else status or Status.FEASIBLE,
    )
