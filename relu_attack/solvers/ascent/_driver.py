"""The loop of every ascent: budget, reviews, path and interruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.result import Status
from relu_attack.solvers.ascent._ascent import Ascent
from relu_attack.solvers.ascent._capture import CapturedWindow
from relu_attack.solvers.core import Budget


@dataclass(frozen=True, eq=False)
class Outcome:
    """The end of an ascent.

    Attributes
    ----------
    status
        Why it ended.
    iterations
        Points that each walker visited.
    path
        All of them, shape (iterations, problems, restarts, inputs), if recorded.
    """

    status: Status
    iterations: int
    path: Tensor | None


def run_ascent(
    ascent: Ascent,
    budget: Budget,
    *,
    captured: CapturedWindow | None = None,
    on_review: Callable[[int], object] | None = None,
    record_path: bool = False,
) -> Outcome:
    """Step and review the walkers until the budget is spent or the user interrupts.

    Parameters
    ----------
    ascent
        The walkers; their incumbents are left in it.
    budget
        Steps and seconds that may be spent; one step is done in any case.
    captured
        The steps between two reviews as one launch; the time is then read at reviews only.
    on_review
        Called after each review with the number of steps done.
    record_path
        Whether to record every point of every walker.

    Returns
    -------
    Outcome
        Why the ascent ended, and after how many steps.
    """
    path: list[Tensor] = []
    iterations, status = 0, None
    try:
        while status is None:
            if record_path:
                path.append(ascent.problem.by_problem(ascent.x).clone())
            if captured is not None and _fits_window(ascent, budget, iterations) and not record_path:
                captured.run()
                iterations += ascent.window
            else:
                # From the last point no walker moves on.
                (ascent.look if iterations + 1 == budget.iterations else ascent.step)()
                iterations += 1
            status = budget.spent(iterations)
            if status is None and iterations % ascent.window == 0:
                ascent.review()
                if on_review is not None:
                    on_review(iterations)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
        if iterations == 0:  # nothing has a value yet
            ascent.look()
            iterations = 1
    ascent.update_incumbents()
    return Outcome(status, iterations, torch.stack(path) if path else None)


def _fits_window(ascent: Ascent, budget: Budget, iterations: int) -> bool:
    """Return whether a window begins after a number of iterations and ends before the last one."""
    ends = budget.iterations is None or iterations + ascent.window < budget.iterations
    return iterations % ascent.window == 0 and ends
