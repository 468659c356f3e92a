"""Exchange: local search over inputs that must be whole, one of them or one choice of a group at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.output_constraints import TOLERANCE
from relu_attack.problem import Problem

# Numbers in the neighbours of all points at a time: some tens of megabytes.
_NUMBERS = 2**22
# Exchanges by which a point that no single one improves is disturbed, at least and at most.
_FEWEST, _MOST = 2, 4
# Rounds of a call where no time tells.
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Moves:
    """Exchanges: x becomes ``clamp(x * kept + added, lower, upper)``.

    Attributes
    ----------
    kept, added
        Shape (moves, inputs): the inputs of a group that takes another choice are not kept.
    lower, upper
        Whole bounds of the integer inputs, and the bounds of the others, shape (inputs,).
    """

    kept: Tensor
    added: Tensor
    lower: Tensor
    upper: Tensor

    @staticmethod
    def of(problem: Problem) -> Moves:
        """Return each choice of each group, and steps of 1, 2, 4, ... up and down of each other integer input."""
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
        return Moves(torch.stack(kept), torch.stack(added), lower, upper)

    def __len__(self) -> int:
        return len(self.kept)

    def neighbours(self, points: Tensor, places: Tensor) -> Tensor:
        """Return what the moves at `places` (..., moves) make of points (points, inputs): (points, moves, inputs)."""
        moved = points[:, None] * self.kept[places] + self.added[places]
        return moved.clamp(self.lower, self.upper)


class Exchange:
    """Iterated local search from several points of a problem with integer inputs, each on its own.

    A point moves to the best of its neighbours, which differ by one whole input or by the choice of one group, as long
    as one is better. Then it goes on from the best point that it had, disturbed by a few exchanges at random (Lourenço,
    Martin, Stützle, Iterated Local Search, 2003). The other inputs stay as they are.

    Parameters
    ----------
    problem
        A single problem over a `Box` or `Polytope` with integer inputs.
    points
        Where it begins: points of the set, whole where they must be, shape (points, inputs).
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
        """The best point of each, shape (points, inputs)."""
        return self._home

    def search(self, left: Callable[[], float]) -> None:
        """Search until no seconds are left, or for some rounds where the time is infinite."""
        rounds = _ROUNDS if math.isinf(left()) else 10**9
        while rounds and left() > 0 and len(self._moves):
            stuck = self._improve()
            if bool(stuck.any()):
                self._disturb(stuck)
            rounds -= 1
        self._keep(torch.ones(len(self._x), dtype=torch.bool))

    def join(self, x: Tensor) -> None:
        """Let the worst point go on from x (inputs,) where that is better than all of them."""
        point, (violation, value) = x.to("cpu", torch.float64), self._home_score
        score = self._rate(point[None, None])
        if bool(_is_better(score, self._home_score).all()):
            place = int(torch.where(violation == violation.amax(), value, torch.inf).argmin())
            self._x[place], self._score[0][place], self._score[1][place] = point, score[0][0], score[1][0]

    def _rate(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return violation and value of the best of each row of (rows, points, inputs), (rows,) each."""
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
        """Move each point to its best neighbour if that is better; return which stay."""
        most = max(_NUMBERS // self._x.numel(), 1)
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
        """Take the points that are stuck over as the best of their rows where they are."""
        better = stuck & _is_better(self._score, self._home_score)
        self._home = torch.where(better[:, None], self._x, self._home)
        new, old = self._score, self._home_score
        self._home_score = (torch.where(better, new[0], old[0]), torch.where(better, new[1], old[1]))

    def _disturb(self, stuck: Tensor) -> None:
        """Send the points that are stuck on from their best points, disturbed."""
        self._keep(stuck)
        x = self._home.clone()
        count = int(torch.randint(_FEWEST, _MOST + 1, (1,), generator=self._generator))
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
