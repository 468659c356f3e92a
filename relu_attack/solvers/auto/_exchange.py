"""Exchange: iterated local search over integer inputs and one-hot groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.output_constraints import TOLERANCE
from relu_attack.problem import Problem

# Maximum number of coordinates of all neighbours at a time: some tens of megabytes.
_MAX_NEIGHBOUR_NUMBERS = 2**22
# Range of the number of random exchanges that perturb a local optimum.
_MIN_PERTURBATIONS, _MAX_PERTURBATIONS = 2, 4
# Rounds of a call without a time limit.
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Moves:
    """Exchanges: x becomes ``clamp(x * kept + added, lower, upper)``.

    Attributes
    ----------
    kept, added
        Factors and increments, shape (moves, inputs); factors are 0 for the inputs of a group that changes.
    lower, upper
        Bounds of the inputs, rounded inward for integers, shape (inputs,).
    """

    kept: Tensor
    added: Tensor
    lower: Tensor
    upper: Tensor

    @staticmethod
    def of(problem: Problem) -> Moves:
        """Return every choice of every group, and steps of 1, 2, 4, ... up and down for every other integer input."""
        domain = problem.domain.to(device="cpu", dtype=torch.float64)
        box = domain.bounding_box()
        lower, upper = box.lower.reshape(-1).clone(), box.upper.reshape(-1).clone()
        whole = list(domain.integer)
        lower[whole], upper[whole] = lower[whole].ceil(), upper[whole].floor()
        kept, added = [], []
        for group in domain.one_hot:
            for member in group:
                kept.append(torch.ones(domain.inputs, dtype=torch.float64).index_fill_(0, torch.tensor(group), 0.0))
                added.append(torch.zeros(domain.inputs, dtype=torch.float64).index_fill_(0, torch.tensor(member), 1.0))
        chosen = {member for group in domain.one_hot for member in group}
        for index in (index for index in whole if index not in chosen):
            width = int(upper[index] - lower[index])
            for size in (2**power for power in range(width.bit_length())):
                for step in (-size, size):
                    kept.append(torch.ones(domain.inputs, dtype=torch.float64))
                    added.append(torch.zeros(domain.inputs, dtype=torch.float64))
                    added[-1][index] = step
        if not kept:  # no integer input can move
            none = torch.zeros(0, domain.inputs, dtype=torch.float64)
            return Moves(none, none, lower, upper)
        return Moves(torch.stack(kept), torch.stack(added), lower, upper)

    def __len__(self) -> int:
        return len(self.kept)

    def neighbours(self, points: Tensor, places: Tensor) -> Tensor:
        """Apply the moves at `places` (..., moves) to points (points, inputs); return (points, moves, inputs)."""
        moved = points[:, None] * self.kept[places] + self.added[places]
        return moved.clamp(self.lower, self.upper)


class Exchange:
    """Iterated local search from several points of a problem with integer inputs, each on its own.

    A point moves to its best neighbour, which differs in one integer input or one choice, until it is a local optimum.
    Then its best point is perturbed by a few random exchanges (Lourenço, Martin, Stützle, Iterated Local Search, 2003).
    Continuous inputs do not change.

    Parameters
    ----------
    problem
        A single problem over a `Box` or `Polytope` with integer inputs.
    points
        Initial points of the set, with integral inputs, shape (points, inputs).
    generator
        Source of randomness, on the CPU.
    """

    def __init__(self, problem: Problem, points: Tensor, generator: torch.Generator) -> None:
        self._problem, self._generator, self._moves = problem, generator, Moves.of(problem)
        self._domain = problem.domain.to(device="cpu", dtype=torch.float64)
        self._x = points.to("cpu", torch.float64).clone()
        self._score = self._rate(self._x[:, None])
        self._home, self._home_score = self._x.clone(), (self._score[0].clone(), self._score[1].clone())

    @property
    def points(self) -> Tensor:
        """Best point of each search, shape (points, inputs)."""
        return self._home

    def search(self, left: Callable[[], float]) -> None:
        """Search while `left` is positive, or for a fixed number of rounds if it is infinite."""
        rounds = _ROUNDS if math.isinf(left()) else 10**9
        while rounds and left() > 0 and len(self._moves):
            stuck = self._improve()
            if bool(stuck.any()):
                self._disturb(stuck)
            rounds -= 1
        self._keep(torch.ones(len(self._x), dtype=torch.bool))

    def join(self, x: Tensor) -> None:
        """Replace the worst point by x (inputs,) if that is better than all of them."""
        point, (violation, value) = x.to("cpu", torch.float64), self._home_score
        score = self._rate(point[None, None])
        if bool(_is_better(score, self._home_score).all()):
            place = int(torch.where(violation == violation.amax(), value, torch.inf).argmin())
            self._x[place], self._score[0][place], self._score[1][place] = point, score[0][0], score[1][0]

    def _rate(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return violation and value, (rows,) each, of the best point of each row of (rows, points, inputs)."""
        return self._best(points)[:2]

    def _best(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return violation, value and place of the best point of each row, feasible first; outside the set is worst."""
        flat = points.reshape(1, -1, points.shape[-1])
        value, violation = (entry.view(points.shape[:2]) for entry in self._problem.evaluate(flat))
        violation = torch.where(violation <= TOLERANCE, 0.0, violation)
        violation = torch.where(self._domain.contains(points), violation, torch.inf)
        least = violation.amin(1)
        place = torch.where(violation == least[:, None], value, -torch.inf).argmax(1)
        return least, value.gather(1, place[:, None])[:, 0], place

    def _improve(self) -> Tensor:
        """Move each point to its best neighbour if that is better; return which are local optima."""
        most = max(_MAX_NEIGHBOUR_NUMBERS // self._x.numel(), 1)
        places = torch.arange(len(self._moves))
        if len(places) > most:
            places = torch.randperm(len(places), generator=self._generator)[:most]
        neighbours = self._moves.neighbours(self._x, places)
        violation, value, place = self._best(neighbours)
        better = _is_better((violation, value), self._score)
        rows = torch.arange(len(place))
        self._x = torch.where(better[:, None], neighbours[rows, place], self._x)
        self._score = (
            torch.where(better, violation, self._score[0]),
            torch.where(better, value, self._score[1]),
        )
        return ~better

    def _keep(self, stuck: Tensor) -> None:
        """Update the best point of each search that is at a local optimum."""
        better = stuck & _is_better(self._score, self._home_score)
        self._home = torch.where(better[:, None], self._x, self._home)
        new, old = self._score, self._home_score
        self._home_score = (torch.where(better, new[0], old[0]), torch.where(better, new[1], old[1]))

    def _disturb(self, stuck: Tensor) -> None:
        """Continue the searches at local optima from perturbations of their best points."""
        self._keep(stuck)
        x = self._home.clone()
        count = int(torch.randint(_MIN_PERTURBATIONS, _MAX_PERTURBATIONS + 1, (1,), generator=self._generator))
        for _ in range(count):
            places = torch.randint(len(self._moves), (len(x),), generator=self._generator)
            moved = (x * self._moves.kept[places] + self._moves.added[places]).clamp(
                self._moves.lower, self._moves.upper
            )
            x = torch.where(self._domain.contains(moved)[:, None], moved, x)
        self._x = torch.where(stuck[:, None], x, self._x)
        violation, value = self._rate(self._x[:, None])
        self._score = (torch.where(stuck, violation, self._score[0]), torch.where(stuck, value, self._score[1]))


def _is_better(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """Return where the first pair of violation and value, (points,) each, is better: by violation, then by value."""
    return (one[0] < other[0]) | ((one[0] == other[0]) & (one[1] > other[1]))
