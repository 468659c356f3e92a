"""Where the walks over programs begin: random points, or the relaxation with units held to their other side."""

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
from relu_attack.solvers.ascent import PPGALROptions, ScaledProblem, ppga_lr, starting_points
from relu_attack.solvers.core import Interrupted, Settings, Starts


def random_starts(problem: Problem, settings: Settings) -> Iterator[Tensor]:
    """Yield the user's points, then points of the kind that `settings.starts` names, without end."""
    scaled = ScaledProblem.create(
        problem, restarts=settings.restarts, device=torch.device("cpu"), dtype=torch.float64, normalized=True
    )
    generator = torch.Generator().manual_seed(settings.seed)
    x0, seed = settings.x0, settings.seed
    while True:
        batch = starting_points(scaled, kind=settings.starts, x0=x0, generator=generator, seed=seed)
        points = scaled.to_user(batch[None])[0].to("cpu", torch.float64)
        # The user's points come first; of the others a mixture, in no order.
        order = torch.arange(len(points)) if x0 is not None else torch.randperm(len(points), generator=generator)
        yield from points[order]
        x0, seed = None, seed + 1


def relaxation_starts(problem: Problem, settings: Settings) -> Iterator[Tensor]:
    """Yield the solution of the relaxation, then those with one unit held to the other side, then random points.

    Units are drawn in proportion to ``|z_relaxation - z|``, how far the relaxation's preactivation is from that of its
    input. Source: Relax-and-Walk, arXiv 2401.03451; how a unit is held, by its range, is our reading.
    """
    with suppress(DoesNotFitError):
        yield from _relaxed_starts(problem, settings)
    yield from random_starts(problem, settings)


def _relaxed_starts(problem: Problem, settings: Settings) -> Iterator[Tensor]:
    """Yield the solutions of the relaxations; raise `DoesNotFitError` where there is no time for another one."""
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
            sides = _held(ranges, unit, active=not bool(active[unit]))
            held = encode(problem, sides, relaxed=True, deadline=deadline)
            point = _solved(held.program, deadline)
            if point is not None:
                yield held.input(point)


def _solved(program: Program, deadline: Deadline) -> NDArray[np.float64] | None:
    deadline.require()
    left = deadline.left
    return solve(program, time_limit=None if math.isinf(left) else left).x


def _held(ranges: Ranges, unit: int, *, active: bool) -> Ranges:
    """Return ranges in which one unit, counted over all layers, cannot be on the other side."""
    sizes = [len(lower) for lower, _ in ranges]
    lower, upper = (torch.cat([side[index] for side in ranges]) for index in range(2))
    if active:
        lower[unit] = 0.0
    else:
        upper[unit] = 0.0
    return list(zip(lower.split(sizes), upper.split(sizes), strict=True))


def _walked_starts(problem: Problem, settings: Settings) -> Iterator[Tensor]:
    """Yield the ends of a gradient walk in a tenth of the time that is left, or 200 steps, then random points."""
    left = settings.budget.left()
    part = settings.budget.part(seconds=left / 10) if math.isfinite(left) else settings.budget.part(iterations=200)
    own = replace(settings, budget=part, progress=False, record_path=False)
    answer = ppga_lr(problem, PPGALROptions(), own)
    if answer.status is Status.INTERRUPTED:
        raise Interrupted(answer.candidates[0, 0])
    yield from answer.candidates[0].to("cpu", torch.float64).clone()
    yield from random_starts(problem, replace(settings, x0=None))


SOURCES: dict[str, Starts] = {
    "random": random_starts,
    "gradient_walk": _walked_starts,
    "relaxation": relaxation_starts,
}
"""Where the walks over programs begin, by name."""
