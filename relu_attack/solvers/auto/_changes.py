"""Changes of integer inputs and one-hot choices, and what they do to the first layer and to linear rows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relu_attack.domains import Domain

# Room for rounding in a row, relative to the sizes of its terms; the set itself checks each point that is adopted.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Moves:
    """Changes of points: at most a few inputs or choices of each.

    Attributes
    ----------
    point
        Row of the point that changes, shape (moves,).
    plus, amount
        Inputs that grow and by how much, shape (moves, changes).
    minus
        Inputs that become 0, shape (moves, changes). The number of inputs stands for none.
    """

    point: Tensor
    plus: Tensor
    amount: Tensor
    minus: Tensor

    def select(self, chosen: Tensor) -> Moves:
        """Return some of the moves, by indices or a mask."""
        return Moves(self.point[chosen], self.plus[chosen], self.amount[chosen], self.minus[chosen])

    def apply(self, x: Tensor) -> Tensor:
        """Return the points (moves, inputs) that the moves make of points x (points, inputs)."""
        moved = torch.cat([x, x.new_zeros(len(x), 1)], 1)[self.point]
        # The changes of one move concern different inputs.
        moved.scatter_(1, self.minus, 0.0)
        return moved.scatter_add_(1, self.plus, self.amount)[:, :-1]

    def added(self, base: Tensor, columns: Tensor) -> Tensor:
        """Return linear functions after the moves, given `base` (points, functions) and columns (inputs + 1, ...)."""
        found = base[self.point]
        for plus, amount, minus in zip(self.plus.T, self.amount.T.to(base.dtype), self.minus.T, strict=True):
            found.addcmul_(amount[:, None], columns[plus]).sub_(columns[minus])
        return found


@dataclass(frozen=True, eq=False)
class Changes:
    """Single changes: every other choice of a one-hot group, and steps of 1, 2, 4, ... of every other integer input.

    Attributes
    ----------
    slot
        Group or integer input that a change concerns, numbered from 0, shape (changes + 1,). The last change is none.
    index, step
        Input that becomes 1, or that takes the step, and the step, shape (changes + 1,).
    members
        Inputs of the group of each slot, shape (slots + 1, width), filled with the number of inputs.
    lower, upper
        Bounds of the inputs, rounded inward for integers, shape (inputs + 1,).
    columns, limit, rounding
        Linear rows ``x @ columns <= limit``, shapes (inputs + 1, rows) and (rows,), and their room for rounding.
    """

    slot: Tensor
    index: Tensor
    step: Tensor
    members: Tensor
    lower: Tensor
    upper: Tensor
    columns: Tensor
    limit: Tensor
    rounding: Tensor

    @staticmethod
    def of(domain: Domain) -> Changes:
        """Return the changes in a single set, in float64 on the CPU, with bounds and linear rows."""
        inputs, none = domain.inputs, torch.zeros(1, dtype=torch.float64)
        box, whole = domain.bounding_box(), list(domain.integer)
        lower, upper = box.lower.reshape(-1).clone(), box.upper.reshape(-1).clone()
        lower[whole], upper[whole] = lower[whole].ceil(), upper[whole].floor()
        width = max((len(group) for group in domain.one_hot), default=1)
        slots, found = list[list[int]](), list[tuple[int, int, int]]()
        for group in domain.one_hot:
            forced = [member for member in group if lower[member] > 0]
            allowed = forced or [member for member in group if upper[member] >= 1]
            found += [(len(slots), member, 0) for member in allowed if len(allowed) > 1]
            slots.append([*group, *[inputs] * (width - len(group))])
        grouped = {member for group in domain.one_hot for member in group}
        for index in (index for index in whole if index not in grouped):
            sizes = [2**power for power in range(int(upper[index] - lower[index]).bit_length())]
            found += [(len(slots), index, sign * size) for size in sizes for sign in (-1, 1)]
            slots.append([inputs] * width)
        found.append((len(slots), inputs, 0))
        slots.append([inputs] * width)
        slot, place, step = torch.tensor(found).T
        lower, upper = torch.cat([lower, none]), torch.cat([upper, none])
        matrix, limit = one_sided_rows(domain)
        terms = matrix.abs() @ torch.maximum(lower.abs(), upper.abs())[:-1] + limit.abs()
        columns = torch.cat([matrix.T, matrix.new_zeros(1, len(matrix))])
        changes = Changes(
            slot=slot, index=place, step=step.double(), members=torch.tensor(slots), lower=lower, upper=upper,
            columns=columns, limit=limit, rounding=_ROUNDING * terms,
        )  # fmt: skip
        return changes._without_constant_rows()

    def _without_constant_rows(self) -> Changes:
        """Drop rows that no change affects, such as the sums of the groups."""
        held = self.members[:, :1].expand_as(self.members)
        members = torch.where(self.members == self.lower.numel() - 1, held, self.members)
        within = self.columns[members]
        affected = (within.amax(1) != within.amin(1)).any(0) | (self.columns[self.index[self.step != 0]] != 0).any(0)
        return replace(
            self, columns=self.columns[:, affected], limit=self.limit[affected], rounding=self.rounding[affected]
        )

    def __len__(self) -> int:
        return len(self.slot) - 1

    @property
    def slots(self) -> int:
        """Number of groups and of integer inputs outside of them."""
        return len(self.members) - 1

    @property
    def rows(self) -> int:
        """Number of linear rows."""
        return len(self.limit)

    def inputs_of(self, slots: Tensor) -> Tensor:
        """Return the inputs of some groups and integer inputs, given by their numbers."""
        members = self.members[slots].flatten()
        alone = self.index[torch.isin(self.slot, slots) & (self.step != 0)].unique()
        return torch.cat([members[members < len(self.lower) - 1], alone])

    def moves(self, x: Tensor, changes: Tensor, *, within_rows: bool = True) -> tuple[Moves, Tensor]:
        """Return the moves that stay in the bounds, change something and break no row more than before.

        Parameters
        ----------
        x
            Points, shape (points, inputs).
        changes
            For each point some moves of a few changes each, shape (points, moves, changes a move).
        within_rows
            Whether moves that break a row are left out.

        Returns
        -------
        moves, place
            Those that are possible, and where among all of them, flattened, each is.
        """
        _, count, size = changes.shape
        none = len(self.lower) - 1
        padded = torch.cat([x, x.new_zeros(len(x), 1)], 1)
        held = self.members.gather(1, padded[:, self.members].argmax(-1).T).T
        index, slot = self.index[changes], self.slot[changes]
        minus = held.gather(1, slot.flatten(1)).view_as(slot)
        value = padded.gather(1, index.flatten(1)).view_as(slot)
        step = (value + self.step[changes]).clamp(self.lower[index], self.upper[index]) - value
        amount = torch.where(minus == none, step, 1.0)
        idle = torch.where(minus == none, (amount == 0) & (index != none), index == minus).any(-1)
        for one, other in itertools.combinations(range(size), 2):
            idle |= (slot[..., one] == slot[..., other]) & (index[..., one] != none)
        place = torch.nonzero(~idle.flatten())[:, 0]
        moves = Moves(place // count, *(part.reshape(-1, size)[place] for part in (index, amount, minus)))
        if within_rows and self.rows:
            fits = (moves.added(-self.room(x), self.columns) <= 0).all(-1)
            moves, place = moves.select(fits), place[fits]
        return moves, place

    def room(self, x: Tensor) -> Tensor:
        """Return by how much each row may grow at points (points, inputs) of the set, shape (points, rows)."""
        return (self.limit - x @ self.columns[:-1]).clamp_min(0) + self.rounding

    def effects(self, moves: Moves, points: int) -> Tensor:
        """Return what moves of `points` points add to the rows, shape (moves, rows)."""
        return moves.added(self.columns.new_zeros(points, self.rows), self.columns)


def one_sided_rows(domain: Domain) -> tuple[Tensor, Tensor]:
    """Return the linear rows of a set as ``matrix @ x <= limit``, an equation as two of them."""
    rows = domain.linear_rows()
    if rows is None:
        return torch.zeros(0, domain.inputs, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    matrix, limit, equation = rows.one_sided
    return torch.cat([matrix, -matrix[equation]]), torch.cat([limit, -limit[equation]])
