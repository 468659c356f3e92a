"""MILP Walk: local search whose steps are small mixed-integer programs over all nearby linear regions."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from relu_attack._checks import whole_number
from relu_attack._deadline import Deadline
from relu_attack.bounds import lp_tightened
from relu_attack.encodings import Ranges, neighborhood
from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.solvers.core import Answer, Incumbents, Settings, Starts, gains
from relu_attack.solvers.region_search._constraint_generation import solve_neighborhood
from relu_attack.solvers.region_search._round_robin import run_round_robin

# Factors on the number of free units after a step that took less than `_QUICK` of its time, or more than all of it.
_GROWTH, _SHRINK, _QUICK = 1.5, 0.5, 0.3
# Share of the time for tightening the ranges of the units, from which the big-M constants follow.
_TIGHTENING = 0.1


@dataclass(frozen=True, kw_only=True)
class MILPWalk:
    """Options of MILP Walk.

    Attributes
    ----------
    source
        Source of initial points, as in `LPWalk`.
    free
        Number of units that the first step leaves free: those with preactivations nearest to zero.
    step_time
        Time limit of a step in seconds, to which the number of free units adapts.
    tolerance
        Relative gain below which a step does not count as an improvement.
    solver
        As `programs.solve` takes it; it must support integer columns.
    """

    source: str = "random"
    free: int = 10
    step_time: float = 2.0
    tolerance: float = 1e-9
    solver: str = "HIGHS"

    def __post_init__(self) -> None:
        whole_number(self.free, name="free", least=1)
        if not 0 < self.step_time < math.inf:
            raise OptionError(f"step_time must be a positive number of seconds, got {self.step_time}")
        if not 0 <= self.tolerance < 1:
            raise OptionError(f"tolerance must be in [0, 1), got {self.tolerance}")


def milp_walk(problem: Problem, options: MILPWalk, settings: Settings) -> Answer:
    """Search by mixed-integer programs over the units near zero, from one initial point after the other.

    Source: Perakis, Tsiourvas, Optimizing Objective Functions from Trained ReLU Neural Networks via Sampling, arXiv
    2205.14189: units with ``|z| <= delta`` are free, the others fixed. Here delta follows from the number of free
    units, which adapts to the time of the steps.
    """
    walk = partial(_walk, options=options)
    return run_round_robin(problem, settings, walk, source=options.source)


def _walk(
    incumbents: Incumbents, index: int, settings: Settings, starts: Starts, *, options: MILPWalk
) -> Iterator[None]:
    """Take one step on problem `index` per turn, from one initial point after the other."""
    problem, budget = incumbents.single(index), settings.budget
    bounds = lp_tightened(problem, deadline=budget.deadline.share(_TIGHTENING))
    incumbents.bound(index, float(bounds.upper), certified=True)
    ranges = [(lower[0], upper[0]) for lower, upper in bounds.layers]
    domain = problem.domain.to(device="cpu", dtype=torch.float64)
    units = problem.network.units
    count = float(min(options.free, units))
    for start in starts(problem, settings):
        x = domain.round(domain.project(start[None]))[0]
        incumbents.offer(index, x[None], options.source)
        incumbents.visit(x)
        while budget.spent(incumbents.steps) is None:
            began = time.perf_counter()
            step = budget.deadline.within(options.step_time)
            best = _step(problem, ranges, x, round(count), options.solver, step)
            incumbents.step()
            seconds = time.perf_counter() - began
            gained = best is not None and gains(problem, best, x, options.tolerance)
            if best is not None and gained:
                x = best
                incumbents.offer(index, x[None], "milp_walk")
                incumbents.visit(x)
            whole = count >= units
            if best is None or seconds > options.step_time:
                exhausted, count = not gained, max(count * _SHRINK, 1.0)
            else:
                exhausted = not gained and (whole or seconds > _QUICK * options.step_time)
                count = min(count * _GROWTH, float(units)) if seconds < _QUICK * options.step_time else count
            yield
            if exhausted:
                break
        else:
            yield


def _step(problem: Problem, ranges: Ranges, x: Tensor, count: int, solver: str, deadline: Deadline) -> Tensor | None:
    """Return the best input of the regions around x that differ in the `count` units nearest to zero."""
    preactivations = [z[0] for z in problem.network.forward(x[None]).preactivations]
    layers = zip(problem.network.layers, preactivations, strict=True)
    none = torch.zeros(0, dtype=torch.float64)  # a network may have no units
    sizes = torch.cat([none, *(torch.where(layer.slope < 1, z.abs(), torch.inf) for layer, z in layers)])
    nearest = torch.zeros_like(sizes, dtype=torch.bool)
    nearest[sizes.topk(min(count, len(sizes)), largest=False).indices] = True
    nearest &= torch.isfinite(sizes)
    free = list(nearest.split([len(z) for z in preactivations]))
    hood = neighborhood(problem, x, [z > 0 for z in preactivations], free=free, ranges=ranges)
    optimum = None if deadline.passed else solve_neighborhood(hood, solver=solver, time_limit=deadline.left)
    if optimum is None:
        return None
    domain = problem.domain.to(device="cpu", dtype=torch.float64)
    return domain.round(domain.project(torch.as_tensor(optimum.point[None, : domain.inputs].copy())))[0]
