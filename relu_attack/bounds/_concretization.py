"""The largest value of linear functions over a set, from above: where linear bounds become numbers."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from relu_attack._deadline import NEVER, Deadline
from relu_attack.bounds._backward import times
from relu_attack.bounds._polytope_concretization import MOST_ROWS, PolytopeRows
from relu_attack.domains import Box, Domain, L1Ball, L2Ball, Polytope
from relu_attack.encodings import encode
from relu_attack.network import Network, identity
from relu_attack.problem import Problem
from relu_attack.programs import PreparedProgram
from relu_attack.rounding import box_of, dot_error, gamma, midpoint_radius, tiny

Function = Callable[[Tensor], Tensor]


class Support(ABC):
    """The support function of sets, and where it is attained."""

    @abstractmethod
    def __call__(self, coefficients: Tensor) -> Tensor:
        """Return ``max coefficients . x`` from above, (boxes, rows).

        The coefficients (boxes, rows, inputs) are overwritten: they are the largest tensor of back-substitution.
        """

    @abstractmethod
    def point(self, coefficients: Tensor) -> Tensor:
        """Return points that attain it nearly, (boxes, rows, inputs): a hint, which no bound relies on."""

    @abstractmethod
    def select(self, boxes: slice) -> Support:
        """Return the support function of some of the sets."""


@dataclass(frozen=True, eq=False)
class BoxSupport(Support):
    """The support function of boxes in midpoint-radius form.

    Attributes
    ----------
    center, radius
        Shape (boxes, inputs); every point of the box is within the radius of the centre.
    reach
        The radius, and what the rounding of a product with centre and radius amounts to for each unit of a coefficient.
    """

    center: Tensor
    radius: Tensor
    reach: Tensor

    def __call__(self, coefficients: Tensor) -> Tensor:
        value = times(coefficients, self.center) + times(coefficients.abs_(), self.reach)
        operands = self.center.abs().sum(1, True) + self.reach.sum(1, True)
        return value + dot_error(torch.zeros_like(operands), self.center.shape[1], operands)

    def point(self, coefficients: Tensor) -> Tensor:
        return torch.addcmul(self.center[:, None], coefficients.sign(), self.radius[:, None])

    def select(self, boxes: slice) -> BoxSupport:
        return BoxSupport(self.center[boxes], self.radius[boxes], self.reach[boxes])


def box_support(lower: Tensor, upper: Tensor) -> BoxSupport:
    """Return the support function of boxes (boxes, inputs), sound to rounding."""
    center, radius = midpoint_radius(lower, upper)
    # Two sums of n products, and a few roundings: a half of this.
    factor = gamma(2 * (lower.shape[1] + 8), lower.dtype)
    return BoxSupport(center, radius, radius + factor * (center.abs() + radius))


@dataclass(frozen=True, eq=False)
class SetSupport(Support):
    """The support function of sets that are not boxes, nowhere above that of their bounding boxes.

    Attributes
    ----------
    around
        That of the bounding boxes.
    largest
        For each set what takes rows (rows, inputs) and returns their largest values from above, (rows,).
    points
        For each set what takes rows and returns where they are largest nearly; none to do with the points of the box.
    together
        Takes coefficients for all sets and does as `points` do, in one go.
    """

    around: BoxSupport
    largest: tuple[Function, ...]
    points: tuple[Function, ...]
    together: Function | None

    def __call__(self, coefficients: Tensor) -> Tensor:
        parts = [largest(rows) for largest, rows in zip(self.largest, coefficients, strict=True)]
        return torch.minimum(self.around(coefficients), torch.stack(parts))

    def point(self, coefficients: Tensor) -> Tensor:
        if not self.points:
            return self.around.point(coefficients)
        if self.together is not None:
            return self.together(coefficients)
        return torch.stack([point(rows) for point, rows in zip(self.points, coefficients, strict=True)])

    def select(self, boxes: slice) -> SetSupport:
        largest = self.largest[boxes]
        together = self.together if len(largest) == len(self.largest) else None
        return SetSupport(self.around.select(boxes), largest, self.points[boxes], together)


def bounding_ends(domain: Domain, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return ends, in a dtype, of boxes that hold all exact points of a set or P sets, each (P or 1, inputs)."""
    box = domain.to(device="cpu", dtype=torch.float64).bounding_box()
    lower, upper = box_of(box.lower, box.upper, dtype)
    return lower.reshape(-1, domain.inputs), upper.reshape(-1, domain.inputs)


