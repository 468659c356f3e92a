"""The ascents of an attack by name: compositions of a step rule and a restart policy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from relu_attack.network import Network
from relu_attack.robustness._samples import PerturbationSets
from relu_attack.solvers import (
    ANNEALED_ASCENT,
    PPGA,
    PPGALR,
    AscentProblem,
    GradientWalk,
    TargetedMargin,
    Walk,
    steepest_ascent,
)

STEEPEST = "steepest_ascent"
"""The ascent that plans its steps for their number."""

_WALKS: Mapping[str, Walk] = MappingProxyType(
    {
        "annealed_ascent": ANNEALED_ASCENT,
        "gradient_walk": Walk.of(GradientWalk()),
        "ppga": Walk.of(PPGA()),
        # An attack has some tens of steps: walkers are looked at twice as often as in a long search.
        "ppga_lr": Walk.of(PPGALR(window=5)),
    }
)

ASCENTS = (STEEPEST, *_WALKS)
"""The ascents of an attack by name."""


def find_ascent(name: str, steps: int) -> Walk:
    """Return an ascent of an attack, for a number of steps."""
    return steepest_ascent(steps) if name == STEEPEST else _WALKS[name]


def attack_problem(network: Network, sets: PerturbationSets, label: Tensor, classes: Tensor) -> AscentProblem:
    """Return the problem of raising the margins of chosen classes over the sets of P samples.

    `classes`, boolean, (samples, walkers, classes), are those of each walker.
    """
    samples, walkers, _ = classes.shape
    return AscentProblem(
        network=network,
        domain=sets.domain,
        widths=sets.widths,
        problems=samples,
        restarts=walkers,
        target=TargetedMargin(label.to(network.device), classes.to(network.device), network.dtype),
    )
