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


class NeighborhoodSearch:
    """Steps to the best input of nearby regions on one problem, over neighbourhoods that adapt to the time of a step.

    Parameters
    ----------
    problem
        A single problem over a polyhedral set.
    ranges
        Bounds of the preactivations of each layer, from which the big-M constants follow.
    options
        Options of MILP Walk.

    Attributes
    ----------
    exhausted
        Whether a further step from the same input would gain nothing in its time.
    """

    def __init__(self, problem: Problem, ranges: Ranges, options: MILPWalk) -> None:
        self._problem, self._ranges, self._options = problem, ranges, options
        self._units = problem.network.units
        self._count = float(min(options.free, self._units))
        self.exhausted = False

    def step(self, x: Tensor, deadline: Deadline) -> Tensor:
        """Return the best input (inputs,) of the regions around x, float64, or x itself where none gains."""
        options, began = self._options, time.perf_counter()
        limit = deadline.within(options.step_time)
        best = _step(self._problem, self._ranges, x, round(self._count), options.solver, limit)
        seconds = time.perf_counter() - began
        gained = best is not None and gains(self._problem, best, x, options.tolerance)
        whole = self._count >= self._units
        quick = seconds < _QUICK * options.step_time
        if best is None or seconds > options.step_time:
            self.exhausted, self._count = not gained, max(self._count * _SHRINK, 1.0)
        else:
            self.exhausted = not gained and (whole or not quick)
            self._count = min(self._count * _GROWTH, float(self._units)) if quick else self._count
        return best if best is not None and gained else x


def _walk(
    incumbents: Incumbents, index: int, settings: Settings, starts: Starts, *, options: MILPWalk
) -> Iterator[None]:
    """Take one step on problem `index` per turn, from one initial point after the other."""
    problem, budget = incumbents.single(index), settings.budget
    bounds = lp_tightened(problem, deadline=budget.deadline.share(_TIGHTENING))
    incumbents.bound(index, float(bounds.upper), certified=True)
    search = NeighborhoodSearch(problem, [(lower[0], upper[0]) for lower, upper in bounds.layers], options)
    domain = problem.domain.to(device="cpu", dtype=torch.float64)
    for start in starts(problem, settings):
        x = domain.round(domain.project(start[None]))[0]
        incumbents.offer(index, x[None], options.source)
        incumbents.visit(x)
        while budget.spent(incumbents.steps) is None:
            best = search.step(x, budget.deadline)
            incumbents.step()
            if best is not x:
                x = best
                incumbents.offer(index, x[None], "milp_walk")
                incumbents.visit(x)
            yield
            if search.exhausted:
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
