"""Certified radii: by bounds of many balls at once, then by branch and bound of one ball after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack._deadline import Deadline
from relu_attack.bounds import bound_rows
from relu_attack.domains import Domain
from relu_attack.network import Network
from relu_attack.result import Status
from relu_attack.robustness._certificate import certified_margins
from relu_attack.robustness._samples import PerturbationSets
from relu_attack.rounding import down
from relu_attack.solvers import Budget, decide

# Bounds of a sample at most, and the gap of the radii between the last two of them, as a share of the larger one.
_BOUNDS, _GAP = 8, 0.02
# Where the root of a secant is kept, as shares of the bracket: each bound shortens it.
_LEAST, _MOST = 0.1, 0.9

Sets = Callable[[Tensor, Tensor], PerturbationSets]
"""Builds the sets of some samples, given by indices, of radii of their own."""


def bounded_radii(
    network: Network,
    sets: Sets,
    index: Tensor,
    label: Tensor,
    upper: Tensor,
    clean: Tensor,
    wanted: Tensor,
    deadline: Deadline,
) -> Tensor:
    """Return radii within which CROWN proves that no input breaks some samples, float64, (samples of `index`,).

    The first bounds are those of the `wanted` radii; where they do not prove enough, a secant of the margin, kept
    within the bracket, finds the largest radius that is proven.

    Parameters
    ----------
    network
        The chain in float64.
    sets, index, label
        The question; labels (samples of `index`,).
    upper
        Radii at which the samples are broken, finite.
    clean
        Margins of the samples themselves.
    wanted
        Radii that are enough, below `upper`.
    deadline
        When no more bounds are begun.
    """
    low, high = torch.zeros_like(upper), upper.clone()
    at_low, at_high = clean.clone(), torch.full_like(upper, torch.inf)
    waiting = torch.nonzero((clean < 0) & (upper > 0))[:, 0]
    for turn in range(_BOUNDS):
        if len(waiting) == 0 or deadline.passed:
            break
        a, b, f, g = low[waiting], high[waiting], at_low[waiting], at_high[waiting]
        share = torch.where(torch.isfinite(g), -f / (g - f), 0.5).nan_to_num(0.5).clamp(_LEAST, _MOST)
        radius = wanted[waiting] if turn == 0 else a + share * (b - a)
        margin = certified_margins(network, sets(index[waiting], radius), label[waiting], deadline=deadline)
        proven = margin < 0
        low[waiting], high[waiting] = torch.where(proven, radius, a), torch.where(proven, b, radius)
        at_low[waiting], at_high[waiting] = torch.where(proven, margin, f), torch.where(proven, g, margin)
        enough = (low >= wanted) | (high - low <= _GAP * high)
        waiting = waiting[~enough[waiting]]
    return low


@dataclass(frozen=True)
class Proof:
    """Answer on one ball: whether no input of it breaks the sample, and an input of the chain that does, or None."""

    proven: bool
    counterexample: Tensor | None = None


def prove(network: Network, domain: Domain, label: int, budget: Budget) -> Proof:
    """Prove that a label has the largest logit on one set, or find an input where the chain answers another class.

    CROWN bounds all classes; branch and bound decides those that are left, the closest first. A class that it leaves
    open ends the search: the others would not prove the set. Ctrl-C is a KeyboardInterrupt.
    """
    exact = domain.to(device="cpu", dtype=torch.float64).within(budget.deadline)
    identity = torch.eye(network.outputs, dtype=torch.float64)
    rows = identity - identity[label]
    bounds = bound_rows(network, exact, rows, "crown", deadline=budget.deadline).upper[0]
    bounds[label] = -torch.inf
    pending = [place for place in bounds.argsort(descending=True).tolist() if float(bounds[place]) >= 0]
    for place, target in enumerate(pending):
        left = budget.left()
        if left == 0:
            return Proof(False)
        part = budget.part(seconds=left / (len(pending) - place))
        answer = decide(network, exact, rows[target][None], torch.zeros(1, dtype=torch.float64), budget=part)
        if answer.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        if answer.value >= 0:
            return Proof(False, answer.x.clone())
        if not answer.upper < 0:
            return Proof(False)
    return Proof(True)


def wanted_radius(upper: Tensor, tolerance: float) -> Tensor:
    """Return the least radii that are within a tolerance of `upper`, as a share of it, rounded down from just above."""
    return torch.minimum(upper * (1 - tolerance * (1 - 2.0**-20)), down(upper))
