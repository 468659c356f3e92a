"""Initial points of the searches over linear regions: random, final points of a gradient walk, or from relaxations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relu_attack._deadline import Deadline, DoesNotFitError
from relu_attack.bounds import bound_rows
from relu_attack.encodings import Ranges, encode
from relu_attack.problem import Problem
from relu_attack.programs import Program, solve
from relu_attack.result import Status
from relu_attack.solvers.ascent import PPGALR, ScaledProblem, ppga_lr, starting_points
from relu_attack.solvers.core import Interrupted, Settings, Starts


def random_starts(problem: Problem, settings: Settings) -> Iterator[Tensor]:
    """Yield the user's points, then points of the kind `settings.starts`, without end."""
    scaled = ScaledProblem.create(
        problem, restarts=settings.restarts, device=torch.device("cpu"), dtype=torch.float64, normalized=True
    )
    generator = torch.Generator().manual_seed(settings.seed)
    x0, seed = settings.x0, settings.seed
    while True:
        batch = starting_points(scaled, kind=settings.starts, x0=x0, generator=generator, seed=seed)
        points = scaled.to_user(batch[None])[0].to("cpu", torch.float64)
        # The user's points come first, in their order; the others are shuffled, so that kinds alternate.
        order = torch.arange(len(points)) if x0 is not None else torch.randperm(len(points), generator=generator)
        yield from points[order]
        x0, seed = None, seed + 1


def relaxation_starts(problem: Problem, settings: Settings) -> Iterator[Tensor]:
    """Yield the optimum of the relaxation, then those with one unit fixed to its other side, then random points.

    Units are drawn in proportion to ``|z_relaxation - z|``, the distance of the relaxation's preactivation from the
    network's at the same input. Source: Relax-and-Walk, arXiv 2401.03451; fixing a unit by its range is our reading.
    """
    with suppress(DoesNotFitError):
        yield from _relaxed_starts(problem, settings)
    yield from random_starts(problem, settings)


def _relaxed_starts(problem: Problem, settings: Settings) -> Iterator[Tensor]:
    """Yield the solutions of the relaxations; raise `DoesNotFitError` when no time is left for another."""
    deadline = settings.budget.deadline
    bounds = bound_rows(problem.network, problem.domain, problem.objective, "interval", deadline=deadline)
    deadline.require()
    ranges = [(lower[0], upper[0]) for lower, upper in bounds.layers]
    encoding = encode(problem, ranges, relaxed=True, deadline=deadline)
    point = _solved(encoding.program, deadline)
    if point is not None:
        x = encoding.input(point)
        yield x
        preactivations = problem.network.forward(x[None]).preactivations
        sizes = []
        for z, columns in zip(preactivations, encoding.preactivation_columns, strict=True):
            relaxed = torch.as_tensor(point)[torch.as_tensor(columns)]
            sizes.append(torch.where(torch.as_tensor(columns) >= 0, (relaxed - z[0]).abs(), 0.0))
        active = torch.cat([z[0] > 0 for z in preactivations])
        discrepancy, generator = torch.cat(sizes), torch.Generator().manual_seed(settings.seed)
        while bool((discrepancy > 0).any()):
            unit = int(torch.multinomial(discrepancy, 1, generator=generator))
            discrepancy[unit] = 0.0
            sides = _fixed(ranges, unit, active=not bool(active[unit]))
            restricted = encode(problem, sides, relaxed=True, deadline=deadline)
            point = _solved(restricted.program, deadline)
            if point is not None:
                yield restricted.input(point)


def _solved(program: Program, deadline: Deadline) -> NDArray[np.float64] | None:
    deadline.require()
    left = deadline.left
    return solve(program, time_limit=None if math.isinf(left) else left).x


def _fixed(ranges: Ranges, unit: int, *, active: bool) -> Ranges:
    """Return ranges with one unit, counted over all layers, fixed to one side."""
    sizes = [len(lower) for lower, _ in ranges]
    lower, upper = (torch.cat([side[index] for side in ranges]) for index in range(2))
    if active:
        lower[unit] = 0.0
    else:
        upper[unit] = 0.0
    return list(zip(lower.split(sizes), upper.split(sizes), strict=True))


def _walked_starts(problem: Problem, settings: Settings) -> Iterator[Tensor]:
    """Yield the final points of a gradient walk (a tenth of the remaining time, or 200 steps), then random points."""
    left = settings.budget.left()
    part = settings.budget.part(seconds=left / 10) if math.isfinite(left) else settings.budget.part(iterations=200)
    own = replace(settings, budget=part, progress=False, record_path=False)
    answer = ppga_lr(problem, PPGALR(), own)
    if answer.status is Status.INTERRUPTED:
        raise Interrupted(answer.candidates[0, 0])
    yield from answer.candidates[0].to("cpu", torch.float64).clone()
    yield from random_starts(problem, replace(settings, x0=None))


SOURCES: dict[str, Starts] = {
    "random": random_starts,
    "gradient_walk": _walked_starts,
    "relaxation": relaxation_starts,
}
"""Sources of initial points, by name."""
