"""Branch and bound over boxes of inputs, many at a time: an upper bound that comes down to the best value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from relu_attack._checks import LOGGER
from relu_attack._deadline import NEVER, Deadline
from relu_attack._names import one_of
from relu_attack._repr import one_line
from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.result import OPTIMALITY, Status, gap_unit
from relu_attack.solvers.ascent import first_point, settings_for_each
from relu_attack.solvers.branch_and_bound._min_of_rows import MinOfRows
from relu_attack.solvers.branch_and_bound._search import SPLITS, BoxSearch
from relu_attack.solvers.core import Answer, Budget, Incumbents, Settings
from relu_attack.solvers.region_search import climb

# Share of the gap to which boxes are closed: what is left is room for the rounding of the last bounds and values.
_AIM = 0.5
# Steps of the walk without a time limit.
_STEPS = 200

Walk = Callable[[Problem, Settings], Tensor]
"""Returns an input (inputs,) of a single problem to compare with, within the budget of its settings."""
Polish = Callable[[Problem, Tensor, float], Tensor]
"""Takes a single problem, an input (inputs,), float64, and seconds; returns an input, as the best of its region."""


@dataclass(frozen=True, kw_only=True)
class BranchAndBound:
    """Options of branch and bound.

    Attributes
    ----------
    batch
        Boxes that are split at a time.
    period
        Splits between two back-substitutions of every unit.
    split
        At what boxes are split: ``"inputs"``, ``"units"``, or ``"auto"`` for inputs where they are few.
    walk_share
        Share of the time limit for the walk that finds the first incumbent, and for what polishes it.
    gap
        Relative gap at which a problem is solved, as `Result.relative_gap` measures it.
    """

    batch: int = 256
    period: int = 2
    split: str = "auto"
    walk_share: float = 0.1
    gap: float = OPTIMALITY

    def __post_init__(self) -> None:
        for name in ("batch", "period"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(f"{name} must be a whole number of at least 1, got {value!r}")
        one_of(self.split, SPLITS, name="split")
        if not 0 <= self.walk_share <= 1:
            raise OptionError(f"walk_share must be in [0, 1], got {self.walk_share}")
        if not 0 <= self.gap < math.inf:
            raise OptionError(f"gap must be a number of at least 0, got {self.gap}")


def branch_and_bound(
    problem: Problem,
    options: BranchAndBound,
    settings: Settings,
    *,
    walk: Walk | None = first_point,
    polish: Polish | None = climb,
) -> Answer:
    """Maximize by splitting the set into boxes until no box can hold more than the best point.

    Parameters
    ----------
    problem
        One problem or a batch of them.
    options
        How boxes are taken and split, and the gap.
    settings
        Budget, sense and start; an iteration is a batch of boxes.
    walk
        Finds the first incumbent.
    polish
        Applied to what the walk found, on sets with linear rows: boxes close only down to the best point.

    Returns
    -------
    Answer
        Best inputs, and bounds that hold in real arithmetic at any time.

    Notes
    -----
    Ranges of the units are those of `crown`, each box within what is known of the box it was split from; the lower
    slopes behind the bound itself, the multipliers of output constraints, of the set's rows and of the sides of split
    units go on descending from box to half (`optimize_combination`). Few inputs are split; with many no number of
    splits makes boxes small, and units are split instead, as in beta-CROWN (Wang et al., 2103.06624).
    """
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="batches of boxes")
    each, status = settings_for_each(problem, settings), Status.FEASIBLE
    try:
        for index, own in enumerate(each):
            stopped = settings.budget.spent(incumbents.steps)
            if stopped is not None:
                status = stopped
                break
            left = settings.budget.left() / (problem.problems - index)
            part = settings.budget.part(
                seconds=left if math.isfinite(left) else None, iterations=settings.budget.iterations
            )
            with torch.inference_mode():
                stopped = _solve(incumbents, index, options, own, part, walk, polish)
            status = stopped or status
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    return incumbents.answer(status, incumbents.steps)


def _close_to(value: float, *, gap: float, scale: Tensor) -> float:
    """Return the bound at which a box is closed, given the best value, minus infinity for none."""
    best = torch.tensor([value], dtype=torch.float64)
    return float(best + gap * gap_unit(best, scale)) if math.isfinite(value) else value


def _solve(
    incumbents: Incumbents,
    index: int,
    options: BranchAndBound,
    settings: Settings,
    budget: Budget,
    walk: Walk | None,
    polish: Polish | None,
) -> Status | None:
    """Solve one problem; return why it was stopped, or None."""
    problem = incumbents.single(index)
    branching = Branching(incumbents, index, options, deadline=budget.deadline)
    if walk is not None:
        timed = math.isfinite(budget.left())
        seconds = options.walk_share * budget.left() if timed else None
        short = budget.part(seconds=seconds, iterations=None if timed else _STEPS)
        with incumbents.keeping(index, "walk"):
            x = walk(problem, replace(settings, budget=short, progress=False))
        if polish is not None and problem.domain.is_polyhedral and budget.left() > 0:
            x = polish(problem, x.double().cpu(), options.walk_share * budget.left())
        incumbents.offer(index, x[None], "walk")
    stopped = None
    while stopped is None and not branching.exchange():
        stopped = settings.budget.spent(incumbents.steps) or budget.spent(0)
        if stopped is None:
            branching.step()
            incumbents.step()
    LOGGER.debug("branch_and_bound: problem %d, %s", index, branching)
    return stopped


class Branching:
    """Branch and bound on one of the problems of some incumbents, which goes on where it stopped.

    Parameters
    ----------
    incumbents, index
        Take what is found for problem `index`; boxes close down to the best point there, whoever found it.
    options
        How boxes are taken and split, and the gap.
    deadline
        As for `BoxSearch`.
    """

    def __init__(
        self, incumbents: Incumbents, index: int, options: BranchAndBound, *, deadline: Deadline = NEVER
    ) -> None:
        self._incumbents, self._index, self._gap = incumbents, index, _AIM * options.gap
        problem = incumbents.single(index)
        self._search = BoxSearch(
            problem.network,
            problem.domain,
            MinOfRows.of(problem.objective, problem.constraints),
            closes=partial(_close_to, gap=self._gap, scale=problem.scale),
            batch=options.batch,
            period=options.period,
            split=options.split,
            deadline=deadline,
        )

    def __repr__(self) -> str:
        search = self._search
        return one_line(self, regions=search.regions, value=search.value, bound=search.upper)

    def exchange(self) -> bool:
        """Exchange points and bounds with the incumbents; return whether nothing is left to split."""
        incumbents, index, search = self._incumbents, self._index, self._search
        if incumbents.is_feasible(index) and float(incumbents.value[index]) > search.value:
            search.offer(incumbents.x[index][None].double().cpu())
        if search.value > float(incumbents.value[index]) or not incumbents.has_point(index):
            incumbents.offer(index, search.x[None], "branch_and_bound")
        incumbents.bound(index, search.upper, certified=True)
        return not search.open or search.full or incumbents.is_closed(index, self._gap)

    def step(self) -> None:
        """Split a batch of boxes and bound the halves."""
        self._search.step()

    def advance(self, budget: Budget) -> bool:
        """Split boxes within a budget; return whether nothing is left to split."""
        with torch.inference_mode():
            while not self.exchange():
                if budget.spent(0) is not None:
                    return False
                self.step()
        return True
