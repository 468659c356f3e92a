"""A set as the walkers of one ascent meet it: where they start, and how they stay in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from relu_attack.domains._domain import Domain


class WalkedSet:
    """A set with projections along a walk; here exact ones, which need no memory and serve any set.

    A set whose nearest points are expensive gives approximate ones, each of which begins where the last one of the same
    walker ended. Points then leave the set by a little, and `violation` is by how much.

    Parameters
    ----------
    domain
        One set, or a batch of P sets.
    walkers
        Rows of points for each set; rows are set by set.
    """

    def __init__(self, domain: Domain, walkers: int) -> None:
        self._domain, self._walkers = domain, walkers

    period: ClassVar[int] = 1
    """Steps after which it does the same again."""

    @property
    def memory(self) -> tuple[object, ...]:
        """The objects whose tensors and counters a step changes."""
        return (self,)

    @property
    def violation(self) -> Tensor | None:
        """About how far the current points are from the set, shape (rows, 1); None where they never leave it."""
        return None

    def sample(self, generator: torch.Generator) -> Tensor:
        """Return a random point for each row, shape (rows, inputs)."""
        rows = self._domain.sample(self._walkers, generator=generator)
        return rows.reshape(-1, self._domain.inputs)

    def corners(self, count: int, generator: torch.Generator) -> Tensor:
        """Return extreme points, shape (count, inputs), or (P, count, inputs) for a batch; on the CPU's generator."""
        return self._domain.corners(count, generator=generator)

    def center(self) -> Tensor:
        """Return a point in the middle, shape (inputs,), or (P, 1, inputs) for a batch."""
        return self._domain.center()

    def begin(self, points: Tensor) -> Tensor:
        """Return where walkers begin that are sent to points (rows, inputs); what was remembered is forgotten."""
        return points

    def tangent(self, gradient: Tensor) -> Tensor:
        """Return the part of gradients (rows, inputs) along the equations of the set."""
        return gradient

    def project_(self, points: Tensor) -> None:
        """Move points (rows, inputs) to which walkers took a step back to the set, in place."""
        projected = self._nearest(points)
        if projected is not points:
            points.copy_(projected)

    def brought_in(self, points: Tensor) -> Tensor:
        """Return points (rows, inputs) to send walkers to: those of the set where these are cheap to find."""
        return self._nearest(points)

    def restart(self, chosen: Tensor, points: Tensor) -> Tensor:
        """Return where walkers go on that are `chosen` (rows,) and sent to points (rows, inputs)."""
        return points

    def place(self, chosen: Tensor, points: Tensor) -> None:
        """Note that the walkers that are `chosen` (rows,) now stand at points (rows, inputs) they have been at."""

    def settle(self, chosen: Tensor, points: Tensor) -> Tensor:
        """Return points (rows, inputs), those that are `chosen` (rows,) brought into the set to walking precision."""
        return points

    def closed(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (rows, inputs) brought into the set, and by how much they leave it still, (rows, 1).

        Nothing is remembered of them.
        """
        return points, torch.zeros_like(points[:, :1])

    def _nearest(self, points: Tensor) -> Tensor:
        if self._domain.batch is None:
            return self._domain.project_(points)
        return self._domain.project_(points.view(self._domain.batch, -1, points.shape[-1])).view_as(points)