def set_support(domain: Domain, dtype: torch.dtype = torch.float64, *, deadline: Deadline = NEVER) -> Support:
    """Return the support function of a set or a batch of P sets, sound to rounding, for coefficients of a dtype.

    Exact for boxes. For a `Polytope` or an `L1Ball` it is that of nearly best multipliers, by weak duality; for an
    `L2Ball` it is the smaller of the box's and that of the ball without the clip. No program is solved after the
    deadline: the support function is that of the bounding box then.
    """
    domain = domain.to(device="cpu", dtype=dtype)
    around = box_support(*bounding_ends(domain, dtype))
    if isinstance(domain, Box) and not domain.one_hot:
        return around
    sets = [domain.single(index) for index in range(domain.batch or 1)]
    largest = tuple(_single_support(one, deadline) for one in sets)
    # A linear program for each row is too much for a hint.
    points = () if isinstance(domain, Polytope) else tuple(one.support for one in sets)
    return SetSupport(around, largest, points, domain.support)


def _single_support(domain: Domain, deadline: Deadline) -> Function:
    if isinstance(domain, L2Ball):
        return _ball_support(domain)
    if isinstance(domain, L1Ball):
        return _l1_support(domain)
    return _rows_support(domain, deadline)


def _ball_support(ball: L2Ball) -> Function:
    center, radius = ball.center_point.reshape(-1), ball.radius.reshape(())

    def support(rows: Tensor) -> Tensor:
        # Squares of small numbers underflow.
        scale = rows.abs().amax(-1, keepdim=True).clamp_min(tiny(rows.dtype))
        length = scale[:, 0] * torch.linalg.vector_norm(rows / scale, dim=-1)
        magnitude, operands = rows.abs() @ center.abs() + radius * length, rows.abs().sum(-1) + center.abs().sum()
        bound: Tensor = rows @ center + radius * length
        return bound + dot_error(magnitude, len(center) + 8, (operands + radius) * (1 + radius))

    return support


def _l1_support(ball: L1Ball) -> Function:
    """Return the support function of one ball: for any l >= 0, ``c . x <= l radius + max c . x - l |x - center|``.

    The best l is the size of the last coefficient that the radius is spent on, as in a fractional knapsack.
    """
    box, rows = ball.bounding_box(), ball.inequalities()
    center, radius = rows.upper[: ball.inputs], rows.upper[-1]
    start = torch.clamp(center, box.lower, box.upper)
    ends = torch.stack([box.lower, start, box.upper])
    distance, size = (ends - center).abs(), ends.abs().amax(0)
    left = radius - distance[1].sum()

    def support(rows: Tensor) -> Tensor:
        room = torch.where(rows > 0, box.upper - start, start - box.lower)
        sizes, order = rows.abs().sort(dim=1, descending=True)
        spent = room.gather(1, order).cumsum(1)
        price = torch.where(spent >= left, sizes, 0.0).amax(1, keepdim=True)
        # What is concave in an input is largest at an end or at the bend.
        value = (rows[:, None] * ends - price[:, None] * distance).amax(1).sum(1)
        magnitude = rows.abs() @ size + price[:, 0] * (distance.amax(0).sum() + radius)
        operands = rows.abs().sum(1) + size.sum() + ball.inputs * price[:, 0] + distance.sum() + radius
        bound: Tensor = value + price[:, 0] * radius
        return bound + dot_error(magnitude, ball.inputs + 8, operands)

    return support


def _rows_support(domain: Domain, deadline: Deadline) -> Function:
    """Return the support function of one set with linear rows: by programs where multipliers are not found at once."""
    rows = PolytopeRows.of(domain)
    program = functools.cache(lambda: _program_support(domain, deadline))

    def support(objective: Tensor) -> Tensor:
        if deadline.passed:
            return objective.new_full(objective.shape[:1], torch.inf)
        if len(rows) > MOST_ROWS:
            return program()(objective)
        multipliers, close = rows.multipliers(objective, deadline=deadline)
        bound = rows.bound(objective, multipliers, rows.box)
        left = ~close & torch.isfinite(objective).all(1)
        if bool(left.any()):
            bound[left] = torch.fmin(bound[left], program()(objective[left]))
        return bound

    return support


def _program_support(domain: Domain, deadline: Deadline) -> Function:
    """Return the support function of one set with linear rows, for rows (rows, inputs)."""
    alone = Network((), identity(domain.inputs), domain.shape, (domain.inputs,))
    direction = torch.zeros(1, domain.inputs, dtype=torch.float64)
    program = encode(Problem(alone, domain, direction, batched=False), [], relaxed=True).program
    prepared, columns = PreparedProgram(program), program.columns

    def support(rows: Tensor) -> Tensor:
        bounds = []
        for row in rows.detach().numpy():
            left = deadline.left
            if left == 0:
                bounds.append(np.inf)
                continue
            prepared.change(objective=np.concatenate([row, np.zeros(columns - len(row))]))
            solution = prepared.solve(time_limit=None if math.isinf(left) else left)
            bounds.append(solution.bound if solution.certified else np.inf)
        return torch.tensor(bounds, dtype=torch.float64)

    return support
