"""LP Walk: from linear region to linear region, each left at its best point."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from relu_attack.encodings import neighborhood
from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.solvers.core import Answer, Incumbents, Settings, Starts, gains, rank
from relu_attack.solvers.region_search._constraint_generation import LocalOptimum, solve_neighborhood
from relu_attack.solvers.region_search._round_robin import walk_in_turns

# Shares of the way to the set's end at which the edges that leave a region are tried.
_PROBES = (1e-4, 1e-3, 1e-2, 1e-1)


@dataclass(frozen=True, kw_only=True)
class LPWalkOptions:
    """Options of LP Walk.

    Attributes
    ----------
    source
        Where walks begin: ``"random"`` (as `starts` says), ``"gradient_walk"`` (the ends of a gradient walk) or
        ``"relaxation"`` (the relaxation of the whole problem, with units held to their other side).
    tolerance
        Relative gain below which a linear program counts as no gain.
    flips
        Most walls of a region whose other side is solved before its best point counts as a local maximum.
    solver
        As `programs.solve` takes it.
    """

    source: str = "random"
    tolerance: float = 1e-9
    flips: int = 1000
    solver: str = "HIGHS"

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1:
            raise OptionError(f"tolerance must be in [0, 1), got {self.tolerance}")
        if not isinstance(self.flips, int) or self.flips < 0:
            raise OptionError(f"flips must be a whole number of at least 0, got {self.flips!r}")


@dataclass(frozen=True, eq=False)
class _Stand:
    """The best point of a region, its pattern, and the program that found it."""

    x: Tensor
    pattern: list[Tensor]
    optimum: LocalOptimum

    @property
    def holding(self) -> list[int]:
        """Units whose walls hold the walk back, those that cost most first."""
        order = np.argsort(-self.optimum.multipliers, kind="stable")
        return [int(self.optimum.units[place]) for place in order if self.optimum.multipliers[place] > 0]


@dataclass(eq=False)
class Climber:
    """Climbs from region to region on one problem, and remembers the activation patterns that it has solved.

    Attributes
    ----------
    problem
        A single problem over a polyhedral set.
    options
        Options of LP Walk.
    left
        Returns the seconds that are left.
    on_program
        Called after each program with the input (inputs,) that it gave.
    """

    problem: Problem
    options: LPWalkOptions
    left: Callable[[], float]
    on_program: Callable[[Tensor], object]
    _seen: set[bytes] = field(default_factory=set)

    def climb(self, x: Tensor) -> Tensor:
        """Return a local maximum (inputs,) above x (inputs,), float64, or the best point when the time runs out.

        From the best point of a region the walk goes on along the edges that cross one wall each, where one of them
        gains; else to the other side of one wall after the other, by their multipliers. A wall whose multiplier is 0
        holds nothing back. A walk that comes to a region that was solved before ends.
        """
        x = self._inside(x[None])[0]
        stand = self._solve(x, self._pattern(x), ())
        while stand is not None and self.left() > 0:
            x = stand.x
            probe = self._best_probe(stand)
            if probe is not None:
                x = probe
                stand = self._solve(probe, self._pattern(probe), stand.holding)
            else:
                stand = self._cross(stand)
        return x if stand is None else stand.x

    def _cross(self, stand: _Stand) -> _Stand | None:
        """Try the other side of each wall that holds the walk back; return the first one that gains."""
        for unit in stand.holding[: self.options.flips]:
            if self.left() <= 0:
                return None
            other = self._solve(stand.x, self._flipped(stand.pattern, unit), stand.holding)
            if other is not None and self._is_better(other.x, stand.x):
                return other
        return None

    def _solve(self, x: Tensor, pattern: list[Tensor], known: Sequence[int]) -> _Stand | None:
        """Go from x to the best point of the region of a pattern; None if it was solved before or cannot be solved."""
        key = hashlib.sha1(torch.cat(pattern).numpy().tobytes()).digest() if pattern else b""
        if key in self._seen:
            return None
        self._seen.add(key)
        self.problem.domain.require_linear_rows()  # of some sets the rows alone take long
        if self.left() <= 0:
            return None
        hood = neighborhood(self.problem, x, pattern)
        if self.left() <= 0:
            return None
        optimum = solve_neighborhood(hood, solver=self.options.solver, time_limit=self.left(), known=known)
        if optimum is None:
            return None
        best = self._inside(torch.as_tensor(optimum.point[None, : self.problem.network.inputs].copy()))[0]
        self.on_program(best)
        return _Stand(best if self._is_better(best, x) else x, pattern, optimum)

    def _best_probe(self, stand: _Stand) -> Tensor | None:
        """Try the edges from a vertex of a region that each cross one of its walls; return a point that gains."""
        inputs, x = self.problem.network.inputs, stand.x
        tight = stand.optimum.multipliers > 0
        if not tight.any():
            return None
        rows = torch.as_tensor(stand.optimum.matrix[tight][:, :inputs])
        box = self.problem.domain.bounding_box()
        lower, upper = box.lower.double().cpu(), box.upper.double().cpu()
        free = (x > lower) & (x < upper)
        edges = torch.zeros(int(tight.sum()), inputs, dtype=torch.float64)
        edges[:, free] = torch.linalg.pinv(rows[:, free]).T
        size = edges.abs().amax(1, keepdim=True)
        edges = edges / torch.where(size > 0, size, 1.0) * (upper - lower).amax()
        points = self._inside(torch.cat([x + share * edges for share in _PROBES]))
        values, violations = (entry[0] for entry in self.problem.evaluate(points[None]))
        best = points[int(rank(values, violations).argmax())]
        return best if self._is_better(best, x) else None

    def _is_better(self, one: Tensor, other: Tensor) -> bool:
        return gains(self.problem, one, other, self.options.tolerance)

    def _inside(self, points: Tensor) -> Tensor:
        domain = self.problem.domain.to(device="cpu", dtype=torch.float64)
        return domain.round(domain.project(points))

    def _pattern(self, x: Tensor) -> list[Tensor]:
        return [z[0] > 0 for z in self.problem.network.forward(x[None]).preactivations]

    def _flipped(self, pattern: list[Tensor], unit: int) -> list[Tensor]:
        flat = torch.cat(pattern)
        flat[unit] = ~flat[unit]
        return list(flat.split([len(side) for side in pattern]))


def lp_walk(problem: Problem, options: LPWalkOptions, settings: Settings) -> Answer:
    """Walk over linear regions from one start after the other, until the budget is spent.

    Source: Tong, Cai, Serra, Optimization over Trained Neural Networks: Taking a Relaxing Walk, arXiv 2401.03451. Steps
    are linear programs. What is ours: walls are generated as they are needed; at the best point of a region the edges
    of the vertex are tried before the neighbouring regions are.
    """
    walk = partial(_walk, options=options)
    return walk_in_turns(problem, settings, walk, source=options.source)


def _walk(
    incumbents: Incumbents, index: int, settings: Settings, starts: Starts, *, options: LPWalkOptions
) -> Iterator[None]:
    """Climb on problem `index` from one start after the other, one a turn."""
    budget, problem = settings.budget, incumbents.single(index)

    def left() -> float:
        return 0.0 if budget.spent(incumbents.steps) is not None else budget.left()

    def count(x: Tensor) -> None:
        incumbents.offer(index, x[None], "lp_walk")
        incumbents.visit(x)
        incumbents.step()

    climber = Climber(problem, options, left, count)
    for start in starts(problem, settings):
        incumbents.offer(index, start[None], options.source)
        incumbents.visit(start)
        before = incumbents.steps
        climber.climb(start)
        # A start in a region that was solved counts as a step, or steps might never end.
        if incumbents.steps == before and left() > 0:
            incumbents.step()
        yield


def climb(problem: Problem, x: Tensor, seconds: float) -> Tensor:
    """Return the local maximum (inputs,) above an input of a single problem, or the best point after some seconds."""
    deadline = time.perf_counter() + seconds
    return Climber(problem, LPWalkOptions(), lambda: deadline - time.perf_counter(), lambda x: None).climb(x)
