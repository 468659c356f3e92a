"""The ascents of an attack by name: compositions of a step rule and a restart policy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from relu_attack.network import Network
from relu_attack.robustness._samples import PerturbationSets
from relu_attack.solvers import (
    PPGA,
    PPGALR,
    Ascent,
    AscentProblem,
    GradientWalk,
    RandomRestart,
    SteepestStep,
    TargetedMargin,
    annealed_ascent,
    compose,
)

Compose = Callable[[AscentProblem, Tensor, torch.Generator, int], Ascent]
"""Composes an ascent from starts (batch, inputs), a source of randomness and the number of steps."""


def _steepest_ascent(problem: AscentProblem, starts: Tensor, generator: torch.Generator, steps: int) -> Ascent:
    return Ascent(problem, starts, SteepestStep(steps), RandomRestart(), generator, window=steps)


def _annealed_ascent(problem: AscentProblem, starts: Tensor, generator: torch.Generator, steps: int) -> Ascent:
    return annealed_ascent(problem, starts, generator)


def _walk(options: GradientWalk) -> Compose:
    def composed(problem: AscentProblem, starts: Tensor, generator: torch.Generator, steps: int) -> Ascent:
        return compose(problem, starts, options, generator)

    return composed


ASCENTS: dict[str, Compose] = {
    "steepest_ascent": _steepest_ascent,
    "annealed_ascent": _annealed_ascent,
    "gradient_walk": _walk(GradientWalk()),
    "ppga": _walk(PPGA()),
    # An attack has some tens of steps: walkers are looked at twice as often as in a long search.
    "ppga_lr": _walk(PPGALR(window=5)),
}


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
