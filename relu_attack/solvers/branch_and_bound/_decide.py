"""Decision problem of verification: whether the minimum of linear functions of the outputs reaches zero on a set."""

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
from relu_attack.solvers.branch_and_bound._search import TreeSearch
from relu_attack.solvers.core import Budget

_BATCH, _PERIOD = 256, 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """Answer to whether ``min(matrix f(x) + offset)`` reaches 0 on a set.

    `value` is the minimum over the rows at the best point `x`, (inputs,), by a float64 forward pass; `upper` holds in
    real arithmetic; `regions` counts the nodes that were bounded. The status is OPTIMAL when decided; else `search` can
    be resumed.
    """

    x: Tensor
    value: float
    upper: float
    regions: int
    status: Status
    search: TreeSearch | None = None


@torch.inference_mode()
def decide(
    network: Network,
    domain: Domain,
    matrix: Tensor,
    offset: Tensor,
    *,
    budget: Budget,
    progress: bool = False,
    resume: Decision | None = None,
) -> Decision:
    """Decide whether ``min(matrix f(x) + offset)`` reaches 0 somewhere in a set.

    It is decided when `value` is at least 0 or `upper` below 0. The matrix is (rows, outputs), the offset (rows,), both
    float64. An iteration of the budget is a batch of nodes. `resume` is an undecided answer to the same question, from
    which the search goes on.
    """
    below = -tiny(torch.float64)
    if resume is not None and resume.search is not None:
        search = resume.search
        search.deadline = budget.deadline
    else:
        search = TreeSearch(
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
        while search.open and not search.full and not search.late and search.value < 0 and status is None:
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
        status=Status.OPTIMAL if decided else status or (Status.TIME_LIMIT if search.late else Status.FEASIBLE),
        search=None if decided else search,
    )
