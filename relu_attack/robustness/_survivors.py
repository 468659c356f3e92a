"""Certification of the samples that survive an attack."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from relu_attack.network import Network
from relu_attack.result import Status
from relu_attack.robustness._attack_search import AttackSearch
from relu_attack.robustness._certificate import certified_margins
from relu_attack.robustness._incumbents import WorstPoints

RESTARTS = 10
"""Walkers for each sample, where neither their number nor a time is given, and before the certificate."""

# Share of the time for the attack before the certificate; what is left afterwards is for the samples in between.
_ATTACK = 0.5
# Share of the time for bounds by intervals, which take two passes over the network.
_INTERVALS = 0.25


def attack_and_certify(search: AttackSearch, worst: WorstPoints, network: Network) -> tuple[Status, int, Tensor]:
    """Search for the worst points, and bound the margins of the samples that no walker broke.

    Intervals bound all margins at first: they cost little, and what they prove safe is not walked for. Then walkers go
    for the others, and CROWN bounds the margins of those that survive. On a convolutional network it takes a hundred
    times the time of the walkers, so that samples that they break keep the bound of the intervals.

    What is found is left in `worst`. Returned are why the search ended, how many points the walkers visited, and upper
    bounds on the margins in real arithmetic, float64, (samples,). Where worst margins are wanted, all of them are by
    CROWN.
    """
    budget, sets, label = search.budget, search.sets, search.label
    deadline = budget.deadline
    certified = certified_margins(network, sets, label, "interval", deadline=deadline.share(_INTERVALS))
    limited = budget.time_limit is not None
    first = replace(
        search,
        restarts=RESTARTS if search.restarts is None else search.restarts,
        budget=budget.part(seconds=_ATTACK * budget.left()) if limited else budget,
    )
    status, evaluations = first.run(worst, _undecided(search, worst, certified))
    asked = worst.margin <= 0 if search.stop_at_success else torch.ones_like(worst.margin, dtype=torch.bool)
    index = torch.nonzero(asked)[:, 0]
    if len(index) and not deadline.passed:
        bounds = certified_margins(network, sets.at(index), label[index], deadline=deadline)
        certified[index] = torch.minimum(certified[index], bounds)
    if limited and (search.restarts is None or status is Status.TIME_LIMIT):
        further, waiting = replace(search, seed=search.seed + 1), _undecided(search, worst, certified)
        if deadline.passed and bool(waiting.any()):
            status = Status.TIME_LIMIT
        else:  # other walkers than before
            status, more = further.run(worst, waiting)
            evaluations += more
    if budget.interruption.happened:
        status = Status.INTERRUPTED
    return status, evaluations, certified


def _undecided(search: AttackSearch, worst: WorstPoints, certified: Tensor) -> Tensor:
    """Return for which samples there is something to search, boolean, shape (samples,)."""
    waiting = search.sets.radius > 0
    return waiting & (worst.margin <= 0) & (certified >= 0) if search.stop_at_success else waiting
