"""The one loop of all walks: it owns budget, trace, progress and interruption."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relu_attack.result import Status, Trace
from relu_attack.solvers.ascent._base import Walk
from relu_attack.solvers.core import Budget, Recorder


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the loop leaves: why it stopped, its steps, the trace of incumbents, the path if recorded."""

    status: Status
    iterations: int
    trace: Trace
    path: Tensor | None


def run(walk: Walk, budget: Budget, recorder: Recorder, *, record_path: bool = False) -> Outcome:
    """Step and review the walkers until the budget is spent or the user interrupts.

    Parameters
    ----------
    walk
        The walkers; their incumbents are left in it.
    budget
        Steps and seconds that may be spent.
    recorder
        Writes trace and progress.
    record_path
        Whether to keep every point of every walker.

    Returns
    -------
    Outcome
        Why the loop ended, and what happened.
    """
    path: list[Tensor] = []
    iterations, status = 0, None
    window = walk.options.window
    try:
        while status is None:
            if record_path:
                path.append(walk.prepared.by_problem(walk.x).clone())
            walk.step()
            iterations += 1
            status = budget.spent(iterations)
            if status is None and iterations % window == 0:
                walk.review()
                if recorder.due:
                    recorder.record(iterations, walk.best_values())
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
        if iterations == 0:  # nothing has a value yet
            walk.step()
            iterations = 1
    walk.keep_incumbents()
    recorder.record(iterations, walk.best_values(), last=True)
    return Outcome(status, iterations, recorder.trace(), torch.stack(path) if path else None)
