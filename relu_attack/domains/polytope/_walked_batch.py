"""A batch of polytopes with one matrix as walkers meet it: one factorization, with sides and bounds for each walker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from relu_attack._deadline import Deadline
from relu_attack.domains._arrangement import uniform
from relu_attack.domains.polytope import _form as forms
from relu_attack.domains.polytope._form import Array, PolytopeForm
from relu_attack.domains.polytope._splitting import Splitting
from relu_attack.domains.polytope._walked import (
    FAR_POINTS,
    WalkedForm,
    WalkedPolytope,
    nearest_of_far,
    widths_between,
)

# Far points of all sets together, beyond which each has fewer; and the fewest for a set: their spread needs no more.
_MOST_FAR_POINTS, _FEWEST_FAR_POINTS = 1024, 16


@dataclass(frozen=True, eq=False)
class WalkedForms:
    """Polytopes of one matrix, each in coordinates of walks around its interior point; all share their scales.

    Attributes
    ----------
    splitting
        The rows, with sides and bounds of each set, (sets, rows + equations) and (sets, inputs).
    ends
        Nearest points of far ones for each set, shape (sets, points, inputs).
    """

    splitting: Splitting
    ends: Tensor

    @staticmethod
    def of(parts: Sequence[PolytopeForm], interiors: Sequence[Array], scale: Array, deadline: Deadline) -> WalkedForms:
        """Return forms of the same matrices over u with ``x = interior + scale u``, in float64 on the CPU."""
        zero = np.zeros_like(scale)
        moved = [
            forms.rescale(part, interior, zero, interior, scale)
            for part, interior in zip(parts, interiors, strict=True)
        ]
        low, high, values = (np.stack([getattr(one, name) for one in moved]) for name in ("low", "high", "b"))
        # What is fixed in some of the sets only is a bound there, as any other.
        together = replace(moved[0], low=low.min(0), high=high.max(0))
        equations = forms.orthonormal_equalities(together, zero, np.ones_like(scale))[0].E
        splitting = Splitting.of(*(torch.as_tensor(part) for part in (together.A, values, equations, low, high)))
        sets = len(moved)
        count = min(max(_MOST_FAR_POINTS // sets, _FEWEST_FAR_POINTS), FAR_POINTS)
        ends = nearest_of_far(repeated(splitting, count), count, deadline, sets=sets)
        return WalkedForms(splitting, ends.view(sets, count, -1))

    def to(self, device: torch.device | str, dtype: torch.dtype) -> WalkedForms:
        """Return a rounded copy."""
        return replace(self, splitting=self.splitting.to(device, dtype), ends=self.ends.to(device, dtype))

    @cached_property
    def widths(self) -> Tensor:
        """About how wide each set is along each input, shape (sets, 1, inputs), as `WalkedForm.widths`."""
        return widths_between(self.ends)[:, None]


def forms_alike(reduced: Sequence[PolytopeForm], given: Sequence[PolytopeForm]) -> Sequence[PolytopeForm]:
    """Return forms of polytopes that have the same matrices: the reduced ones, or else those that they are made from.

    Sides may make a row an equation in one of the sets and not in another. There it stays inequalities without room:
    rounds come closer to these more slowly, but to the same points.
    """
    first = reduced[0]
    same = all(
        np.array_equal(one.A, first.A)
        and np.array_equal(one.E, first.E)
        and np.array_equal(one.low == one.high, first.low == first.high)
        for one in reduced
    )
    return reduced if same else given


def repeated(splitting: Splitting, count: int) -> Splitting:
    """Return a splitting with sides and bounds of each set for `count` points of each, set by set."""
    values, low, high = (part.repeat_interleave(count, 0) for part in (splitting.values, splitting.low, splitting.high))
    return replace(splitting, values=values, low=low, high=high)


class WalkedPolytopes(WalkedPolytope):
    """A batch of polytopes with rounds of operator splitting for all walkers at once.

    Each walker is in coordinates around the interior point of its set within the rounds, and in those of the batch
    outside.

    Parameters
    ----------
    form
        The forms, in the dtype and on the device of the walk.
    origins
        The interior points in the coordinates of the batch, shape (sets, inputs).
    walkers
        Rows of points for each set; rows are set by set.
    products
        Multiplications of a step of one walker beside those of the set.
    """

    def __init__(self, form: WalkedForms, origins: Tensor, walkers: int, products: int) -> None:
        super().__init__(WalkedForm(repeated(form.splitting, walkers), form.ends), walkers, products)
        self._ends, self._centers = form.ends, origins[:, None]
        self._origins = origins.repeat_interleave(walkers, 0)

    def sample(self, generator: torch.Generator) -> Tensor:
        ends, size = self._ends, (len(self._ends), self._walkers)
        places = [
            torch.randint(ends.shape[1], size, generator=generator, device=generator.device).to(ends.device)
            for _ in range(2)
        ]
        one, other = (ends.gather(1, place[:, :, None].expand(*size, ends.shape[2])) for place in places)
        along, inward = (uniform(*size, 1, generator=generator).to(ends) for _ in range(2))
        return (torch.lerp(one, other, along) * inward.sqrt()).flatten(0, 1) + self._origins

    def corners(self, count: int, generator: torch.Generator) -> Tensor:
        place = torch.randint(self._ends.shape[1], (count,), generator=generator).to(self._ends.device)
        return self._ends[:, place] + self._centers

    def center(self) -> Tensor:
        return self._centers

    def begin(self, points: Tensor) -> Tensor:
        return super().begin(points - self._origins) + self._origins

    def project_(self, points: Tensor) -> None:
        points.sub_(self._origins)
        super().project_(points)
        points.add_(self._origins)

    def restart(self, chosen: Tensor, points: Tensor) -> Tensor:
        return super().restart(chosen, points - self._origins) + self._origins

    def place(self, chosen: Tensor, points: Tensor) -> None:
        super().place(chosen, points - self._origins)

    def settle(self, chosen: Tensor, points: Tensor) -> Tensor:
        return super().settle(chosen, points - self._origins) + self._origins

    def closed(self, points: Tensor) -> tuple[Tensor, Tensor]:
        x, violation = super().closed(points - self._origins)
        return x + self._origins, violation
