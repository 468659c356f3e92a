"""Exchange: iterated local search over integer inputs and one-hot groups."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from relu_attack.output_constraints import TOLERANCE
from relu_attack.problem import Problem
from relu_attack.solvers.auto._changes import Changes
from relu_attack.solvers.auto._neighbor_values import NeighborValues
from relu_attack.solvers.auto._neighborhoods import MAX_PRODUCTS, IntegerNeighborhoods, Score, is_better

# Neighbours of all searches at a time that are worthwhile: fewer do not use the machine, more only delay the others.
_NEIGHBORS = 2048
# Neighbours of a point that are evaluated at least before another search pays.
_LEAST_NEIGHBORS = 64
# Range of the number of random changes that perturb a local optimum, and perturbations without a gain after which the
# search restarts.
_MIN_KICKS, _MAX_KICKS, _PATIENCE = 2, 8, 8
# Changes among which a random one that breaks no row is drawn.
_TRIALS = 32
# Maximum number of random changes between a point and the one at which a search restarts.
_MAX_RANDOM = 64
# Parts in which a point takes choices of another one under linear rows.
_CROSSINGS = 32
# Rounds of a call without a time limit.
_ROUNDS = 20


class Exchange:
    """Iterated local search from several points of a problem with integer inputs, each on its own.

    A point moves to its best neighbour, which differs in one integer input or one choice, until none is better; under
    linear rows then to the best of some neighbours that differ in two (variable neighbourhood descent). The best local
    optimum of a search is perturbed by a few random changes (Lourenço, Martin, Stützle, Iterated Local Search, 2003),
    and after some perturbations without a gain the search restarts: at a given point, at a random one, or at a crossing
    of the best points of two searches (a memetic algorithm: Moscato, 1989). No change leaves the set. Continuous inputs
    do not change.

    Parameters
    ----------
    problem
        A single problem over a set with integer inputs.
    points
        Initial points of the set, with integral inputs, shape (points, inputs). As many searches begin elsewhere.
    generator
        Source of randomness, on the CPU.
    values
        Values of neighbours, which problems that share a network share; made here when not given.
    """

    def __init__(
        self, problem: Problem, points: Tensor, generator: torch.Generator, *, values: NeighborValues | None = None
    ) -> None:
        self._problem, self._generator = problem, generator
        self._domain = problem.domain.to(device="cpu", dtype=torch.float64)
        self._changes = Changes.of(self._domain)
        self._neighborhoods = IntegerNeighborhoods(
            problem, self._changes, values or neighbor_values(problem), generator
        )
        self._x = self._initial(points.to("cpu", torch.float64))
        self._score = self._rate(self._x)
        self._home, self._home_score = self._x.clone(), (self._score[0].clone(), self._score[1].clone())
        self._top, self._top_score = self._x.clone(), (self._score[0].clone(), self._score[1].clone())
        self._starts: list[Tensor] = []
        self._fresh = torch.ones(len(self._x), dtype=torch.bool)
        self._vain = torch.zeros(len(self._x), dtype=torch.long)

    @property
    def points(self) -> Tensor:
        """Best point of each search, shape (points, inputs)."""
        return self._top

    def _initial(self, points: Tensor) -> Tensor:
        """Return the best of the given points, and as many random ones, shape (searches, inputs)."""
        affordable = MAX_PRODUCTS // (max(self._problem.network.multiply_adds, 1) * _LEAST_NEIGHBORS)
        count = max(min(_NEIGHBORS // max(len(self._changes), 1), affordable), 2)
        points = torch.unique(points, dim=0)
        points = points[self._order(points)[: count // 2]]
        if not len(self._changes):
            return points
        around = points[torch.arange(count - len(points)) % len(points)]
        return torch.cat([points, self._far(around)])

    def best(self, count: int) -> Tensor:
        """Return the best of these points that differ, the best first: (at most `count`, inputs)."""
        points: Tensor = torch.unique(self._top, dim=0)
        return points[self._order(points)[:count]]

    def search(self, left: Callable[[], float]) -> None:
        """Search while `left` is positive, or for a fixed number of rounds if it is infinite."""
        rounds = _ROUNDS if math.isinf(left()) else 10**9
        while rounds and left() > 0 and len(self._changes):
            self._round()
            rounds -= 1
        self._keep(torch.ones(len(self._x), dtype=torch.bool))

    def join(self, x: Tensor) -> None:
        """Replace the worst point by x (inputs,) if that is better than all of them."""
        point, (violation, value) = x.to("cpu", torch.float64), self._top_score
        score = self._rate(point[None])
        if bool(is_better(score, self._top_score).all()):
            place = int(torch.where(violation == violation.amax(), value, torch.inf).argmin())
            self._restart(torch.tensor([place]), point[None])

    def offer_starts(self, points: Tensor) -> None:
        """Replace the points at which searches restart by points of the set (points, inputs), the best first."""
        points = points.to("cpu", torch.float64)
        self._starts = list(points[self._order(points)[: len(self._x)]])

    def _order(self, points: Tensor) -> Tensor:
        """Return the order of points from the best to the worst."""
        violation, value = self._rate(points)
        order = value.argsort(descending=True, stable=True)
        return order[violation[order].argsort(stable=True)]

    def _rate(self, points: Tensor) -> Score:
        """Return violation and value of points (points, inputs), (points,) each; outside the set is worst."""
        value, violation = (entry[0] for entry in self._problem.evaluate(points[None]))
        violation = torch.where(violation <= TOLERANCE, 0.0, violation)
        return torch.where(self._domain.contains(points), violation, torch.inf), value

    def _round(self) -> None:
        """Advance every search by one move, perturbation or restart."""
        best, better = self._neighborhoods.best(self._x, self._score)
        stuck = ~better
        if bool(better.any()):
            rows = torch.nonzero(better)[:, 0]
            stuck[rows] = ~self._adopt(rows, best[rows])
        if bool(stuck.any()):
            self._leave(stuck)

    def _adopt(self, rows: Tensor, moved: Tensor) -> Tensor:
        """Replace some points by others where these are better in float64 and in the set; return where."""
        score = self._rate(moved)
        better = is_better(score, (self._score[0][rows], self._score[1][rows]))
        self._x[rows[better]] = moved[better]
        for old, new in zip(self._score, score, strict=True):
            old[rows[better]] = new[better]
        return better

    def _keep(self, ended: Tensor) -> None:
        """Update the best points of each search that is at a local optimum: since its restart, and of all."""
        better = ended & (self._fresh | is_better(self._score, self._home_score))
        self._vain = torch.where(better, 0, self._vain + ended)
        self._home[better], self._fresh = self._x[better], self._fresh & ~better
        for old, new in zip(self._home_score, self._score, strict=True):
            old[better] = new[better]
        better = ended & is_better(self._score, self._top_score)
        self._top[better] = self._x[better]
        for old, new in zip(self._top_score, self._score, strict=True):
            old[better] = new[better]

    def _leave(self, stuck: Tensor) -> None:
        """Continue the searches at local optima from perturbations of their best points, or restart them."""
        self._keep(stuck)
        ended = stuck & (self._vain >= _PATIENCE)
        kicked = torch.nonzero(stuck & ~ended)[:, 0]
        if len(kicked):
            count = int(torch.randint(_MIN_KICKS, _MAX_KICKS + 1, (1,), generator=self._generator))
            self._place(kicked, self._perturbed(self._home[kicked], count))
        if bool(ended.any()):
            self._restart(torch.nonzero(ended)[:, 0])

    def _place(self, rows: Tensor, points: Tensor) -> None:
        """Continue some searches at points of the set (searches, inputs)."""
        self._x[rows] = points
        for old, new in zip(self._score, self._rate(points), strict=True):
            old[rows] = new

    def _restart(self, rows: Tensor, points: Tensor | None = None) -> None:
        """Restart some searches at points (searches, inputs): given ones, random ones and crossings of the best."""
        if points is None:
            points = self._far(self._home[rows])
            for row in range(len(rows)):
                kind = int(torch.randint(3, (1,), generator=self._generator))
                if kind == 0 and self._starts:
                    points[row] = self._starts.pop(0)
                elif kind == 1:
                    points[row] = self._crossed()
        self._place(rows, points)
        self._vain[rows], self._fresh[rows] = 0, True

    def _crossed(self) -> Tensor:
        """Return a point (inputs,) with about half of the choices of each of two best points of searches.

        That is uniform crossover, with the changes in random order: those that break a row are left out.
        """
        parents = self._top[torch.randint(len(self._top), (2,), generator=self._generator)]
        changes, child, other = self._changes, parents[0], parents[1]
        order = torch.randperm(changes.slots, generator=self._generator)[: (changes.slots + 1) // 2]
        for part in order.chunk(_CROSSINGS if changes.rows else 1):
            inputs = changes.inputs_of(part)
            moved = child.clone()
            moved[inputs] = other[inputs]
            if bool(((moved - child) @ changes.columns[:-1] <= changes.room(child[None])[0]).all()):
                child = moved
        return child

    def _far(self, x: Tensor) -> Tensor:
        """Return random points of the set far from points x (points, inputs)."""
        return self._perturbed(x, min(self._changes.slots, _MAX_RANDOM))

    def _perturbed(self, x: Tensor, count: int) -> Tensor:
        """Change points (points, inputs) at random, a number of times; where rows forbid one change, two at once."""
        size, trials = (2, _TRIALS) if self._changes.rows else (1, 2)
        for _ in range(count):
            drawn = torch.randint(len(self._changes), (len(x), trials, size), generator=self._generator)
            # Half of them are single changes.
            drawn[:, ::2, 1:] = len(self._changes)
            moves, place = self._changes.moves(x, drawn)
            first = torch.full((len(x),), len(place)).scatter_reduce_(
                0, place // trials, torch.arange(len(place)), "amin"
            )
            able = first < len(place)
            x = x.clone()
            x[able] = moves.select(first[able]).apply(x)
        return x


def neighbor_values(problem: Problem) -> NeighborValues:
    """Return values of neighbours for a problem, or for all that share its network and integer inputs."""
    # Constraints are to be met more exactly than float32 can resolve.
    dtype = torch.float32 if problem.constraints is None else torch.float64
    return NeighborValues(problem.network, problem.domain.integer, dtype)
