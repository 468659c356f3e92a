"""Exchange: iterated local search over integer inputs and one-hot groups."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from relu_attack.output_constraints import TOLERANCE
from relu_attack.problem import Problem
from relu_attack.solvers.auto._changes import Changes, Moves
from relu_attack.solvers.auto._neighbor_values import NeighborValues

# Maximum number of entries of all neighbours at a time: 16 MiB in float32.
_MAX_NEIGHBOR_NUMBERS = 2**22
# Maximum number of products between two looks at the clock: some tenths of a second of one core.
_MAX_PRODUCTS = 2**32
# Neighbours of all searches at a time that are worthwhile: fewer do not use the machine, more only delay the others.
_NEIGHBORS = 2048
# Neighbours of a point that are evaluated at least before another search pays.
_LEAST_NEIGHBORS = 64
# Pairs of changes that are evaluated where single ones do not gain under linear rows.
_PAIRS = 128
# Maximum number of entries of the rows of all pairs among which these are chosen: 1 MiB.
_MAX_PAIR_NUMBERS = 2**17
# Range of the number of random changes that perturb a local optimum, and perturbations without a gain after which the
# search restarts.
_MIN_KICKS, _MAX_KICKS, _PATIENCE = 2, 8, 8
# Changes among which a random one that breaks no row is drawn.
_TRIALS = 32
# Maximum number of random changes between a point and the one at which a search restarts.
_MAX_RANDOM = 64
# Rounds of a call without a time limit.
_ROUNDS = 20

Score = tuple[Tensor, Tensor]


class Exchange:
    """Iterated local search from several points of a problem with integer inputs, each on its own.

    A point moves to its best neighbour, which differs in one integer input or one choice, until none is better; under
    linear rows then to the best of some neighbours that differ in two (variable neighbourhood descent). The best local
    optimum of a search is perturbed by a few random changes (Lourenço, Martin, Stützle, Iterated Local Search, 2003),
    and after some perturbations without a gain the search restarts: at a point of another search that was given, or at
    a random one. No change leaves the set. Continuous inputs do not change.

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
        self._values = values or neighbor_values(problem)
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
        affordable = _MAX_PRODUCTS // (max(self._problem.network.multiply_adds, 1) * _LEAST_NEIGHBORS)
        count = max(min(_NEIGHBORS // max(len(self._changes), 1), affordable), 2)
        points = torch.unique(points, dim=0)
        points = points[self._order(points)[: count // 2]]
        if not len(self._changes):
            return points
        around = points[torch.arange(count - len(points)) % len(points)]
        return torch.cat([points, self._far(around)])

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
        if bool(_is_better(score, self._top_score).all()):
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
        every = torch.arange(len(self._x))
        changes = self._singles().expand(len(self._x), -1, -1)
        moves, place = self._changes.moves(self._x, changes, within_rows=False)
        score = self._evaluate(self._x, moves)
        if not self._changes.rows:
            stuck = ~self._improve(every, moves, score, place, changes)
        else:
            effects = self._changes.effects(moves, len(self._x))
            fits = (effects <= self._changes.room(self._x)[moves.point]).all(-1)
            gain = _dense(score[1] - self._score[1][moves.point], place, changes, -math.inf)
            stuck = ~self._improve(every, moves.select(fits), (score[0][fits], score[1][fits]), place[fits], changes)
            rows = torch.nonzero(stuck)[:, 0]
            if len(rows):
                x = self._x[rows]
                pairs = self._pairs(x, changes[rows], gain[rows], _dense(effects, place, changes, 0.0)[rows])
                moves, place = self._changes.moves(x, pairs)
                stuck[rows] = ~self._improve(rows, moves, self._evaluate(x, moves), place, pairs)
        if bool(stuck.any()):
            self._leave(stuck)

    def _singles(self) -> Tensor:
        """Return all single changes, or some of them if they are too many, shape (1, changes, 1)."""
        count = len(self._changes)
        size = len(self._x) * max(self._values.width, self._changes.rows)
        affordable = _MAX_PRODUCTS // (len(self._x) * max(self._problem.network.multiply_adds, 1))
        most = max(min(_MAX_NEIGHBOR_NUMBERS // size, affordable), 1)
        if count <= most:
            return torch.arange(count)[None, :, None]
        return torch.randperm(count, generator=self._generator)[None, :most, None]

    def _pairs(self, x: Tensor, changes: Tensor, gain: Tensor, effects: Tensor) -> Tensor:
        """Return pairs of changes that together break no row, those with the largest sum of gains.

        Parameters
        ----------
        x, changes, gain, effects
            Points, shape (points, inputs), single changes of each, shape (points, changes, 1), what each gains,
            (points, changes), and what it adds to the rows, (points, changes, rows).

        Returns
        -------
        Tensor
            Shape (points, pairs, 2).
        """
        points, count = gain.shape
        size = min(count, max(int((_MAX_PAIR_NUMBERS / (points * self._changes.rows)) ** 0.5), 2))
        # Half of them gain the most by themselves, the others are random.
        order = gain.argsort(1, descending=True)
        rest = torch.randperm(count - size // 2, generator=self._generator)[: size - size // 2] + size // 2
        some = torch.cat([order[:, : size // 2], order[:, rest]], 1)
        own, gain = effects.gather(1, some[..., None].expand(-1, -1, effects.shape[2])), gain.gather(1, some)
        both = own[:, :, None] + own[:, None]
        fits = (both <= self._changes.room(x)[:, None, None]).all(-1)
        total = torch.where(fits, gain[:, :, None] + gain[:, None], -math.inf)
        total = torch.where(torch.ones(size, size, dtype=torch.bool).triu(1), total, -math.inf).flatten(1)
        best = total.topk(min(_PAIRS, total.shape[1]), 1)
        one, other = (some.gather(1, part) for part in (best.indices // size, best.indices % size))
        own = changes[..., 0]
        pairs = torch.stack([own.gather(1, one), own.gather(1, other)], 2)
        # Where fewer pairs fit, the others are no changes of one slot.
        return torch.where(torch.isfinite(best.values)[..., None], pairs, pairs[..., :1])

    def _evaluate(self, x: Tensor, moves: Moves) -> Score:
        """Return violation and value after moves of points x, as their neighbours are compared."""
        outputs = self._values.at(x, moves)
        values, violations = (entry[0] for entry in self._problem.measure(outputs[None]))
        # What overflows float32 is no neighbour.
        unknown = torch.isnan(values)
        violations = torch.where(violations <= TOLERANCE, 0.0, violations)
        return violations.masked_fill(unknown, math.inf), values.masked_fill(unknown, -math.inf)

    def _improve(self, rows: Tensor, moves: Moves, score: Score, place: Tensor, changes: Tensor) -> Tensor:
        """Move some points to the best of their neighbours where that is better; return where it is."""
        improved = torch.zeros(len(rows), dtype=torch.bool)
        if not len(place):
            return improved
        violation = _dense(score[0], place, changes, math.inf)
        value = _dense(score[1], place, changes, -math.inf)
        number = _dense(torch.arange(len(place)).double(), place, changes, 0.0).long()
        least = violation.amin(1, keepdim=True)
        found = torch.where(violation == least, value, -torch.inf).argmax(1, keepdim=True)
        better = _is_better((least[:, 0], value.gather(1, found)[:, 0]), self._score_of(rows))
        if bool(better.any()):
            moved = moves.select(number.gather(1, found)[better, 0]).apply(self._x[rows])
            improved[better] = self._adopt(rows[better], moved)
        return improved

    def _adopt(self, rows: Tensor, moved: Tensor) -> Tensor:
        """Replace some points by others where these are better in float64 and in the set; return where."""
        score = self._rate(moved)
        better = _is_better(score, self._score_of(rows))
        self._x[rows[better]] = moved[better]
        for old, new in zip(self._score, score, strict=True):
            old[rows[better]] = new[better]
        return better

    def _score_of(self, rows: Tensor) -> Score:
        return self._score[0][rows], self._score[1][rows]

    def _keep(self, ended: Tensor) -> None:
        """Update the best points of each search that is at a local optimum: since its restart, and of all."""
        better = ended & (self._fresh | _is_better(self._score, self._home_score))
        self._vain = torch.where(better, 0, self._vain + ended)
        self._home[better], self._fresh = self._x[better], self._fresh & ~better
        for old, new in zip(self._home_score, self._score, strict=True):
            old[better] = new[better]
        better = ended & _is_better(self._score, self._top_score)
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
        """Restart some searches at points (searches, inputs): by turns at given ones and at random ones."""
        if points is None:
            points = self._far(self._home[rows])
            for row in range(0, len(rows), 2):
                if self._starts:
                    points[row] = self._starts.pop(0)
        self._place(rows, points)
        self._vain[rows], self._fresh[rows] = 0, True

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


def _dense(entries: Tensor, place: Tensor, changes: Tensor, other: float) -> Tensor:
    """Return the entries of possible moves among those of all, (points, moves, ...), filled with a number."""
    shape = changes.shape[:2]
    every = torch.full((shape.numel(), *entries.shape[1:]), other, dtype=torch.float64)
    every[place] = entries
    return every.view(*shape, *entries.shape[1:])


def neighbor_values(problem: Problem) -> NeighborValues:
    """Return values of neighbours for a problem, or for all that share its network and integer inputs."""
    # Constraints are to be met more exactly than float32 can tell.
    dtype = torch.float32 if problem.constraints is None else torch.float64
    return NeighborValues(problem.network, problem.domain.integer, dtype)


def _is_better(one: Score, other: Score) -> Tensor:
    """Return where the first pair of violation and value, (points,) each, is better: by violation, then by value."""
    return (one[0] < other[0]) | ((one[0] == other[0]) & (one[1] > other[1]))
