"""A polytope as walkers meet it: approximate projections, and points and widths that need no linear program."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from relu_attack._deadline import Deadline
from relu_attack.domains._arrangement import normal, uniform
from relu_attack.domains._walked import WalkedSet
from relu_attack.domains.polytope import _form as forms
from relu_attack.domains.polytope._copies import Copies
from relu_attack.domains.polytope._form import Array, PolytopeForm
from relu_attack.domains.polytope._splitting import Splitting

# Far points whose nearest points show how wide the set is, their distance in widths of the inputs, and their rounds.
FAR_POINTS, _FAR, _FAR_ROUNDS = 64, 4.0, 150
# Share of the time of a call that the far points may take.
FAR_SHARE = 0.05
# Share of a step that rounds may take, and how many at most: more than one where that is cheap. Three follow a step so
# closely that what walkers gain is what they would gain with exact projections; with one they need more steps.
_ROUNDS_SHARE, _MOST_ROUNDS = 0.3, 3
# Multiplications below which a step costs no less.
_SMALL = 2**16
# Steps between two estimates of how far a violation is from the set.
_STEPS_A_REACH = 10
# Rounds for a start, and those in which a walker whose excursion ends closes in on the set.
_START_ROUNDS, _CLOSING_ROUNDS = 5, 100
# Violation, over the width of the set, from which on a walker has closed in, and rounds between two readings of it.
_CLOSED, _ROUNDS_A_LOOK = 1e-5, 5


@dataclass(frozen=True, eq=False)
class WalkedForm:
    """The reduced form of a polytope in coordinates of walks: its interior point is 0, and its widths are about 1.

    Attributes
    ----------
    splitting
        The rows.
    ends
        Nearest points of far ones, on the boundary on all sides, shape (points, inputs).
    """

    splitting: Splitting
    ends: Tensor

    @staticmethod
    def of(form: PolytopeForm, interior: Array, scale: Array, deadline: Deadline) -> WalkedForm:
        """Return the form over u with ``x = interior + scale u``, in float64 on the CPU."""
        zero = np.zeros_like(interior)
        moved = forms.rescale(form, interior, zero, interior, scale)
        moved, _ = forms.orthonormal_equalities(moved, zero, np.ones_like(scale))
        parts = (moved.A, moved.b, moved.E, moved.low, moved.high)
        splitting = Splitting.of(*(torch.as_tensor(part) for part in parts))
        return WalkedForm(splitting, nearest_of_far(splitting, FAR_POINTS, deadline))

    def to(self, device: torch.device | str, dtype: torch.dtype) -> WalkedForm:
        """Return a rounded copy."""
        return replace(self, splitting=self.splitting.to(device, dtype), ends=self.ends.to(device, dtype))

    @cached_property
    def widths(self) -> Tensor:
        """About how wide the set is along each input, shape (inputs,): a vector as long as the set is wide.

        Twice the standard deviation of the ends: the widths of a box, and less for a set such as a simplex, of which no
        two points differ by as much as the diagonal of its bounding box. Half of the variance is that of all inputs
        together, as few ends may have met an input.
        """
        return widths_between(self.ends)


def widths_between(ends: Tensor) -> Tensor:
    """Return the widths that ends (..., points, inputs) show, (..., inputs)."""
    variance = ends.var(-2, correction=0)
    return 2 * ((variance + variance.mean(-1, keepdim=True)) / 2).sqrt()


def nearest_of_far(splitting: Splitting, count: int, deadline: Deadline, *, sets: int = 1) -> Tensor:
    """Return nearest points of `count` far ones, set by set, (sets * count, inputs); the splitting is for these."""
    far = _FAR * normal(count, splitting.matrix.shape[1], generator=torch.Generator().manual_seed(0))
    # Starts and lengths of steps need no digits.
    rough, far = splitting.to("cpu", torch.float32), far.float().repeat(sets, 1)
    return rough.nearest(far, rounds=_FAR_ROUNDS, deadline=deadline).double()


class WalkedPolytope(WalkedSet):
    """A polytope in coordinates of walks, with rounds of operator splitting for each step.

    Parameters
    ----------
    form
        The form, in the dtype and on the device of the walk.
    walkers
        Rows of points.
    products
        Multiplications of a step of one walker beside those of the set.
    """

    def __init__(self, form: WalkedForm, walkers: int, products: int) -> None:
        self._form, self._splitting, self._walkers = form, form.splitting, walkers
        affordable = int(_ROUNDS_SHARE * max(products, _SMALL)) // max(form.splitting.products, 1)
        self._rounds_a_step = min(max(affordable, 1), _MOST_ROUNDS)
        self._closed = _CLOSED * float(torch.linalg.vector_norm(widths_between(form.ends), dim=-1).mean())
        self._has_equations = len(self._splitting.equations) > 0

    period = _STEPS_A_REACH

    @property
    def memory(self) -> tuple[object, ...]:
        return self, self._copies

    @property
    def violation(self) -> Tensor | None:
        return self._violation * self._reach

    def sample(self, generator: torch.Generator) -> Tensor:
        ends = self._form.ends
        one, other = (
            torch.randint(len(ends), (self._walkers,), generator=generator, device=generator.device) for _ in range(2)
        )
        along, inward = (uniform(self._walkers, 1, generator=generator).to(ends) for _ in range(2))
        one, other = one.to(ends.device), other.to(ends.device)
        return torch.lerp(ends[one], ends[other], along) * inward.sqrt()

    def corners(self, count: int, generator: torch.Generator) -> Tensor:
        ends = self._form.ends
        return ends[torch.randint(len(ends), (count,), generator=generator).to(ends.device)]

    def center(self) -> Tensor:
        return torch.zeros_like(self._form.ends[0])

    def begin(self, points: Tensor) -> Tensor:
        self._copies = self._splitting.copies(points)
        for _ in range(_START_ROUNDS):
            self._splitting.round(self._copies)
        self._violation = self._copies.violation
        self._reach, self._steps = torch.ones_like(self._violation), 0
        return self._copies.x.T.contiguous()

    def tangent(self, gradient: Tensor) -> Tensor:
        if not self._has_equations:
            return gradient
        equations = self._splitting.equations
        return torch.addmm(gradient, gradient @ equations.T, equations, alpha=-1)

    def project_(self, points: Tensor) -> None:
        self._copies.target.copy_(points.T)
        for _ in range(self._rounds_a_step):
            self._splitting.round(self._copies)
        points.copy_(self._copies.x.T)
        self._violation = self._copies.violation
        self._steps += 1
        if self._steps % _STEPS_A_REACH == 0:
            self._reach = self._copies.reach

    def brought_in(self, points: Tensor) -> Tensor:
        return points

    def restart(self, chosen: Tensor, points: Tensor) -> Tensor:
        index = torch.nonzero(chosen).squeeze(-1)
        copies = self._copies.at(index)
        self._splitting.put(copies, points[index])
        return self._rounds(index, copies, points, _START_ROUNDS)

    def place(self, chosen: Tensor, points: Tensor) -> None:
        index = torch.nonzero(chosen).squeeze(-1)
        copies = self._copies.at(index)
        multipliers = copies.excess
        self._splitting.put(copies, points[index])
        copies.state += multipliers
        self._note(index, copies)

    # The target of the last step stays: what a walker closes in on is the nearest point to where that step led.
    def settle(self, chosen: Tensor, points: Tensor) -> Tensor:
        index = torch.nonzero(chosen).squeeze(-1)
        return self._rounds(index, self._copies.at(index), points, _CLOSING_ROUNDS)

    def closed(self, points: Tensor) -> tuple[Tensor, Tensor]:
        x = self._splitting.nearest(points, rounds=_CLOSING_ROUNDS, tolerance=self._closed)
        return x, self._splitting.copies(x).violation

    def _rounds(self, index: Tensor, copies: Copies, points: Tensor, count: int) -> Tensor:
        """Return the points with those of some walkers moved by rounds toward their nearest points."""
        for number in range(1, count + 1):
            self._splitting.round(copies)
            if number % _ROUNDS_A_LOOK == 0 and bool((copies.violation <= self._closed).all()):
                break
        self._note(index, copies)
        return points.index_copy(0, index, copies.x.T)

    def _note(self, index: Tensor, copies: Copies) -> None:
        self._copies.target.index_copy_(1, index, copies.target)
        self._copies.state.index_copy_(1, index, copies.state)
        self._violation = self._violation.index_copy(0, index, copies.violation)
