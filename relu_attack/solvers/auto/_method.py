"""`auto`: a portfolio of ascents, local search over linear regions, exchanges, bounds and exact methods."""

from __future__ import annotations

import torch

from relu_attack.problem import Problem
from relu_attack.result import Status
from relu_attack.solvers.auto._options import Auto
from relu_attack.solvers.auto._portfolio import PARTS, Parts, Portfolio
from relu_attack.solvers.core import Answer, Incumbents, Settings


def auto(problem: Problem, options: Auto, settings: Settings, *, parts: Parts = PARTS) -> Answer:
    """Search by a portfolio of methods; the answer is the best of all of them, and names its origin.

    A round is an ascent of all walkers of one population, local searches over linear regions from where they end, and
    exchanges of integer inputs. Which population walks, and how much time linear and mixed-integer programs have,
    follows what each of them gains. The walkers of a population restart once they have converged to one point. Where
    inputs or units are few, exact methods and rounds alternate from the beginning, in growing time slices: exact
    methods in equal shares, rounds with a share that shrinks while they gain nothing. Local searches are skipped where
    programs over regions are too large or the set has no linear rows.
    """
    incumbents = Incumbents(problem, settings, settings.upper_bound(problem), unit="steps")
    with torch.inference_mode():
        search = Portfolio.create(incumbents, options, settings, parts)
    if search is None:
        return incumbents.answer(settings.budget.spent(0) or Status.TIME_LIMIT, 0)
    status = Status.FEASIBLE
    try:
        status = search.run()
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
        search.ascents.offer(incumbents)
    return incumbents.answer(status, incumbents.steps * search.ascents.scaled.batch)
