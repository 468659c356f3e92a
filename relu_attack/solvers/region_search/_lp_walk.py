"""LP Walk: local search over linear regions, each solved by a linear program."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from relu_attack._checks import whole_number
from relu_attack.encodings import neighborhood
from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.solvers.core import Answer, Incumbents, Settings, Starts, gains, rank
from relu_attack.solvers.region_search._constraint_generation import LocalOptimum, solve_neighborhood
from relu_attack.solvers.region_search._round_robin import run_round_robin

# Step lengths along the edges that leave a region, relative to the largest width of the set.
_PROBES = (1e-4, 1e-3, 1e-2, 1e-1)


@dataclass(frozen=True, kw_only=True)
class LPWalk:
    """Options of LP Walk.

    Attributes
    ----------
    source
        Source of initial points: ``"random"`` (of the kind of `starts`), ``"gradient_walk"`` (the final points of a
        gradient walk) or ``"relaxation"`` (optima of the relaxed problem, with single units fixed to their other side).
    tolerance
        Relative gain below which a step does not count as an improvement.
    flips
        Maximum number of neighbouring regions that are solved before a point counts as a local maximum.
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
        whole_number(self.flips, name="flips", least=0)


@dataclass(frozen=True, eq=False)
class _Vertex:
    """The best point of a region, its activation pattern, and the solution of its program."""

    x: Tensor
    pattern: list[Tensor]
    optimum: LocalOptimum

    @property
    def active_constraints(self) -> list[int]:
        """Units whose facets have a positive multiplier, the largest first."""
        order = np.argsort(-self.optimum.multipliers, kind="stable")
        return [int(self.optimum.units[place]) for place in order if self.optimum.multipliers[place] > 0]


@dataclass(eq=False)
class LocalSearch:
    """Local search over the linear regions of one problem; each activation pattern is solved once.

    The set is polyhedral. `left` returns the remaining seconds; `on_program` is called after each program with its
    optimal input (inputs,).
    """

    problem: Problem
    options: LPWalk
    left: Callable[[], float]
    on_program: Callable[[Tensor], object]
    _seen: set[bytes] = field(default_factory=set)

    def climb(self, x: Tensor) -> Tensor:
        """Return a local maximum (inputs,) above x (inputs,), float64, or the best point when the time runs out.

        From the best point of a region the search follows the edges that cross one facet each, where one of them
        gains. Otherwise it crosses active boundaries in order of decreasing multiplier; boundaries with zero multiplier
        are skipped. It ends at a region that was solved before.
        """
        x = self._inside(x[None])[0]
        vertex = self._solve(x, self._pattern(x), ())
        while vertex is not None and self.left() > 0:
            x = vertex.x
            probe = self._best_probe(vertex)
            if probe is not None:
                x = probe
                vertex = self._solve(probe, self._pattern(probe), vertex.active_constraints)
            else:
                vertex = self._cross(vertex)
        return x if vertex is None else vertex.x

    def _cross(self, vertex: _Vertex) -> _Vertex | None:
        """Solve the regions behind the active boundaries in order; return the first optimum that gains."""
        for unit in vertex.active_constraints[: self.options.flips]:
            if self.left() <= 0:
                return None
            other = self._solve(vertex.x, self._flipped(vertex.pattern, unit), vertex.active_constraints)
            if other is not None and self._is_better(other.x, vertex.x):
                return other
        return None

    def _solve(self, x: Tensor, pattern: list[Tensor], known: Sequence[int]) -> _Vertex | None:
        """Maximize over the region of a pattern from x; None if it was solved before or cannot be solved."""
        key = hashlib.sha1(torch.cat(pattern).numpy().tobytes()).digest() if pattern else b""
        if key in self._seen:
            return None
        self._seen.add(key)
        self.problem.domain.require_linear_rows()  # for some sets this takes long
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
        return _Vertex(best if self._is_better(best, x) else x, pattern, optimum)

    def _best_probe(self, vertex: _Vertex) -> Tensor | None:
        """Evaluate points on the edges from a vertex that each cross one facet; return the best one if it gains."""
        inputs, x = self.problem.network.inputs, vertex.x
        tight = vertex.optimum.multipliers > 0
        if not tight.any():
            return None
        rows = torch.as_tensor(vertex.optimum.matrix[tight][:, :inputs])
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


def lp_walk(problem: Problem, options: LPWalk, settings: Settings) -> Answer:
    """Search over linear regions from one initial point after the other, until the budget is spent.

    Source: Tong, Cai, Serra, Optimization over Trained Neural Networks: Taking a Relaxing Walk, arXiv 2401.03451. Steps
    are linear programs. Additions of this package: facets are generated as they are needed; at the best point of a
    region the edges of the vertex are tried before the neighbouring regions.
    """
    walk = partial(_walk, options=options)
    return run_round_robin(problem, settings, walk, source=options.source)


def _walk(incumbents: Incumbents, index: int, settings: Settings, starts: Starts, *, options: LPWalk) -> Iterator[None]:
    """Search on problem `index` from one initial point per turn."""
    budget, problem = settings.budget, incumbents.single(index)

    def left() -> float:
        return 0.0 if budget.spent(incumbents.steps) is not None else budget.left()

    def count(x: Tensor) -> None:
        incumbents.offer(index, x[None], "lp_walk")
        incumbents.visit(x)
        incumbents.step()

    climber = LocalSearch(problem, options, left, count)
    for start in starts(problem, settings):
        incumbents.offer(index, start[None], options.source)
        incumbents.visit(start)
        before = incumbents.steps
        climber.climb(start)
        # An initial point in a solved region counts as a step; otherwise an iteration limit might never be reached.
        if incumbents.steps == before and left() > 0:
            incumbents.step()
        yield


def climb(problem: Problem, x: Tensor, seconds: float) -> Tensor:
    """Return the local maximum (inputs,) above an input of a single problem, or the best point within `seconds`."""
    deadline = time.perf_counter() + seconds
    return LocalSearch(problem, LPWalk(), lambda: deadline - time.perf_counter(), lambda x: None).climb(x)
