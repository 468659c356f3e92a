"""Branch and bound with many nodes at a time, as a method of `maximize`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from relu_attack._checks import LOGGER, whole_number
from relu_attack._deadline import NEVER, Deadline
from relu_attack._names import one_of
from relu_attack._repr import one_line
from relu_attack.errors import OptionError
from relu_attack.problem import Problem
from relu_attack.result import OPTIMALITY, Status, gap_unit
from relu_attack.solvers.ascent import first_point, settings_for_each
from relu_attack.solvers.branch_and_bound._min_of_rows import MinOfRows
from relu_attack.solvers.branch_and_bound._search import SPLITS, TreeSearch
from relu_attack.solvers.core import Answer, Budget, FirstPoint, Incumbents, Polish, Settings
from relu_attack.solvers.region_search import climb

# Share of the gap at which nodes are pruned; the rest is room for the rounding of the last bounds and values.
_GAP_SHARE = 0.5
# Iterations of the initial walk without a time limit.
_WALK_ITERATIONS = 200


@dataclass(frozen=True, kw_only=True)
class BranchAndBound:
    """Options of branch and bound.

    Attributes
    ----------
    batch
        Nodes that are split at a time.
    period
        Depth between two back-substitutions of every unit.
    split
        Branching: ``"inputs"``, ``"units"``, or ``"auto"`` for inputs where they are few.
    walk_share
        Share of the time limit for the walk that finds the first incumbent, and for the local search after it.
    gap
        Relative gap at which a problem is solved, as `Result.relative_gap` measures it.
    """

    batch: int = 256
    period: int = 2
    split: str = "auto"
    walk_share: float = 0.1
    gap: float = OPTIMALITY

    def __post_init__(self) -> None:
        whole_number(self.batch, name="batch", least=1)
        whole_number(self.period, name="period", least=1)
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
    walk: FirstPoint | None = first_point,
    polish: Polish | None = climb,
) -> Answer:
    """Maximize by branch and bound: split nodes until none can contain a better point than the incumbent.

    An iteration of the budget is a batch of nodes. `walk` finds the first incumbent, and `polish` improves it on sets
    with linear rows, since a better incumbent prunes more nodes. Bounds hold in real arithmetic at any time.

    Ranges of the units are those of `crown`, intersected with the ranges of the parent node. The lower slopes behind
    the bound and the multipliers of output constraints, of the set's rows and of split units are warm-started from the
    parent (`optimize_combination`). Inputs are split where they are few; with many inputs no feasible number of splits
    makes boxes small, and units are split instead, as in beta-CROWN (Wang et al., 2103.06624).
    """
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="batches of nodes")
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
    """Return the bound at or below which a node is pruned, given the best value; minus infinity for none."""
    best = torch.tensor([value], dtype=torch.float64)
    return float(best + gap * gap_unit(best, scale)) if math.isfinite(value) else value


def _solve(
    incumbents: Incumbents,
    index: int,
    options: BranchAndBound,
    settings: Settings,
    budget: Budget,
    walk: FirstPoint | None,
    polish: Polish | None,
) -> Status | None:
    """Solve one problem; return the reason for stopping early, or None."""
    problem = incumbents.single(index)
    branching = Branching(incumbents, index, options, deadline=budget.deadline)
    if walk is not None:
        timed = math.isfinite(budget.left())
        share = 1.0 if branching.late else options.walk_share
        seconds = share * budget.left() if timed else None
        short = budget.part(seconds=seconds, iterations=None if timed else _WALK_ITERATIONS)
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
    return Status.TIME_LIMIT if stopped is None and branching.late else stopped


class Branching:
    """Resumable branch and bound on one problem, which shares points and bounds with incumbents.

    Nodes are pruned by the best point among the incumbents of problem `index`, whatever found it.
    """

    def __init__(
        self, incumbents: Incumbents, index: int, options: BranchAndBound, *, deadline: Deadline = NEVER
    ) -> None:
        self._incumbents, self._index, self._gap = incumbents, index, _GAP_SHARE * options.gap
        problem = incumbents.single(index)
        self._search = TreeSearch(
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

    @property
    def late(self) -> bool:
        """Whether there is no time for the next nodes."""
        return self._search.late

    def exchange(self) -> bool:
        """Exchange points and bounds with the incumbents; return whether the search has ended."""
        incumbents, index, search = self._incumbents, self._index, self._search
        if incumbents.is_feasible(index) and float(incumbents.value[index]) > search.value:
            search.offer(incumbents.x[index][None].double().cpu())
        if search.value > float(incumbents.value[index]) or not incumbents.has_point(index):
            incumbents.offer(index, search.x[None], "branch_and_bound")
        incumbents.bound(index, search.upper, certified=True)
        return not search.open or search.full or search.late or incumbents.is_closed(index, self._gap)

    def step(self) -> None:
        """Split a batch of nodes and bound the children."""
        self._search.step()

    def advance(self, budget: Budget) -> bool:
        """Split nodes within a budget; return whether the search has ended."""
        with torch.inference_mode():
            while not self.exchange():
                if budget.spent(0) is not None:
                    return False
                self.step()
        return True
