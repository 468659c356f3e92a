"""Shares of the time for the parts of a portfolio, which follow what each part gains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

# Least weight of a part: that of three turns in a row without gain. No part is given up, as what gains changes on the
# way.
_LEAST = 1 / 8
# Relative gain of the incumbent that counts as an improvement.
_MIN_RELATIVE_GAIN = 1e-6


@dataclass(eq=False)
class Share:
    """The share of one part: its weight halves with each turn without gain, and a gain restores it.

    Only ratios of weights count, so that parts share alike where none of them gains.

    Attributes
    ----------
    weight
        Between 1/8 and 1.
    spent
        What its turns have cost: seconds, or steps where no time limit makes seconds count.
    due
        The same, each turn over the weight after it: the part with the least is next (stride scheduling: Waldspurger,
        Weihl, 1995).
    last
        Cost of its last turn.
    """

    weight: float = 1.0
    spent: float = 0.0
    due: float = 0.0
    last: float = 0.0

    @staticmethod
    def to_be_earned(turn: float) -> Share:
        """Return the share of a part that has gained nothing yet, given the cost of a turn of another one.

        Its first turn comes after eight turns of a part that gains in each of them, and earlier where none gains.
        """
        return Share(weight=_LEAST, due=turn / _LEAST)

    def record(self, cost: float, *, gained: bool) -> None:
        """Record a turn."""
        self.weight = weight_after(self.weight, gained=gained)
        self.spent, self.due, self.last = self.spent + cost, self.due + cost / self.weight, cost

    def relative_to(self, others: Iterable[Share]) -> float:
        """Return the weight over the largest one of this part and others."""
        return self.weight / max(self.weight, *(other.weight for other in others))


def weight_after(weight: float, *, gained: bool) -> float:
    """Return the weight of a part after a turn: half of it, but at least 1/8, or 1 where the turn gained."""
    return 1.0 if gained else max(weight / 2, _LEAST)


def improved(before: Tensor, after: Tensor) -> bool:
    """Return whether the value of an incumbent improved, shapes (problems,); a first point improves on nothing."""
    least = torch.where(torch.isinf(before), 0.0, _MIN_RELATIVE_GAIN * before.abs())
    return bool((after - before > least).any())
