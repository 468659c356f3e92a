"""The one loop of all walks: it owns budget, trace, progress and interruption."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import Tensor

from relu_attack.errors import OptionError
from relu_attack.result import Status, Trace
from relu_attack.solvers.walk import Walk

if TYPE_CHECKING:
    from tqdm import tqdm

DEFAULT_ITERATIONS = 1000
_SECONDS_BETWEEN_RECORDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a walk may spend.

    Attributes
    ----------
    iterations
        Steps of each walker; by default 1000 when there is no time limit either.
    time_limit
        Seconds from `began`; none by default.
    began
        Reading of ``time.perf_counter()`` from which the time counts.
    """

    iterations: int | None = None
    time_limit: float | None = None
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        whole = isinstance(self.iterations, int) and not isinstance(self.iterations, bool)
        if self.iterations is not None and not (whole and self.iterations >= 1):
            raise OptionError(f"iterations must be a whole number of at least 1, got {self.iterations!r}")
        number = isinstance(self.time_limit, int | float) and not isinstance(self.time_limit, bool)
        if self.time_limit is not None and not (number and self.time_limit > 0):
            raise OptionError(f"time_limit must be a positive number of seconds, got {self.time_limit!r}")
        if self.iterations is None and self.time_limit is None:
            object.__setattr__(self, "iterations", DEFAULT_ITERATIONS)

    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return time.perf_counter() - self.began

    def spent(self, iterations: int) -> Status | None:
        """Return why to stop after that many steps, or None."""
        if self.iterations is not None and iterations >= self.iterations:
            return Status.ITERATION_LIMIT
        if self.time_limit is not None and self.elapsed() >= self.time_limit:
            return Status.TIME_LIMIT
        return None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the loop leaves: why it stopped, its steps, the trace of incumbents, the path if recorded."""

    status: Status
    iterations: int
    trace: Trace
    path: Tensor | None


class _Recorder:
    """Writes the trace and the progress bar."""

    def __init__(self, walk: Walk, budget: Budget, *, sign: float, progress: bool) -> None:
        self._walk, self._budget, self._sign = walk, budget, sign
        self._rows: list[tuple[float, int, Tensor]] = []
        self._total = float(budget.iterations or budget.time_limit or 0)
        self._bar = _bar(budget) if progress else None

    def record(self, iterations: int, *, last: bool = False) -> None:
        elapsed = self._budget.elapsed()
        if self._rows and not last and elapsed - self._rows[-1][0] < _SECONDS_BETWEEN_RECORDS:
            return
        values = self._walk.incumbent_value.to("cpu", torch.float64) + self._walk.prepared.offset
        self._rows.append((elapsed, iterations, self._sign * values))
        if self._bar is not None:
            best = self._sign * float(values.max())
            self._bar.set_postfix_str(f"best {best:.6g}, {iterations / elapsed:.0f} steps/s", refresh=False)
            done = elapsed if self._budget.iterations is None else iterations
            self._bar.update(min(done, self._total) - self._bar.n)
            if last:
                self._bar.close()

    def trace(self) -> Trace:
        seconds, iterations, values = zip(*self._rows, strict=True)
        return Trace(torch.tensor(seconds, dtype=torch.float64), torch.tensor(iterations), torch.stack(values))


def _bar(budget: Budget) -> tqdm[NoReturn]:
    from tqdm import tqdm

    if budget.iterations is None:
        form = "{l_bar}{bar}| {n:.1f}/{total:.1f} s{postfix}"
        return tqdm(total=budget.time_limit, bar_format=form, desc="walk")
    return tqdm(total=budget.iterations, unit="step", desc="walk")


def run(walk: Walk, budget: Budget, *, sign: float, progress: bool, record_path: bool) -> Outcome:
    """Step and review the walkers until the budget is spent or the user interrupts.

    Parameters
    ----------
    walk
        The walkers; their incumbents are left in it.
    budget
        Steps and seconds that may be spent.
    sign
        -1 shows the negated values in trace and progress, for a minimization.
    progress
        Whether to show a bar with the best value and steps a second.
    record_path
        Whether to keep every point of every walker.

    Returns
    -------
    Outcome
        Why the loop ended, and what happened.
    """
    recorder = _Recorder(walk, budget, sign=sign, progress=progress)
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
                recorder.record(iterations)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    walk.keep_incumbents()
    recorder.record(iterations, last=True)
    return Outcome(status, iterations, recorder.trace(), torch.stack(path) if path else None)
