"""The walk of a minimum-norm attack: rows of a batch descend to the nearest point that breaks the classifier."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack._deadline import Deadline
from relu_attack.domains import MOVES
from relu_attack.network import Network, Workspace
from relu_attack.solvers import TargetedMargin

# Step length in radii, and the share by which a radius shrinks or grows: at the first step and at the last. On a
# convolutional and a dense classifier of digits a first share of 0.1 is ahead of 0.05 and 0.3 in the maximum norm and
# level in the Euclidean one; sparse steps, which cannot exceed the whole way, do best with 0.3.
_LAST_LENGTH, _LAST_SHARE = 0.01, 0.003
_FIRST_SHARES = {"linf": 0.1, "l2": 0.1, "l1": 0.3}
LENGTHS = {"linf": (2.0, 0.5), "l2": (2.0, 0.5), "l1": (1.0,)}
"""First step lengths that rounds of walkers have in turn, in radii."""

# Growth of the radius of a row that was never broken.
_SEARCH_GROWTH = 1.5
# Smallest radius and slope that count as such.
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighborhoods:
    """Where rows may go: a norm, centers and clip bounds, each (rows, inputs) in the dtype of the walk.

    `extent`, (rows,), is the radius of the ball that holds the whole clip box, infinite without one.
    """

    norm: str
    center: Tensor
    low: Tensor
    high: Tensor

    @property
    def extent(self) -> Tensor:
        """Distance of the farthest corner of the clip box, shape (rows,)."""
        return self.distance(torch.maximum(self.center - self.low, self.high - self.center))

    def distance(self, offset: Tensor) -> Tensor:
        """Return the norms of offsets (rows, inputs), shape (rows,)."""
        return vector_norm(offset, self.norm)

    def move(self, x: Tensor, gradient: Tensor, radius: Tensor, length: float) -> Tensor:
        """Return points of the balls of some radii, `length` radii from `x` along the steepest direction."""
        low, high = self.low, self.high
        if self.norm == "linf":
            low = torch.maximum(self.center - radius[:, None], low)
            high = torch.minimum(self.center + radius[:, None], high)
            inside = torch.clamp(x, low, high)
        else:
            offset = x - self.center
            share = (radius / self.distance(offset).clamp_min(_TINY)).clamp_max(1.0)
            inside = self.center + offset * share[:, None]
        moved = torch.empty_like(inside)
        MOVES[self.norm](self.center, low, high, radius, 1)(inside, gradient, length, moved)
        return moved


def vector_norm(offset: Tensor, norm: str) -> Tensor:
    """Return the norm of the last dimension."""
    order = {"linf": math.inf, "l2": 2, "l1": 1}[norm]
    found: Tensor = torch.linalg.vector_norm(offset, ord=order, dim=-1)
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Goal:
    """What counts as broken: an output other than the label, or the target itself.

    `label` is (rows,): the right class, or the class to reach if `targeted`. `classes`, boolean, (rows, classes), are
    those that a row goes for, all but the target if `targeted`.
    """

    label: Tensor
    classes: Tensor
    targeted: bool


def goal_margin(logits: Tensor, label: Tensor, *, targeted: bool) -> Tensor:
    """Return by how much a goal is reached at logits (rows, classes), above 0 where it is, shape (rows,)."""
    place = label[:, None]
    margin = logits.scatter(1, place, -torch.inf).amax(1) - logits.gather(1, place)[:, 0]
    return -margin if targeted else margin


class RadiusWalk:
    """Projected steepest ascent in balls whose radii follow the distance at which each row is broken.

    A row that is broken shrinks its ball to a share less than its distance; one that is not grows it, up to the least
    distance at which it was broken. Step and share fall along a cosine (Rony et al., Decoupling Direction and Norm,
    CVPR 2019, algorithm 1; Pintor et al., Fast Minimum-Norm Adversarial Attacks, NeurIPS 2021, algorithm 1); the step
    is the steepest one of the norm instead of the gradient.
    """

    def __init__(
        self,
        network: Network,
        balls: Neighborhoods,
        goal: Goal,
        *,
        steps: int,
        length: float,
        share: float | None = None,
    ) -> None:
        rows = len(balls.center)
        self._network, self._balls, self._goal = network, balls, goal
        self._steps, self._length = steps, length
        self._share = _FIRST_SHARES[balls.norm] if share is None else share
        self._target = TargetedMargin(goal.label, goal.classes[:, None], network.dtype)
        self._workspace = Workspace(network, rows, in_place=True)
        self._extent = balls.extent
        self.x, self.radius = balls.center.clone(), torch.full_like(self._extent, torch.inf)
        self.evaluations = 0

    def run(self, offsets: Tensor | None, starts: Tensor | None, deadline: Deadline) -> None:
        """Walk; the nearest broken points are left in `x`, their distances in `radius`, infinite for none.

        Walkers start at `starts` (rows, inputs), or at the centers, moved by `offsets` (rows, inputs) of the ball of
        radius 1 times the distance at which the network, if it were affine, would be broken.
        """
        x = self._balls.center if starts is None else starts
        radius, began = self.radius, time.perf_counter()
        for step in range(self._steps):
            # The next step takes about as long as the first one.
            if step and deadline.left < (time.perf_counter() - began) / step:
                return
            broken, value, gradient = self._look(x)
            distance = self._balls.distance(x - self._balls.center)
            nearer = broken & (distance < self.radius)
            self.radius = torch.where(nearer, distance, self.radius)
            self.x = torch.where(nearer[:, None], x, self.x)
            fall = (1 + math.cos(math.pi * step / self._steps)) / 2
            length = _LAST_LENGTH + (self._length - _LAST_LENGTH) * fall
            share = _LAST_SHARE + (self._share - _LAST_SHARE) * fall
            if step == 0:
                radius = self._first_radius(value, gradient, distance, broken)
                if offsets is not None and starts is None:
                    x = torch.clamp(x + radius[:, None] * offsets, self._balls.low, self._balls.high)
            else:
                grown = torch.minimum(radius * (1 + share), self.radius)
                searching = torch.minimum(radius * _SEARCH_GROWTH, self._extent)
                radius = torch.where(
                    broken,
                    torch.minimum(radius, distance) * (1 - share),
                    torch.where(torch.isfinite(self.radius), grown, searching),
                )
            x = self._balls.move(x, gradient, radius, length)

    def _look(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return which points are broken, by how much the goal is missed, and the gradient toward it."""
        evaluation = self._network.forward(x, workspace=self._workspace)
        margin = goal_margin(evaluation.outputs, self._goal.label, targeted=self._goal.targeted)
        value, coefficients = self._target.look(evaluation.outputs)
        if self._goal.targeted and coefficients is not None:
            value, coefficients = -value, coefficients.neg_()
        gradient = self._network.gradient(evaluation.preactivations, coefficients, workspace=self._workspace)
        self.evaluations += len(x)
        return margin > 0, value[:, 0], gradient

    def _first_radius(self, value: Tensor, gradient: Tensor, distance: Tensor, broken: Tensor) -> Tensor:
        """Return the distance at which the affine piece at the start is broken; where it is flat, the largest."""
        dual = {"linf": "l1", "l2": "l2", "l1": "linf"}[self._balls.norm]
        slope = vector_norm(gradient, dual)
        radius = (-value).clamp_min(0) / slope.clamp_min(_TINY)
        size = 1 + self._balls.distance(self._balls.center)
        most = torch.where(torch.isfinite(self._extent), self._extent, size)
        radius = torch.where(slope > _TINY, torch.minimum(radius, most), most).clamp_min(_TINY)
        return torch.where(broken, distance, torch.maximum(radius, distance))
