"""How many walkers there is time and memory for: where one step of all of them would take much, fewer go."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import torch

from relu_attack.errors import MemoryLimitError
from relu_attack.solvers.ascent._problem import ScaledProblem
from relu_attack.solvers.core import Budget

# Products of a step below which nothing is measured: less than a tenth of a second of one core.
_QUICK = 2**31
# Share of the time that is left which a step may take.
_SHARE = 0.05
# Points of a walker that are alive at once.
_KEPT_POINTS = 16
# Most points that are taken through the network to see what one costs, and passes that a step is worth.
_MAX_POINTS, _PASSES = 16, 3


def affordable(scaled: ScaledProblem, budget: Budget) -> ScaledProblem | None:
    """Return the problem with as many walkers as a step of all of them leaves time for.

    Parameters
    ----------
    scaled
        The problem, with the walkers that are wanted.
    budget
        What is left. Without a time limit all that fit into memory go, so that the same search ends with the same
        answer.

    Returns
    -------
    ScaledProblem or None
        At most as many walkers as wanted; None where not even one for each problem could take a step in time.

    Raises
    ------
    MemoryLimitError
        Where not even one for each problem fits into memory.
    """
    scaled = replace(scaled, restarts=_fitting(scaled, budget.memory_limit))
    left = budget.left()
    if math.isinf(left) or _PASSES * scaled.network.multiply_adds * scaled.batch < _QUICK:
        return scaled
    if left == 0:
        return None
    once = _seconds_a_point(scaled) * scaled.problems  # for one walker of each problem
    if once > left / 2:
        return None
    return replace(scaled, restarts=max(min(int(_SHARE * left / once), scaled.restarts), 1))


def _fitting(scaled: ScaledProblem, limit: float) -> int:
    """Return how many walkers of each problem fit into a limit of bytes, at most those that are wanted."""
    network, problems = scaled.network, scaled.problems
    numbers = _KEPT_POINTS * network.inputs + 3 * network.units + network.outputs
    each = numbers * torch.finfo(network.dtype).bits // 8 * problems
    restarts = min(scaled.restarts, int(min(limit, 2.0**62) // each))
    if restarts < 1:
        raise MemoryLimitError(
            f"a walker for each of {problems} problems takes {each / 1e9:.1f} GB, and memory_limit is "
            f"{limit / 1e9:.1f} GB; give fewer sets at a time"
        )
    return restarts


def _seconds_a_point(scaled: ScaledProblem) -> float:
    """Return what a step of one walker takes, measured on a few points."""
    network = scaled.network
    points = max(min(_QUICK // max(network.multiply_adds, 1), _MAX_POINTS), 1)
    x = torch.zeros(points, network.inputs, dtype=network.dtype, device=network.device)
    began = time.perf_counter()
    for layer in network.layers:
        x = layer.activate(layer.affine.apply(x))
    bool(torch.isfinite(x).all())  # waits for the device
    return max(_PASSES * (time.perf_counter() - began) / points, 1e-9)
